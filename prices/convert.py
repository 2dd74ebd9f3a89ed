"""Write the price table of the installed ``genai-prices`` as our own: ``make prices``.

Its rules of which price holds when are worked out here, once, by asking it at every moment at
which an answer can change; what is written is plain: a sheet of whole numbers, from one
moment until another, for one service tier. A test holds that the file is what this makes.

    python -m prices.convert [DATE]      the day the prices were taken; by default today
"""

from __future__ import annotations

import datetime as dt
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from genai_prices import data, types

from hansard.core import price_tables
from hansard.core.price_tables import (
    DAY_US,
    STANDARD,
    STANDARD_NAMES,
    Clause,
    PricedModel,
    PriceProvider,
    PriceSheet,
    Rates,
)
from hansard.formats.prices import BuiltinPrices, write_builtin

FILE: Final = Path(__file__).parents[1] / "src" / "hansard" / "formats" / "prices.json"
SOURCE: Final = "genai-prices"
PICO_PER_USD: Final = 10**12

UNITS: Final[Mapping[str, tuple[str, int]]] = {
    "input_mtok": ("input", 10**6),
    "cache_read_mtok": ("cached", 10**6),
    "cache_write_mtok": ("cache_write", 10**6),
    "cache_write_1h_mtok": ("cache_write_1h", 10**6),
    "input_audio_mtok": ("input_audio", 10**6),
    "cache_audio_read_mtok": ("cached_audio", 10**6),
    "output_mtok": ("output", 10**6),
    "output_reasoning_mtok": ("reasoning", 10**6),
    "output_audio_mtok": ("output_audio", 10**6),
    "web_searches_kcount": ("web_search", 10**3),
    "requests_kcount": ("request", 10**3),
}
"""Its price keys that we count, our bucket, and for how many units the price is."""

COUNTED: Final = {"input", "output", "request"}
"""Without a rate for one of these, the price is for what we do not count, such as hours."""

TIER_KEYS: Final = ("service_tier", "processing", "speed")
"""What a provider may call the tier that a call was served in."""

FREE: Final[Rates] = {"input": ((0, 0),), "output": ((0, 0),)}
FREE_SUFFIX: Final = ":free"  # how OpenRouter marks that a model costs nothing, in its name

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND: Final = dt.timedelta(microseconds=1)

Context = dict[str, str]


def convert(taken_on: str) -> BuiltinPrices:
    """Convert all prices of the installed version."""
    return BuiltinPrices(
        source=f"{SOURCE} {version(SOURCE)}",
        taken_on=taken_on,
        providers=tuple(map(_provider, data.providers)),
    )


def _provider(provider: types.Provider) -> PriceProvider:
    return PriceProvider(
        id=provider.id,
        api_pattern=provider.api_pattern,
        provider_match=_clause(provider.provider_match),
        model_match=_clause(provider.model_match),
        fallbacks=tuple(provider.fallback_model_providers or ()),
        models=tuple(map(_model, provider.models)),
    )


def _clause(clause: Any) -> Clause | None:
    """Copy a condition; names are compared in lower case, all but regular expressions."""
    match clause:
        case None:
            return None
        case types.ClauseOr():
            return Clause(any_of=tuple(filter(None, map(_clause, clause.or_))))
        case types.ClauseAnd():
            return Clause(all_of=tuple(filter(None, map(_clause, clause.and_))))
        case types.ClauseRegex():
            return Clause(regex=clause.regex)
        case _:
            ((kind, text),) = vars(clause).items()
            return Clause(**{kind: text.lower()})


def _model(model: types.ModelInfo) -> PricedModel:
    match = _clause(model.match)
    assert match is not None
    tiers: dict[str, Context] = {STANDARD: {}}
    for variant in model.price_variants or ():
        ((key, tier),) = variant.when.items()
        if key in TIER_KEYS:
            tiers[tier] = {key: tier}
    sheets = [
        sheet
        for tier, context in tiers.items()
        if tier == STANDARD or tier not in STANDARD_NAMES
        for sheet in _sheets(model, tier, context)
    ]
    _check_standard(model, tiers)
    return PricedModel(id=model.id, match=match, sheets=tuple(sheets))


def _check_standard(model: types.ModelInfo, tiers: Mapping[str, Context]) -> None:
    """Make sure that the standard tier costs the same by each of its names."""
    for tier in tiers.keys() & STANDARD_NAMES - {STANDARD}:
        for moment in _days(model):
            assert model.get_prices(moment, tiers[tier]) == model.get_prices(moment), model.id


