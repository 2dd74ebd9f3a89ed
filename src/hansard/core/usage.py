"""Usage: one entry per model call, only ever added, and totals that are sums of entries.

``input_tokens`` is everything sent, with ``cached_tokens`` (read from a cache) and
``cache_write_tokens`` inside it; ``output_tokens`` is everything made, with
``reasoning_tokens`` inside it, as OpenTelemetry's GenAI conventions count. What such a call
costs is its caller's word, or that of a price table; where neither knows, the call is
*unpriced*, which is not the same as free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import add, neg
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import astuple, replace

from hansard.core.errors import InvalidInput, LimitReached
from hansard.core.ids import check_id
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.strict_json import check_text

TOKENS_MAX = 10**12  # of one call; a million calls at this bound still sum within 64 bits
TOTAL_MAX = 2**63 - 1  # of a session: what a column of a database holds
ENTRIES_MAX = 1_000  # model calls of one turn
MODEL_LENGTH_MAX = 256
TIER_LENGTH_MAX = 64
RAW_LENGTH_MAX = 16_384  # characters of a provider's usage object; real ones have a few hundred

TOKEN_FIELDS: Final = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
PART_FIELDS: Final = (
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "cached_audio_tokens",
    "output_audio_tokens",
    "web_searches",
)
"""Counts that most calls do not have, and that are priced apart."""

RECONCILED: Final = "reconciled"
CONFIDENCES: Final = ("", "provider_usage", "provider_cost", "estimated", RECONCILED)

_COUNTS: Final = TOKEN_FIELDS + PART_FIELDS
_PARTS: Final = (
    ("cache_write_1h_tokens", "cache_write_tokens"),
    ("input_audio_tokens", "input_tokens"),
    ("cached_audio_tokens", "cached_tokens"),
    ("cached_audio_tokens", "input_audio_tokens"),
    ("output_audio_tokens", "output_tokens"),
)
_TEXTS: Final = (
    ("provider", "", MODEL_LENGTH_MAX),
    ("model", "", MODEL_LENGTH_MAX),
    ("model_asked", "", MODEL_LENGTH_MAX),
    ("service_tier", "", TIER_LENGTH_MAX),
    ("raw", None, RAW_LENGTH_MAX),
)


class UsageTotals(NamedTuple):
    """Sums over entries; cost in nano-dollars. The fields stand in the order of columns.

    ``cost_nanousd`` is what the priced calls cost; ``unpriced_calls`` says how many of the
    calls are not in it.
    """

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0
    unpriced_calls: int = 0

    def plus(self, other: UsageTotals) -> UsageTotals:
        """Both together.

        Raises:
            LimitReached: If that is more than a database can hold.
        """
        sums = UsageTotals._make(map(add, self, other))
        if max(sums) > TOTAL_MAX:
            raise LimitReached("the totals are full", code="totals_full")
        return sums

    def negated(self) -> UsageTotals:
        """What takes these totals back when it is added."""
        return UsageTotals._make(map(neg, self))


NO_USAGE: Final = UsageTotals()

K = TypeVar("K")


def add_totals(sums: dict[K, UsageTotals], key: K, totals: UsageTotals) -> None:
    """Add to one of several sums, which have no bound as a column has one."""
    sums[key] = UsageTotals._make(map(add, sums.get(key, NO_USAGE), totals))


class NewUsage(Struct, frozen=True, kw_only=True):
    """One model call, checked.

    Attributes:
        event_id: The caller's id of the call; recorded twice, it counts once.
        provider: Who served the model, such as ``openai``; empty if not said.
        model: The model that answered, which decides the price.
        cost_nanousd: What it cost, where the caller knows; None leaves it to the price table.
        model_asked: The model that was asked for, where that is another name.
        service_tier: Tier of the answer, such as ``flex``; empty for the standard one.
        cache_write_1h_tokens: The part of ``cache_write_tokens`` that is kept for an hour.
        input_audio_tokens: The part of ``input_tokens`` that is audio, cached or not;
            ``cached_audio_tokens`` is the part of both that was read from a cache.
        output_audio_tokens: The part of ``output_tokens`` that is audio.
        web_searches: How often a tool ran that the provider bills by the run.
        confidence: Where the counts come from; empty for what follows from ``cost_nanousd``.
        raw: The provider's own usage object, as JSON text, kept as it came.
    """

    event_id: str
    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int | None = None
    model_asked: str = ""
    service_tier: str = ""
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    cached_audio_tokens: int = 0
    output_audio_tokens: int = 0
    web_searches: int = 0
    confidence: str = ""
    raw: str | None = None

    @property
    def has_counts(self) -> bool:
        """Whether it says anything of what was used, its cost apart."""
        return any(getattr(self, name) for name in _COUNTS)


Pricing = Callable[[NewUsage, int], tuple[int, str] | None]
"""Prices a call made at a time (microseconds since 1970): nano-dollars, and the name of the
table that says so; None if it cannot."""


class ChargedUsage(Struct, frozen=True):
    """A model call with what it costs.

    Attributes:
        usage: The call as its caller told it.
        cost_nanousd: None if the call is unpriced.
        price_version: The table that priced it; None if the caller named the cost.
    """

    usage: NewUsage
    cost_nanousd: int | None
    price_version: str | None

    @property
    def confidence(self) -> str:
        """How sure the counts are."""
        told = "provider_usage" if self.usage.cost_nanousd is None else "provider_cost"
        return self.usage.confidence or told

    def totals(self) -> UsageTotals:
        """What it adds to totals."""
        usage = self.usage
        return UsageTotals(
            1,
            usage.input_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            self.cost_nanousd or 0,
            int(self.cost_nanousd is None),
        )


class UsageEntry(NewUsage, frozen=True, kw_only=True):
    """A recorded model call, or what takes one back.

    Attributes:
        turn_id: None if it was counted outside a turn.
        cost_nanousd: What it cost, whoever said so; None if it is unpriced.
        price_version: The price table that says so, if one does.
        reverses: The entry that this one takes back; its counts are then negative.
        key_id: The API key that the call was made with.
    """

    turn_id: str | None
    recorded_at_us: int
    price_version: str | None = None
    reverses: str | None = None
    key_id: str | None = None

    def totals(self) -> UsageTotals:
        """What it adds to totals."""
        sign = -1 if self.reverses is not None else 1
        return UsageTotals(
            sign,
            self.input_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.cost_nanousd or 0,
            sign if self.cost_nanousd is None else 0,
        )


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


def charge(usage: NewUsage, at_us: int, pricing: Pricing) -> ChargedUsage:
    """Say what a call costs: its caller's word, else the table's."""
    if usage.cost_nanousd is not None:
        return ChargedUsage(usage, usage.cost_nanousd, None)
    price = pricing(usage, at_us)
    return ChargedUsage(usage, *price) if price else ChargedUsage(usage, None, None)


def total_of(calls: Iterable[NewUsage], at_us: int, pricing: Pricing) -> UsageTotals:
    """Sum up calls that were made at a time."""
    totals = NO_USAGE
    for call in calls:
        totals = totals.plus(charge(call, at_us, pricing).totals())
    return totals


def take_back(entry: UsageEntry) -> UsageEntry:
    """The entry that takes another back; there can be one for each."""
    reversal = reversal_of(entry)
    return replace(reversal, event_id=reversed_id(entry.event_id), reverses=entry.event_id)


def reversed_id(event_id: str) -> str:
    """The id of what takes an entry back, which no call can have."""
    return f"{event_id}~"


def reversal_of(entry: UsageEntry) -> UsageEntry:
    """The entry with the signs of its counts turned round."""
    counts = {name: -getattr(entry, name) for name in _COUNTS}
    cost = None if entry.cost_nanousd is None else -entry.cost_nanousd
    return replace(entry, **counts, cost_nanousd=cost)


def unpriced(usage: NewUsage, at_us: int) -> None:
    """The pricing that knows no price."""


def check_usage(
    entry: NewUsage | Mapping[str, Any], default_event_id: str, *, is_hindsight: bool = False
) -> NewUsage:
    """Check one model call.

    Args:
        entry: The call as it was given.
        default_event_id: Its id, if it names none.
        is_hindsight: Whether it may be ``reconciled``: found out by a person afterwards.

    Raises:
        InvalidInput: On unknown fields, negative, fractional or huge counts, a part larger
            than its whole, or a bad id.
    """
    if isinstance(entry, Mapping):
        given = {field: value for field, value in entry.items() if value is not None}
        try:
            entry = NewUsage(**{"event_id": default_event_id, **given})
        except TypeError as exc:
            unknown = sorted(set(map(str, given)) - set(NewUsage.__struct_fields__))
            raise InvalidInput(
                f"usage has unknown fields: {', '.join(unknown)}",
                code="invalid_usage",
                fields=unknown,
            ) from exc
    if not isinstance(entry, NewUsage):
        raise InvalidInput("usage must be a list of objects", code="invalid_usage")
    if type(entry) is not NewUsage:
        entry = NewUsage(**{name: getattr(entry, name) for name in NewUsage.__struct_fields__})
    _check_counts(entry)
    if entry.confidence == RECONCILED and not is_hindsight:
        raise InvalidInput(
            "only what is said afterwards is reconciled", code="invalid_usage", field="confidence"
        )
    texts = _check_texts(entry)
    changed = {name: text for name, text in texts.items() if text is not getattr(entry, name)}
    return replace(entry, **changed) if changed else entry


def _check_texts(entry: NewUsage) -> dict[str, str]:
    """Check the texts; return them, as plain ones."""
    if entry.confidence not in CONFIDENCES:
        raise InvalidInput(
            f"confidence must be one of {', '.join(CONFIDENCES[1:])}", code="invalid_usage"
        )
    texts = {"event_id": check_id(entry.event_id, "event_id")}
    for name, absent, length_max in _TEXTS:
        text = getattr(entry, name)
        if text != absent:
            texts[name] = check_text(text, name, length_max=length_max)
    return texts


def _check_counts(entry: NewUsage) -> None:
    values = astuple(entry)
    for field, count in zip(_COUNTS, values[3:8] + values[11:16], strict=True):
        if type(count) is not int or not 0 <= count <= TOKENS_MAX:
            raise _bad_count(field, TOKENS_MAX)
    cost = entry.cost_nanousd
    if cost is not None and (type(cost) is not int or not 0 <= cost <= COST_MAX_NANOUSD):
        raise _bad_count("cost_nanousd", COST_MAX_NANOUSD)
    if entry.cached_tokens + entry.cache_write_tokens > entry.input_tokens:
        raise _exceeds("cached_tokens and cache_write_tokens", "input_tokens")
    if entry.reasoning_tokens > entry.output_tokens:
        raise _exceeds("reasoning_tokens", "output_tokens")
    if any(values[11:15]):
        for part, whole in _PARTS:
            if getattr(entry, part) > getattr(entry, whole):
                raise _exceeds(part, whole)


def _exceeds(parts: str, whole: str) -> InvalidInput:
    return InvalidInput(f"{parts} are part of {whole} and exceed it", code="invalid_usage")


def _bad_count(field: str, most: int) -> InvalidInput:
    return InvalidInput(
        f"{field} must be a whole number from 0 to {most}", code="invalid_usage", field=field
    )
