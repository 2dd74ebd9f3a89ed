"""Usage: one entry per model call, only ever added, and totals that are sums of entries.

``input_tokens`` is everything sent, with ``cached_tokens`` (read from a cache) and
``cache_write_tokens`` inside it; ``output_tokens`` is everything made, with
``reasoning_tokens`` inside it, as OpenTelemetry's GenAI conventions count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from hansard.core.errors import InvalidInput, LimitReached
from hansard.core.ids import check_id
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.strict_json import check_text

TOKENS_MAX = 10**12  # of one call; a million calls at this bound still sum within 64 bits
TOTAL_MAX = 2**63 - 1  # of a session: what a column of a database holds
ENTRIES_MAX = 1_000  # model calls of one turn
MODEL_LENGTH_MAX = 256

TOKEN_FIELDS: Final = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


class UsageTotals(NamedTuple):
    """Sums over entries; cost in nano-dollars. The fields stand in the order of columns."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0

    def plus(self, entry: NewUsage) -> UsageTotals:
        """The totals with one entry more.

        Raises:
            LimitReached: If they would be more than a database can hold.
        """
        calls, sent, cached, cache_write, made, reasoning, cost = self
        sums = UsageTotals(
            calls + 1,
            sent + entry.input_tokens,
            cached + entry.cached_tokens,
            cache_write + entry.cache_write_tokens,
            made + entry.output_tokens,
            reasoning + entry.reasoning_tokens,
            cost + entry.cost_nanousd,
        )
        if (
            sums.input_tokens > TOTAL_MAX
            or sums.output_tokens > TOTAL_MAX
            or sums.cost_nanousd > TOTAL_MAX
        ):
            raise LimitReached("the session's totals are full", code="totals_full")
        return sums


NO_USAGE: Final = UsageTotals()


class NewUsage(Struct, frozen=True, kw_only=True):
    """One model call, checked.

    Attributes:
        event_id: The caller's id of the call; recorded twice, it counts once.
        provider: Who served the model, such as ``openai``; empty if not said.
        model: The model that answered.
        cost_nanousd: What it cost, where the caller knows; otherwise 0.
    """

    event_id: str
    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0


class UsageEntry(NewUsage, frozen=True, kw_only=True):
    """A recorded model call; ``turn_id`` is None if it was counted outside a turn."""

    turn_id: str | None
    recorded_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """A session's totals on one model."""

    provider: str
    model: str
    totals: UsageTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUsage:
    """A session's totals, and the same by model; the parts sum to the whole."""

    session_id: str
    turns: int
    totals: UsageTotals
    models: tuple[ModelUsage, ...]


def check_usage(entry: NewUsage | Mapping[str, Any], default_event_id: str) -> NewUsage:
    """Check one model call.

    Raises:
        InvalidInput: On unknown fields, negative, fractional or huge counts, a part larger
            than its whole, or a bad id.
    """
    if isinstance(entry, Mapping):
        given = {field: value for field, value in entry.items() if value is not None}
        try:
            entry = NewUsage(**{"event_id": default_event_id, **given})
        except TypeError as exc:
            raise InvalidInput(
                "usage has an unknown field", code="invalid_usage", fields=sorted(map(str, given))
            ) from exc
    if not isinstance(entry, NewUsage):
        raise InvalidInput("usage must be a list of objects", code="invalid_usage")
    event_id = check_id(entry.event_id, "event_id")
    provider = check_text(entry.provider, "provider", length_max=MODEL_LENGTH_MAX)
    model = check_text(entry.model, "model", length_max=MODEL_LENGTH_MAX)
    *counts, cost_nanousd = astuple(entry)[3:9]
    for field, count in zip(TOKEN_FIELDS, counts, strict=True):
        if type(count) is not int or not 0 <= count <= TOKENS_MAX:
            raise _bad_count(field, TOKENS_MAX)
    if type(cost_nanousd) is not int or not 0 <= cost_nanousd <= COST_MAX_NANOUSD:
        raise _bad_count("cost_nanousd", COST_MAX_NANOUSD)
    if entry.cached_tokens + entry.cache_write_tokens > entry.input_tokens:
        raise InvalidInput(
            "cached_tokens and cache_write_tokens are part of input_tokens and exceed it",
            code="invalid_usage",
        )
    if entry.reasoning_tokens > entry.output_tokens:
        raise InvalidInput(
            "reasoning_tokens are part of output_tokens and exceed it", code="invalid_usage"
        )
    return NewUsage(
        event_id=event_id,
        provider=provider,
        model=model,
        **dict(zip(TOKEN_FIELDS, counts, strict=True)),
        cost_nanousd=cost_nanousd,
    )


def _bad_count(field: str, most: int) -> InvalidInput:
    return InvalidInput(
        f"{field} must be a whole number from 0 to {most}", code="invalid_usage", field=field
    )