def _sheets(model: types.ModelInfo, tier: str, context: Context) -> Iterator[PriceSheet]:
    """The sheets of one tier: one for each stretch of days and hours that has its own rates."""
    days = _days(model)
    starts = [None, *map(_us, days[1:])]
    plans = [_plan(model, day, context) for day in days]
    for first, after in _stretches(plans):
        until_us = None if after is None else starts[after]
        for daily, rates in plans[first]:
            yield PriceSheet(rates, tier, starts[first], until_us, daily)


def _plan(
    model: types.ModelInfo, day: dt.datetime, context: Context
) -> list[tuple[tuple[int, int] | None, Rates]]:
    """The rates of one day: of all of it, or by its hours."""
    hours = _hours(model)
    rates = [_rates_at(model, day + hour * MICROSECOND, context) for hour in hours]
    stretches = _stretches(rates)
    if len(stretches) == 1:
        return [(None, rates[0])] if rates[0] else []
    return [
        ((hours[first], DAY_US if after is None else hours[after]), rates[first])
        for first, after in stretches
        if rates[first]
    ]


def _stretches(values: Sequence[object]) -> list[tuple[int, int | None]]:
    """Where equal values begin, and where others follow them."""
    changes = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    return list(itertools.zip_longest(changes, changes[1:]))


def _rates_at(model: types.ModelInfo, moment: dt.datetime, context: Context) -> Rates:
    """Rates at a moment; none if the tier has no price then: it would be given another's."""
    if context and not _has_variant(model, moment, context):
        return {}
    return _rates(model, model.get_prices(moment, context))


def _has_variant(model: types.ModelInfo, moment: dt.datetime, context: Context) -> bool:
    return any(
        variant.when == context
        for variant in model.price_variants or ()
        if variant.constraint is None or variant.constraint.active(moment)
    )


def _constraints(model: types.ModelInfo) -> list[Any]:
    conditional = model.prices if isinstance(model.prices, list) else []
    return [each.constraint for each in (*conditional, *(model.price_variants or ()))]


def _days(model: types.ModelInfo) -> list[dt.datetime]:
    """A day long ago, and every day from which other prices hold."""
    starts = {
        dt.datetime.combine(each.start_date, dt.time(), dt.UTC)
        for each in _constraints(model)
        if isinstance(each, types.StartDateConstraint)
    }
    return [EPOCH, *sorted(starts)]


def _hours(model: types.ModelInfo) -> list[int]:
    """Midnight, and every time of the day from which other prices hold; microseconds."""
    times = {
        dt.datetime.combine(EPOCH, each)
        for constraint in _constraints(model)
        if isinstance(constraint, types.TimeOfDateConstraint)
        for each in (constraint.start_time, constraint.end_time)
    }
    return sorted({0} | {_us(time) % DAY_US for time in times})


def _rates(model: types.ModelInfo, prices: types.ModelPrice) -> Rates:
    """Rates in pico-dollars; none if nobody knows what a call costs."""
    stated = {key: price for key, price in vars(prices).items() if price is not None}
    if not stated and model.id.endswith(FREE_SUFFIX):
        return FREE
    rates = {
        bucket: _steps(stated[key], per) for key, (bucket, per) in UNITS.items() if key in stated
    }
    assert not list(price_tables.missing_wholes(rates)), model.id
    return rates if rates.keys() & COUNTED else {}


def _steps(price: Decimal | types.TieredPrices, per: int) -> tuple[tuple[int, int], ...]:
    if isinstance(price, Decimal):
        return ((0, _pico(price, per)),)
    above = [(tier.start, _pico(tier.price, per)) for tier in price.tiers]
    return ((0, _pico(price.base, per)), *above)


def _pico(price: Decimal, per: int) -> int:
    """Dollars for some units as pico-dollars for one, half up: some end in float noise."""
    return int((price * PICO_PER_USD / per).to_integral_value(ROUND_HALF_UP))


def _us(moment: dt.datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def main() -> None:
    """Write the file."""
    today = dt.datetime.now(dt.UTC).date()  # noqa: TID251 - a tool, run by hand
    taken_on = sys.argv[1] if len(sys.argv) > 1 else str(today)
    FILE.write_bytes(write_builtin(convert(taken_on)))


if __name__ == "__main__":
    main()
