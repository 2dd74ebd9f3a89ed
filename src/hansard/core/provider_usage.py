"""From what a provider reports as usage to an entry of the ledger.

The provider's object is kept word for word. One that is missing, malformed or contradicts
itself is never added up: the call is then *estimated*, from what was sent and received.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hansard.core.errors import InvalidInput
from hansard.core.provider_dialects import (
    Anthropic,
    Bedrock,
    Gemini,
    GeminiChat,
    OpenAIChat,
    OpenAIResponses,
    OpenRouter,
    Reported,
)
from hansard.core.strict_json import check_text
from hansard.core.usage import (
    MODEL_LENGTH_MAX,
    RAW_LENGTH_MAX,
    TIER_LENGTH_MAX,
    NewUsage,
    check_usage,
)

BYTES_PER_TOKEN: Final = 4
"""Of text and JSON, on average; what an estimate divides by."""

_STANDARD_TIERS: Final = frozenset({"standard", "default", "on_demand"})


class Dialect(StrEnum):
    """Whose way of counting a usage object follows."""

    OPENAI_CHAT = "openai_chat"
    OPENAI_RESPONSES = "openai_responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    GEMINI_CHAT = "gemini_chat"
    OPENROUTER = "openrouter"
    BEDROCK = "bedrock"


_READERS: Final[dict[Dialect, msgspec.json.Decoder[Any]]] = {
    Dialect.OPENAI_CHAT: msgspec.json.Decoder(OpenAIChat),
    Dialect.OPENAI_RESPONSES: msgspec.json.Decoder(OpenAIResponses),
    Dialect.ANTHROPIC: msgspec.json.Decoder(Anthropic),
    Dialect.GEMINI: msgspec.json.Decoder(Gemini),
    Dialect.GEMINI_CHAT: msgspec.json.Decoder(GeminiChat),
    Dialect.OPENROUTER: msgspec.json.Decoder(OpenRouter),
    Dialect.BEDROCK: msgspec.json.Decoder(Bedrock),
}
_CHAT_DIALECTS: Final = {"openrouter": Dialect.OPENROUTER, "google": Dialect.GEMINI_CHAT}


class Estimate(NamedTuple):
    """What counts for a call whose provider told nothing usable."""

    input_tokens: int
    output_tokens: int


class ModelCall(Struct, frozen=True, kw_only=True):
    """What is known of a call beside its usage.

    Attributes:
        event_id: Its id in the ledger.
        model: The model that answered.
        service_tier: As the answer says; some dialects say it in the usage, which wins.
    """

    event_id: str
    provider: str = ""
    model: str = ""
    model_asked: str = ""
    service_tier: str = ""


def chat_dialect(provider: str) -> Dialect:
    """Tell how a provider counts at its endpoint for ``chat.completions``."""
    return _CHAT_DIALECTS.get(provider, Dialect.OPENAI_CHAT)


def estimate(*, sent_bytes: int, received_bytes: int, received_chunks: int = 0) -> Estimate:
    """Guess tokens from sizes: four bytes are one, and so is at least each chunk of a stream.

    >>> estimate(sent_bytes=4_000, received_bytes=90, received_chunks=30)
    Estimate(input_tokens=1000, output_tokens=30)
    """
    received = -(-received_bytes // BYTES_PER_TOKEN)
    return Estimate(-(-sent_bytes // BYTES_PER_TOKEN), max(received, received_chunks))


def read_usage(
    dialect: Dialect, raw: bytes | None, call: ModelCall, otherwise: Estimate
) -> NewUsage:
    """Turn a provider's usage object, as JSON text, into an entry; never raises.

    ``otherwise`` counts if ``raw`` is missing or cannot be believed.
    """
    if raw is None:
        return estimated(call, otherwise)
    try:
        text = raw.decode()
        reported: Reported = _READERS[dialect].decode(text)
        cost = reported.cost_nanousd()
        entry = _entry(
            call,
            reported.tier() or call.service_tier,
            **reported.counts(),
            cost_nanousd=cost,
            confidence="provider_usage" if cost is None else "provider_cost",
            raw=_storable(raw),
        )
        return check_usage(entry, call.event_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidInput):
        return estimated(call, otherwise, raw)


def measured(call: ModelCall, otherwise: Estimate, **counts: int | None) -> NewUsage:
    """The entry of a call whose provider's report somebody else has read; never raises.

    ``counts`` are fields of ``NewUsage``; ``otherwise`` counts if they contradict each other.
    """
    told = "provider_usage" if counts.get("cost_nanousd") is None else "provider_cost"
    try:
        return check_usage(
            _entry(call, call.service_tier, **counts, confidence=told), call.event_id
        )
    except InvalidInput:
        return estimated(call, otherwise)


def estimated(call: ModelCall, counts: Estimate, raw: bytes | None = None) -> NewUsage:
    """The entry of a call whose provider told nothing usable; ``raw`` is kept if it is JSON."""
    return _entry(
        call,
        call.service_tier,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        confidence="estimated",
        raw=_storable(raw),
    )


def cut_off(entry: NewUsage, counts: Estimate) -> NewUsage:
    """The entry of a call that broke off, where ``entry`` is what had been reported by then.

    That may be too little, so the estimate counts where it is more.
    """
    return replace(
        entry,
        input_tokens=entry.input_tokens or counts.input_tokens,
        output_tokens=max(entry.output_tokens, counts.output_tokens),
        cost_nanousd=None,
        confidence="estimated",
    )


def merge_stream(usages: Sequence[bytes]) -> bytes:
    """Combine what a stream reported at several times into one object, word for word.

    Such counts are cumulative (Anthropic's ``message_start`` and each ``message_delta``,
    https://docs.claude.com/en/docs/build-with-claude/streaming): a later one replaces an
    earlier one and is never added, and ``null`` replaces nothing. Empty, which nothing
    reads, if one of them is malformed.
    """
    merged: dict[str, Raw] = {}
    try:
        for usage in usages:
            fields = msgspec.json.decode(usage, type=dict[str, Raw])
            merged |= {name: each for name, each in fields.items() if bytes(each) != b"null"}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b""
    return msgspec.json.encode(merged)


def _entry(call: ModelCall, service_tier: str, **fields: Any) -> NewUsage:
    """An entry, without the names that the record could not hold."""
    tier = _storable_name(service_tier, TIER_LENGTH_MAX)
    model = _storable_name(call.model, MODEL_LENGTH_MAX)
    asked = _storable_name(call.model_asked, MODEL_LENGTH_MAX)
    return NewUsage(
        event_id=call.event_id,
        provider=_storable_name(call.provider, MODEL_LENGTH_MAX),
        model=model,
        model_asked="" if asked == model else asked,
        service_tier="" if tier in _STANDARD_TIERS else tier,
        **fields,
    )


def _storable_name(text: str, length_max: int) -> str:
    try:
        return check_text(text, "name", length_max=length_max)
    except InvalidInput:
        return ""


def _storable(raw: bytes | None) -> str | None:
    """The object as text, if it is JSON and of a size to keep."""
    if raw is None or len(raw) > RAW_LENGTH_MAX:
        return None
    try:
        msgspec.json.decode(raw)
        return raw.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
