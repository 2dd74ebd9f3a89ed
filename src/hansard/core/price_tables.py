"""Price tables: what a provider charges for its models, by date, service tier and size.

A rate is an ``int`` of pico-dollars (1e-12 USD) for one unit: $1 for a million tokens is
1,000,000. The buckets that have rates are those that a call is counted in:

    input -+- cached --------+- cached_audio       output -+- reasoning       request
           +- cache_write    |                             +- output_audio    web_search
           |  +- cache_write_1h
           +- input_audio ---+

A token is charged once, at the rate of the innermost bucket that it is in and that has one:
without a rate for ``cached``, cached tokens cost what ``input`` costs. So a price sheet is a
sum of counts, each times a *weight* that is worked out once, when the sheet is compiled.

Nothing here looks at the clock or at a file; shapes on disk are in ``hansard.formats.prices``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct, field

BUCKETS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": (),
    "cached": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("input", "cache_write"),
    "input_audio": ("input",),
    "cached_audio": ("input", "cached", "input_audio"),
    "output": (),
    "reasoning": ("output",),
    "output_audio": ("output",),
    "web_search": (),
    "request": (),
}
"""Each bucket, and the buckets that it is part of; wholes come before their parts."""

UNIT_BUCKETS: Final = ("web_search", "request")
"""What is priced by the piece; the others are tokens."""

INPUT_BUCKETS: Final = ("input", "cached", "cache_write", "cache_write_1h", "input_audio")
OUTPUT_BUCKETS: Final = ("output", "reasoning", "output_audio")

STANDARD: Final = ""
STANDARD_NAMES: Final = frozenset({STANDARD, "default", "standard", "auto", "on_demand"})
"""What providers call the service tier that nobody asked for."""

ALL: Final = -1  # calls of more input tokens than that are all calls
DAY_US: Final = 86_400_000_000
ALL_DAY: Final = (0, DAY_US)
BEGINNING_US: Final = -(2**63)
END_US: Final = 2**63 - 1

Step = tuple[int, int]
"""A rate, and how many input tokens a call must exceed for it: ``(above_tokens, rate)``."""

Rates = Mapping[str, tuple[Step, ...]]
"""Steps by bucket, upwards; the first is that of every call. No bucket, no rate."""


class Clause(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A condition on a name in lower case: all fields that are given hold.

    >>> Clause(any_of=(Clause(equals="o3"), Clause(starts_with="o3-"))).matches("o3-2025-04-16")
    True
    """

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    any_of: tuple[Clause, ...] | None = field(name="or", default=None)
    all_of: tuple[Clause, ...] | None = field(name="and", default=None)

    def matches(self, name: str) -> bool:
        """Tell whether a name meets the condition."""
        return (
            (self.equals is None or name == self.equals)
            and (self.starts_with is None or name.startswith(self.starts_with))
            and (self.ends_with is None or name.endswith(self.ends_with))
            and (self.contains is None or self.contains in name)
            and (self.regex is None or re.search(self.regex, name) is not None)
            and (self.any_of is None or any(part.matches(name) for part in self.any_of))
            and (self.all_of is None or all(part.matches(name) for part in self.all_of))
        )

    @property
    def text(self) -> str:
        """How people write it: ``gpt-*-mini``; only what ``prices.toml`` can say."""
        if self.equals is not None:
            return self.equals
        within = f"{self.contains}*" if self.contains else ""
        return f"{self.starts_with or ''}*{within}{self.ends_with or ''}"


