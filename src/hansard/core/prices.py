"""Prices: what a model call costs, by a book of price tables; integers, rounded once.

    prices of a tenant  >  prices of every tenant  >  the table that comes with the program

A book is immutable: a new price is another book, and what was recorded with the old one
stays. A call that no sheet fits is *unpriced*: nobody knows what it costs, which is not the
same as nothing. Providers and models are found as ``genai-prices`` finds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.price_tables import (
    ALL_DAY,
    BEGINNING_US,
    DAY_US,
    END_US,
    INPUT_BUCKETS,
    OUTPUT_BUCKETS,
    STANDARD,
    STANDARD_NAMES,
    Band,
    PricedModel,
    PriceOverrides,
    PriceProvider,
    PriceSheet,
    PriceTable,
    compile_rates,
    dearest,
)
from hansard.core.usage import NewUsage

SEEN_MAX: Final = 4_096  # names whose sheets a book keeps at hand; models are some thousands
PICO_PER_NANO: Final = 1_000

_LITELLM: Final = "litellm"  # a proxy, which writes "provider/model" for the model
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)", re.ASCII)


class Price(NamedTuple):
    """What a call costs, and the version of the prices that say so."""

    cost_nanousd: int
    version: str


class Bound(NamedTuple):
    """The most that a token of a call can cost, in pico-dollars, and the fee of the call."""

    input_pico_per_token: int
    output_pico_per_token: int
    request_pico: int


class PriceRow(NamedTuple):
    """One sheet as it stands in a book; ``model`` has ``*`` where it means many."""

    provider: str
    model: str
    sheet: PriceSheet
    version: str


class _Compiled(NamedTuple):
    from_us: int
    until_us: int
    begins: int
    ends: int
    bands: tuple[Band, ...]
    version: str


class _Served(NamedTuple):
    """Whom and what a call's names mean, in lower case, and the sheets of the table."""

    providers: frozenset[str]
    models: tuple[str, ...]
    sheets: tuple[PriceSheet, ...]


