"""Our prices against ``genai-prices``, over all its models: the same matches, the same money.

Where they may differ is said here: a model is unpriced, and not free, if nothing that we
count has a price; an unknown service tier is unpriced, and not standard; and a rate that is
finer than a pico-dollar for one token is rounded to it.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price, data, types
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.usage import NewUsage
from hansard.formats.prices import BUILTIN, load_builtin, read_builtin, write_builtin
from prices.convert import convert

COUNTED = {"input_mtok", "output_mtok", "requests_kcount"}
"""Prices of which a call must have one, for its counts to say what it costs."""

TIER_KEYS = {"service_tier", "processing", "speed"}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
MODELS = [(provider, model) for provider in data.providers for model in provider.models]

Count = Mapping[str, int]


def test_vendored_table_is_what_the_converter_makes() -> None:
    vendored = BUILTIN.read_bytes()
    assert write_builtin(convert(read_builtin(vendored).taken_on)) == vendored


@pytest.mark.parametrize("provider", data.providers, ids=lambda provider: provider.id)
def test_every_model_costs_the_same(provider: types.Provider) -> None:
    draw = random.Random(provider.id)
    for model in provider.models:
        for moment in moments(model, draw):
            for parts in [*sizes(model, draw), some_parts(draw)]:
                compare(provider.id, model.id, moment, parts)


@pytest.mark.parametrize("provider", data.providers, ids=lambda provider: provider.id)
def test_every_tier_costs_the_same(provider: types.Provider) -> None:
    draw = random.Random(provider.id)
    for model in provider.models:
        for variant in model.price_variants or ():
            for moment in moments(model, draw):
                compare(provider.id, model.id, moment, some_parts(draw), variant.when)


@pytest.mark.parametrize("provider", data.providers, ids=lambda provider: provider.id)
def test_every_name_means_the_same(provider: types.Provider) -> None:
    draw = random.Random(provider.id)
    moment = EPOCH + draw.randrange(18_000, 22_000) * DAY
    for text in sorted({text for model in provider.models for text in texts(model.match)}):
        name = draw.choice(forms(text))
        compare(provider.id, text, moment, some_parts(draw))
        compare(draw.choice(askers(provider.id)), name, moment, some_parts(draw))
        compare("litellm", f"{provider.id}/{name}", moment, some_parts(draw))


@pytest.mark.parametrize("provider", data.providers, ids=lambda provider: provider.id)
def test_every_address_means_the_same(provider: types.Provider) -> None:
    plain = provider.api_pattern.replace("\\", "").partition("(?")[0]
    for url in (plain, f"{plain}/v1", f"{plain}.example", "https://eu.openai.azure.com/openai"):
        ours = load_builtin().provider_of(url)
        theirs = [each.id for each in data.providers if re.match(each.api_pattern, url)]
        assert ours == next(iter(theirs), "")


@given(
    st.sampled_from(MODELS),
    st.integers(0, 10**6),
    st.integers(18_000 * 86_400, 22_000 * 86_400),
    st.sampled_from(["", "default", "priority", "flex", "batch", "fast", "nonsense"]),
)
def test_any_call_costs_the_same(
    chosen: tuple[types.Provider, types.ModelInfo], seed: int, seconds: int, tier: str
) -> None:
    provider, model = chosen
    moment = EPOCH + dt.timedelta(seconds=seconds)
    whens = [each.when for each in model.price_variants or () if tier in each.when.values()]
    when = next(iter(whens), {"service_tier": tier} if tier else {})
    compare(provider.id, model.id, moment, some_parts(random.Random(seed)), when)


def compare(
    provider_id: str,
    name: str,
    moment: dt.datetime,
    parts: Count,
    when: Mapping[str, str] | None = None,
) -> None:
    """Price a call by both."""
    if when and not when.keys() & TIER_KEYS:
        return
    tier = next(iter(when.values())) if when else ""
    ours = load_builtin().price(
        usage(provider_id, name, tier, parts), (moment - EPOCH) // dt.timedelta(microseconds=1)
    )
    theirs = expected(provider_id, name, moment, parts, when or {})
    where = (provider_id, name, moment, tier, parts, theirs)
    if theirs is None:
        assert ours is None, where
        return
    assert ours is not None, where
    cost_nanousd, slack_nanousd = theirs
    assert abs(ours.cost_nanousd - cost_nanousd) <= slack_nanousd, where


def expected(
    provider_id: str, name: str, moment: dt.datetime, parts: Count, when: Mapping[str, str]
) -> tuple[int, int] | None:
    """Their price in nano-dollars, and how much rounded rates may move it; None if unpriced."""
    try:
        found = calc_price(
            their_usage(parts),
            name,
            provider_id=provider_id or None,
            genai_request_timestamp=moment,
            price_context=when,
        )
    except LookupError:
        return None
    stated = {key: price for key, price in vars(found.model_price).items() if price is not None}
    is_free = not stated and found.model.id.endswith(":free")
    if not (stated.keys() & COUNTED or is_free) or not has_tier(found, moment, when):
        return None
    cost_nanousd = (found.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_UP)
    return int(cost_nanousd), 0 if all(map(is_whole, stated.values())) else slack(parts)


def has_tier(found: types.PriceCalculation, moment: dt.datetime, when: Mapping[str, str]) -> bool:
    """Tell whether the provider that was asked has a price for the tier at the moment."""
    if not when or set(when.values()) <= {"", "default", "standard", "auto"}:
        return True
    return any(model is found.model for model in found.provider.models) and any(
        variant.when == when
        for variant in found.model.price_variants or ()
        if variant.constraint is None or variant.constraint.active(moment)
    )


def is_whole(price: Decimal | types.TieredPrices) -> bool:
    """Tell whether a price for a million is whole pico-dollars for one."""
    if isinstance(price, types.TieredPrices):
        return all(map(is_whole, [price.base, *(tier.price for tier in price.tiers)]))
    return price * 10**6 == int(price * 10**6)


def slack(parts: Count) -> int:
    """Half a pico-dollar for each token, in nano-dollars, and one for the rounding."""
    return sum(parts.values()) // 2_000 + 1


def some_parts(draw: random.Random, text: int | None = None) -> Count:
    """Disjoint parts of a call; most of them are often missing."""

    def count(most: int) -> int:
        return draw.choice([0, 0, draw.randrange(most)])

    return {
        "text": draw.randrange(500_000) if text is None else text,
        "audio": count(50_000),
        "cached_text": count(300_000),
        "cached_audio": count(50_000),
        "write": count(100_000),
        "write_1h": count(100_000),
        "answer": draw.randrange(50_000),
        "reasoning": count(50_000),
        "spoken": count(20_000),
        "searches": count(20),
    }


def sizes(model: types.ModelInfo, draw: random.Random) -> Iterator[Count]:
    """Calls around each threshold of a model: of so many input tokens, and of one more."""
    for start in sorted({tier.start for price in prices(model) for tier in tiers(price)}):
        for total in (start, start + 1):
            parts = {**some_parts(draw, 0), "audio": 0, "cached_audio": 0}
            others = parts["cached_text"] + parts["write"] + parts["write_1h"]
            if others <= total:
                yield {**parts, "text": total - others}
            yield {**dict.fromkeys(parts, 0), "text": total, "answer": 7}


def prices(model: types.ModelInfo) -> list[Any]:
    """Every price of a model."""
    sheets = model.prices if isinstance(model.prices, list) else [model]
    return [
        price
        for each in [*sheets, *(model.price_variants or ())]
        for price in vars(each.prices).values()
    ]


def tiers(price: Any) -> list[types.Tier]:
    return price.tiers if isinstance(price, types.TieredPrices) else []


def moments(model: types.ModelInfo, draw: random.Random) -> list[dt.datetime]:
    """A moment now, and those around which other prices hold."""
    conditional = model.prices if isinstance(model.prices, list) else []
    found = [EPOCH + draw.randrange(18_000, 22_000) * DAY + draw.random() * DAY]
    for each in [*conditional, *(model.price_variants or ())]:
        match each.constraint:
            case types.StartDateConstraint(start_date=day):
                start = dt.datetime.combine(day, dt.time(), dt.UTC)
                found += [start, start - dt.timedelta(microseconds=1)]
            case types.TimeOfDateConstraint(start_time=begins, end_time=ends):
                day = found[0].date()
                for time in (begins, ends):
                    start = dt.datetime.combine(day, time)
                    found += [start, start - dt.timedelta(microseconds=1), start + 365 * DAY]
    return found


def texts(clause: Any) -> Iterator[str]:
    """The words of a condition."""
    for value in vars(clause).values():
        if isinstance(value, str):
            yield value.strip("^$").replace("\\", "")
        else:
            for part in value:
                yield from texts(part)


def forms(text: str) -> tuple[str, ...]:
    """Names that a word of a condition may or may not be meant by."""
    return text, text.upper(), f"{text}-20250514", f"{text}-2025-05-14", f"x/{text}", f"{text}:free"


def askers(provider_id: str) -> tuple[str, ...]:
    """Ways to say, or not to say, whose model a name is."""
    return provider_id.upper() + " ", "", "litellm", "azure", "vertex", "nobody"


def usage(provider: str, model: str, tier: str, parts: Count) -> NewUsage:
    """The call as we count it: wholes include their parts."""
    audio = parts["audio"] + parts["cached_audio"]
    cached = parts["cached_text"] + parts["cached_audio"]
    cache_write = parts["write"] + parts["write_1h"]
    return NewUsage(
        event_id="e",
        provider=provider,
        model=model,
        service_tier=tier,
        input_tokens=parts["text"] + parts["audio"] + cached + cache_write,
        cached_tokens=cached,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=parts["write_1h"],
        input_audio_tokens=audio,
        cached_audio_tokens=parts["cached_audio"],
        output_tokens=parts["answer"] + parts["reasoning"] + parts["spoken"],
        reasoning_tokens=parts["reasoning"],
        output_audio_tokens=parts["spoken"],
        web_searches=parts["searches"],
    )


def their_usage(parts: Count) -> Usage:
    """The call as they count it."""
    ours = usage("", "", "", parts)
    return Usage(
        input_tokens=ours.input_tokens,
        cache_read_tokens=ours.cached_tokens,
        cache_write_tokens=ours.cache_write_tokens,
        cache_write_1h_tokens=ours.cache_write_1h_tokens,
        input_audio_tokens=ours.input_audio_tokens,
        cache_audio_read_tokens=ours.cached_audio_tokens,
        output_tokens=ours.output_tokens,
        output_reasoning_tokens=ours.reasoning_tokens,
        output_audio_tokens=ours.output_audio_tokens,
        web_searches=ours.web_searches,
    )