class PriceSheet(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Rates, and when they hold; without rates nobody knows what a call costs.

    Attributes:
        tier: Service tier of the answer; empty for the standard one.
        from_us: First moment; ``until_us`` is the first moment after. None has no end.
        daily: Hours of each day (UTC), as microseconds after midnight.
    """

    rates: Rates = field(default_factory=dict)
    tier: str = STANDARD
    from_us: int | None = None
    until_us: int | None = None
    daily: tuple[int, int] | None = None

    def holds(self, at_us: int) -> bool:
        """Tell whether the sheet holds on the day of a moment, at some hour."""
        if self.from_us is not None and at_us < self.from_us:
            return False
        return self.until_us is None or at_us < self.until_us

    def covers(self, at_us: int) -> bool:
        """Tell whether the sheet holds at a moment."""
        begins, ends = self.daily or ALL_DAY
        return self.holds(at_us) and begins <= at_us % DAY_US < ends


class PricedModel(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One model and its sheets; at any moment, at most one of a tier holds."""

    id: str
    match: Clause
    sheets: tuple[PriceSheet, ...]


class PriceProvider(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who serves models.

    Attributes:
        api_pattern: Regular expression that the URL of its API begins with.
        provider_match: Other names that it goes by.
        model_match: Models that are taken for its own where no provider is named.
        fallbacks: Providers whose prices hold for models that it has no price for.
    """

    id: str
    api_pattern: str
    models: tuple[PricedModel, ...]
    provider_match: Clause | None = None
    model_match: Clause | None = None
    fallbacks: tuple[str, ...] = ()


class PriceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of many providers; of several that match, the first counts."""

    version: str
    providers: tuple[PriceProvider, ...]


class PriceOverride(Struct, frozen=True):
    """A price that is set above the table; a provider that is empty is any."""

    provider: str
    match: Clause
    sheet: PriceSheet


class PriceOverrides(Struct, frozen=True):
    """Prices that somebody set; of several that fit a call, the first counts."""

    version: str
    entries: tuple[PriceOverride, ...]


class PriceVersion(NamedTuple):
    """One import of prices.

    Attributes:
        tenant_id: Whose prices; empty for every tenant's.
        number: Of the tenant's imports, from 1; the highest is in force.
        source: Where they came from, for people.
    """

    tenant_id: str
    number: int
    version: str
    source: str
    sha256: str
    imported_at_us: int


class Band(NamedTuple):
    """Weights for calls of more than ``above`` input tokens.

    ``audio`` is empty, or the weights of input, cached and output audio: what few calls have
    is looked at only where it has a price of its own. So are ``rare``, those of one-hour
    cache writes, reasoning and web searches.
    """

    above: int
    input: int
    cached: int
    cache_write: int
    output: int
    request: int
    rare: tuple[int, ...]
    audio: tuple[int, ...]


def compile_rates(rates: Rates) -> tuple[Band, ...]:
    """Work out the weights of a price sheet, the band of the largest calls first.

    >>> compile_rates({"input": ((0, 3), (200, 6)), "cached": ((0, 1),), "output": ((0, 9),)})[0]
    Band(above=200, input=6, cached=-5, cache_write=0, output=9, request=0, rare=(), audio=())
    """
    return tuple(_band(rates, above) for above in reversed(thresholds(rates)))


def thresholds(rates: Rates) -> list[int]:
    """Numbers of input tokens above which calls cost otherwise, upwards; the first is ALL."""
    return [ALL, *sorted({above for steps in rates.values() for above, _ in steps[1:]})]


def _band(rates: Rates, above: int) -> Band:
    weights: dict[str, int] = {}
    for bucket, wholes in BUCKETS.items():
        steps = rates.get(bucket)
        weights[bucket] = (
            rate_at(steps, above) - sum(weights[whole] for whole in wholes) if steps else 0
        )
    rare = (weights["cache_write_1h"], weights["reasoning"], weights["web_search"])
    audio = (weights["input_audio"], weights["cached_audio"], weights["output_audio"])
    return Band(
        above,
        weights["input"],
        weights["cached"],
        weights["cache_write"],
        weights["output"],
        weights["request"],
        rare if any(rare) else (),
        audio if any(audio) else (),
    )


def rate_at(steps: tuple[Step, ...], above: int) -> int:
    """The rate of calls of more than so many input tokens."""
    return [rate for index, (start, rate) in enumerate(steps) if not index or start <= above][-1]


def dearest(rates: Rates, buckets: tuple[str, ...]) -> int:
    """The highest rate of any of these buckets, at any size."""
    return max((rate for name in buckets for _, rate in rates.get(name, ())), default=0)


def missing_wholes(rates: Rates) -> Iterator[tuple[str, str]]:
    """Pairs of a bucket that has a rate and one without which its parts cannot be told."""
    for bucket, wholes in BUCKETS.items():
        if bucket in rates:
            yield from ((bucket, whole) for whole in wholes if whole not in rates)
    if "cached" in rates and "input_audio" in rates and "cached_audio" not in rates:
        yield "input_audio", "cached_audio"