class PriceBook:
    """Prices, compiled.

    Attributes:
        table: What comes with the program.
        overrides: What was set above it; the first layer wins.
        version: Of all layers together.
    """

    def __init__(self, table: PriceTable, overrides: tuple[PriceOverrides, ...] = ()) -> None:
        self.table = table
        self.overrides = overrides
        self.version = "+".join([*(layer.version for layer in overrides), table.version])
        self._providers = {provider.id: provider for provider in table.providers}
        # Bounded, so that clients who make up names cost time and no memory.
        self._sheets = lru_cache(SEEN_MAX)(self._find_sheets)
        self._seen = lru_cache(SEEN_MAX)(self._compile)

    @classmethod
    def layered(cls, *layers: PriceOverrides, over: PriceBook) -> PriceBook:
        """Put prices over a book; the first layer wins over the next."""
        return cls(over.table, (*layers, *over.overrides))

    def price(self, usage: NewUsage, at_us: int) -> Price | None:
        """Price a call that was made at a moment; None if it is unpriced.

        It is unpriced if no sheet fits its provider, model, service tier and time, or if its
        counts contradict each other.
        """
        time_us = at_us % DAY_US
        for sheet in self._seen(usage.provider, usage.model, usage.service_tier):
            from_us, until_us, begins, ends, bands, version = sheet
            if from_us <= at_us < until_us and begins <= time_us < ends:
                break
        else:
            return None
        sent = usage.input_tokens
        for band in bands:
            if sent > band[0]:
                break
        _, whole, cached, cache_write, output, request, rare, audio = band
        pico = (
            sent * whole
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * cache_write
            + usage.output_tokens * output
            + request
        )
        if rare:
            cache_write_1h, reasoning, web_search = rare
            pico += (
                usage.cache_write_1h_tokens * cache_write_1h
                + usage.reasoning_tokens * reasoning
                + usage.web_searches * web_search
            )
        if audio:
            if _is_contradictory(usage):
                return None
            input_audio, cached_audio, output_audio = audio
            pico += (
                usage.input_audio_tokens * input_audio
                + usage.cached_audio_tokens * cached_audio
                + usage.output_audio_tokens * output_audio
            )
        cost_nanousd = (pico + PICO_PER_NANO // 2) // PICO_PER_NANO
        if not 0 <= cost_nanousd <= COST_MAX_NANOUSD:
            return None
        return tuple.__new__(Price, (cost_nanousd, version))  # half the time of Price(...)

    def bound(
        self, provider: str, model: str, at_us: int, service_tier: str | None = None
    ) -> Bound | None:
        """The dearest rates that a call can meet; None if it is unpriced.

        ``service_tier`` is the one asked for, which a provider may lower to the standard one;
        None allows for every tier that has a price.
        """
        tiers = {STANDARD} if service_tier is None else {STANDARD, tier_of(service_tier)}
        if service_tier is None:
            tiers |= {sheet.tier for sheet, _ in self._sheets(provider, model)}
        found = {tier: self.sheet(provider, model, at_us, tier) for tier in tiers}
        if found[STANDARD] is None or (service_tier is not None and None in found.values()):
            return None
        rates = [sheet.rates for sheet, _ in filter(None, found.values())]
        return Bound(
            max(dearest(each, INPUT_BUCKETS) for each in rates),
            max(dearest(each, OUTPUT_BUCKETS) for each in rates),
            max(dearest(each, ("request",)) for each in rates),
        )

    def sheet(
        self, provider: str, model: str, at_us: int, service_tier: str = STANDARD
    ) -> tuple[PriceSheet, str] | None:
        """The sheet that prices a call, and its version; None if it is unpriced."""
        tier = tier_of(service_tier)
        for sheet, version in self._sheets(provider, model):
            if sheet.tier == tier and sheet.covers(at_us):
                return sheet, version
        return None

    def provider_of(self, url: str) -> str:
        """The provider whose API is at a URL; empty if it is nobody's that is known."""
        for provider in self.table.providers:
            if re.match(provider.api_pattern, url):
                return provider.id
        return ""

    def rows(self) -> Iterator[PriceRow]:
        """Every sheet: those that were set first, in the order in which they count."""
        for layer in self.overrides:
            for entry in layer.entries:
                yield PriceRow(entry.provider, entry.match.text, entry.sheet, layer.version)
        for provider in self.table.providers:
            for model in provider.models:
                for sheet in model.sheets:
                    yield PriceRow(provider.id, model.id, sheet, self.table.version)

    def _compile(self, provider: str, model: str, service_tier: str) -> tuple[_Compiled, ...]:
        tier = tier_of(service_tier)
        return tuple(
            _Compiled(
                BEGINNING_US if sheet.from_us is None else sheet.from_us,
                END_US if sheet.until_us is None else sheet.until_us,
                begins,
                ends,
                compile_rates(sheet.rates),
                version,
            )
            for sheet, version in self._sheets(provider, model)
            if sheet.tier == tier
            for begins, ends in [sheet.daily or ALL_DAY]
        )

    def _find_sheets(self, provider: str, model: str) -> tuple[tuple[PriceSheet, str], ...]:
        return tuple(self._iter_sheets(provider, model))

    def _iter_sheets(self, provider: str, model: str) -> Iterator[tuple[PriceSheet, str]]:
        """The sheets of a model, of all tiers and times; the first that fits counts."""
        served = self._serve(provider, model)
        for layer in self.overrides:
            for entry in layer.entries:
                if (not entry.provider or self._means(entry.provider, served)) and any(
                    map(entry.match.matches, served.models)
                ):
                    yield entry.sheet, layer.version
        for sheet in reversed(served.sheets):  # the newest are asked for most
            yield sheet, self.table.version

    def _means(self, name: str, served: _Served) -> bool:
        named = name.lower().strip()
        known = self._find_provider(named)
        return named in served.providers or (known is not None and known.id in served.providers)

    def _serve(self, provider: str, model: str) -> _Served:
        named, asked = provider.lower().strip(), model.lower()
        if named == _LITELLM and "/" in asked:
            prefix, _, rest = asked.partition("/")
            if prefix and self._find_provider(prefix):
                named, asked = prefix, rest
        known = self._find_provider(named) if named else None
        if known is None and named in {"", _LITELLM}:
            known = next(
                (each for each in self.table.providers if _is_taken_for(each, asked)), None
            )
        if known is None:
            return _Served(frozenset({named}), (asked,), ())
        providers = frozenset({named, known.id})
        dashed = _COMPACT_DATE.sub(_dash_date, asked)
        for name in (asked,) if dashed == asked else (asked, dashed):
            for owner in (known.id, *known.fallbacks):
                if found := _find_model(self._providers[owner], name):
                    sheets = found.sheets if owner == known.id else _standard(found.sheets)
                    return _Served(providers, (asked, found.id.lower()), sheets)
        return _Served(providers, (asked,), ())

    def _find_provider(self, name: str) -> PriceProvider | None:
        if name in self._providers:
            return self._providers[name]
        return next(
            (
                each
                for each in self.table.providers
                if each.provider_match and each.provider_match.matches(name)
            ),
            None,
        )


def tier_of(service_tier: str) -> str:
    """The one name of a service tier."""
    tier = service_tier.lower()
    return STANDARD if tier in STANDARD_NAMES else tier


def _find_model(provider: PriceProvider, name: str) -> PricedModel | None:
    return next((model for model in provider.models if model.match.matches(name)), None)


def _standard(sheets: tuple[PriceSheet, ...]) -> tuple[PriceSheet, ...]:
    """What holds where another serves the model: its tiers are not the provider's."""
    return tuple(sheet for sheet in sheets if sheet.tier == STANDARD)


def _is_taken_for(provider: PriceProvider, model: str) -> bool:
    return provider.model_match is not None and provider.model_match.matches(model)


def _dash_date(match: re.Match[str]) -> str:
    """Write ``-20251211`` as ``-2025-12-11``, if there is such a day."""
    try:
        return f"-{date(*map(int, match.groups()))}"
    except ValueError:
        return match[0]


def _is_contradictory(usage: NewUsage) -> bool:
    """Tell whether parts that do not overlap are more than their whole."""
    uncached_audio = usage.input_audio_tokens - usage.cached_audio_tokens
    return usage.cached_tokens + usage.cache_write_tokens + uncached_audio > usage.input_tokens
