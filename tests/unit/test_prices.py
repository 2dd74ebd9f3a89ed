"""Prices: what a call costs, what nobody knows, and which price is in force."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.price_tables import (
    Clause,
    PricedModel,
    PriceOverride,
    PriceOverrides,
    PriceProvider,
    PriceSheet,
    PriceTable,
    Rates,
    compile_rates,
)
from hansard.core.prices import SEEN_MAX, Bound, Price, PriceBook
from hansard.core.times import parse_us
from hansard.core.usage import TOKENS_MAX, NewUsage
from hansard.formats.prices import load_builtin

NOW_US = parse_us("2026-11-21T12:00:00Z")
RATES: Rates = {"input": ((0, 3_000_000),), "output": ((0, 15_000_000),)}


def call(provider: str = "p", model: str = "m", **counts: Any) -> NewUsage:
    return NewUsage(event_id="e", provider=provider, model=model, **counts)


def book(*sheets: PriceSheet, layers: tuple[PriceOverrides, ...] = ()) -> PriceBook:
    """A book of one provider with one model."""
    model = PricedModel("m", Clause(starts_with="m"), sheets)
    provider = PriceProvider("p", "https://p\\.example", (model,), Clause(contains="peter"))
    return PriceBook.layered(*layers, over=PriceBook(PriceTable("table", (provider,))))


def layer(version: str, *entries: PriceOverride) -> PriceOverrides:
    return PriceOverrides(version, entries)


def override(rate: int, *, provider: str = "p", model: str = "m", **sheet: Any) -> PriceOverride:
    rates = {"input": ((0, rate),), "output": ((0, rate),)}
    return PriceOverride(provider, Clause(equals=model), PriceSheet(rates, **sheet))


def cost(prices: PriceBook, usage: NewUsage, at_us: int = NOW_US) -> int | None:
    price = prices.price(usage, at_us)
    return price and price.cost_nanousd


@pytest.mark.parametrize(
    ("provider", "model", "plain", "with_cache"),
    [
        ("openai", "gpt-4o", 7_500_000, 7_000_000),
        ("anthropic", "claude-sonnet-4-20250514", 10_500_000, 9_420_000),
        ("google", "gemini-2.5-pro", 6_250_000, 5_800_000),
        ("openai", "gpt-5", 6_250_000, 5_800_000),
    ],
)
def test_price_is_what_the_provider_bills(
    provider: str, model: str, plain: int, with_cache: int
) -> None:
    prices = load_builtin()
    assert cost(prices, call(provider, model, input_tokens=1_000, output_tokens=500)) == plain
    cached = call(provider, model, input_tokens=1_000, cached_tokens=400, output_tokens=500)
    assert cost(prices, cached) == with_cache


def test_price_is_that_of_its_day() -> None:
    usage = call("openai", "o3", input_tokens=1_000, output_tokens=500)
    assert cost(load_builtin(), usage, parse_us("2025-06-01T00:00:00Z")) == 30_000_000
    assert cost(load_builtin(), usage) == 6_000_000


def test_hour_of_cache_costs_more_than_five_minutes() -> None:
    model = ("anthropic", "claude-sonnet-4-20250514")
    counts: dict[str, Any] = {
        "input_tokens": 1_000,
        "cache_write_tokens": 600,
        "output_tokens": 500,
    }
    assert cost(load_builtin(), call(*model, **counts)) == 10_950_000
    assert cost(load_builtin(), call(*model, **counts, cache_write_1h_tokens=600)) == 12_300_000


def test_large_call_costs_more_in_whole() -> None:
    usage = call("google", "gemini-2.5-pro", input_tokens=200_001, output_tokens=500)
    assert cost(load_builtin(), usage) == 507_502_500
    usage = call("google", "gemini-2.5-pro", input_tokens=200_000, output_tokens=500)
    assert cost(load_builtin(), usage) == 255_000_000


def test_price_names_its_version() -> None:
    assert book(PriceSheet(RATES)).price(call(), NOW_US) == Price(0, "table")


@pytest.mark.parametrize(
    "usage",
    [
        call("p", "unknown"),
        call("nobody", "m"),
        call("", "m"),
        call("openai", "gpt-5-imaginary-model-that-nobody-has" * 3),
        call(service_tier="batch"),
        call(service_tier="nonsense"),
    ],
)
def test_what_no_sheet_fits_is_unpriced(usage: NewUsage) -> None:
    assert book(PriceSheet(RATES)).price(usage, NOW_US) is None
    assert (
        book(PriceSheet(RATES)).bound(usage.provider, usage.model, NOW_US, usage.service_tier)
        is None
    )


@pytest.mark.parametrize("tier", ["", "default", "standard", "auto", "Standard", "on_demand"])
def test_standard_tier_has_many_names(tier: str) -> None:
    assert cost(book(PriceSheet(RATES)), call(service_tier=tier, output_tokens=1)) == 15_000


def test_tier_has_its_own_price() -> None:
    prices = book(PriceSheet(RATES), PriceSheet({"input": ((0, 1_000),)}, tier="flex"))
    assert cost(prices, call(service_tier="Flex", input_tokens=2)) == 2


def test_tier_of_another_provider_is_unpriced() -> None:
    """Azure serves the models of OpenAI at its prices, which says nothing of its tiers."""
    usage = call("azure", "gpt-4.1", input_tokens=1, service_tier="fast")
    assert load_builtin().price(usage, NOW_US) is None
    assert load_builtin().price(call("openai", "gpt-4.1", service_tier="fast"), NOW_US)
    assert load_builtin().price(call("azure", "gpt-4.1"), NOW_US)


def test_model_that_is_billed_by_what_is_not_counted_is_unpriced() -> None:
    assert load_builtin().price(call("openai", "whisper-1", input_tokens=9), NOW_US) is None


def test_model_without_a_stated_price_is_unpriced_and_a_free_one_free() -> None:
    prices = load_builtin()
    assert prices.price(call("openrouter", "google/lyria-3-pro-preview"), NOW_US) is None
    assert cost(prices, call("openrouter", "qwerky-72b:free", output_tokens=1_000)) == 0


@pytest.mark.parametrize(
    ("rate", "tokens", "cost_nanousd"), [(499, 1, 0), (500, 1, 1), (300, 5, 2), (1, 1_499, 1)]
)
def test_cost_is_rounded_once_and_half_up(rate: int, tokens: int, cost_nanousd: int) -> None:
    prices = book(PriceSheet({"input": ((0, rate),), "output": ((0, rate),)}))
    half = tokens // 2
    usage = call(input_tokens=half, output_tokens=tokens - half)
    assert cost(prices, usage) == cost_nanousd


def test_fee_of_a_call_and_of_its_searches_is_added() -> None:
    prices = book(PriceSheet({"request": ((0, 5_000_000),), "web_search": ((0, 10_000_000),)}))
    assert cost(prices, call(web_searches=3)) == 35_000


def test_contradictory_audio_is_unpriced() -> None:
    rates: Rates = {
        **RATES,
        "cached": ((0, 1),),
        "input_audio": ((0, 9),),
        "cached_audio": ((0, 1),),
    }
    prices = book(PriceSheet(rates))
    assert cost(prices, call(input_tokens=10, cached_tokens=5, input_audio_tokens=5)) is not None
    assert cost(prices, call(input_tokens=10, cached_tokens=6, input_audio_tokens=5)) is None


def test_cost_beyond_any_money_is_unpriced() -> None:
    prices = book(PriceSheet({"input": ((0, 10**12),)}))
    assert prices.price(call(input_tokens=TOKENS_MAX), NOW_US) is None


def test_sheet_holds_from_its_first_moment_until_its_last() -> None:
    prices = book(PriceSheet(RATES, from_us=10, until_us=20))
    assert [cost(prices, call(), at_us) for at_us in (9, 10, 19, 20)] == [None, 0, 0, None]


def test_override_wins_and_leaves_the_rest() -> None:
    prices = book(PriceSheet(RATES), layers=(layer("mine", override(1_000, until_us=NOW_US)),))
    assert prices.price(call(input_tokens=2), NOW_US - 1) == Price(2, "mine")
    assert prices.price(call(input_tokens=2), NOW_US) == Price(6_000, "table")
    assert prices.price(call(service_tier="flex", input_tokens=2), NOW_US) is None
    assert prices.version == "mine+table"


def test_first_layer_wins() -> None:
    layers = (layer("tenant", override(1_000)), layer("all", override(2_000)))
    assert book(layers=layers).price(call(input_tokens=1), NOW_US) == Price(1, "tenant")


def test_override_counts_only_in_its_time_and_tier() -> None:
    layers = (
        layer("old", override(1_000, until_us=NOW_US)),
        layer("flex", override(1_000, tier="flex")),
        layer("new", override(2_000, from_us=NOW_US)),
    )
    prices = book(PriceSheet(RATES), layers=layers)
    assert prices.price(call(input_tokens=1), NOW_US) == Price(2, "new")
    assert prices.price(call(input_tokens=1), NOW_US - 1) == Price(1, "old")
    assert prices.price(call(input_tokens=1, service_tier="flex"), NOW_US) == Price(1, "flex")


@pytest.mark.parametrize("provider", ["", "p", "Peter's"])
@pytest.mark.parametrize("model", ["m", "m-2026", "M"])
def test_override_means_provider_and_model_by_any_name(provider: str, model: str) -> None:
    """The provider answers with a dated name; whoever sets a price writes the model's own."""
    prices = book(layers=(layer("mine", override(1_000, provider=provider)),))
    for asked in ("p", " P", "peter.example"):
        assert prices.price(call(asked, model, input_tokens=1), NOW_US) == Price(1, "mine")
    assert prices.price(call("other", "x", input_tokens=1), NOW_US) is None


def test_override_prices_a_provider_that_the_table_does_not_know() -> None:
    prices = book(layers=(layer("mine", override(1_000, provider="vllm", model="llama")),))
    assert cost(prices, call("VLLM", "Llama", input_tokens=1)) == 1
    assert cost(prices, call("p", "llama", input_tokens=1)) is None


def test_bound_is_the_dearest_that_can_come() -> None:
    sheet = PriceSheet(
        {
            "input": ((0, 1), (100, 4)),
            "cached": ((0, 1),),
            "cache_write": ((0, 2), (100, 5)),
            "output": ((0, 9),),
            "reasoning": ((0, 8),),
            "request": ((0, 7),),
        }
    )
    dear = PriceSheet({"input": ((0, 6),), "output": ((0, 12),)}, tier="fast")
    past = PriceSheet({"input": ((0, 60),)}, tier="old", until_us=NOW_US)
    prices = book(sheet, dear, past)
    assert prices.bound("p", "m", NOW_US) == Bound(6, 12, 7)
    assert prices.bound("p", "m", NOW_US, "") == Bound(5, 9, 7)
    assert prices.bound("p", "m", NOW_US, "fast") == Bound(6, 12, 7)
    assert prices.bound("p", "m", NOW_US, "old") is None


def test_bound_needs_a_price_of_the_standard_tier() -> None:
    assert book(PriceSheet(RATES, tier="batch")).bound("p", "m", NOW_US) is None


@given(
    st.sampled_from(
        [
            ("anthropic", "claude-sonnet-4"),
            ("google", "gemini-2.5-flash"),
            ("openai", "gpt-5.4"),
            ("openai", "gpt-realtime"),
        ]
    ),
    *[st.integers(0, 400_000)] * 6,
)
def test_no_call_costs_more_than_its_bound(
    name: tuple[str, str], text: int, cached: int, write: int, hour: int, answer: int, thought: int
) -> None:
    prices = load_builtin()
    usage = call(
        *name,
        input_tokens=text + cached + write + hour,
        cached_tokens=cached,
        cache_write_tokens=write + hour,
        cache_write_1h_tokens=hour,
        output_tokens=answer + thought,
        reasoning_tokens=thought,
    )
    bound = prices.bound(*name, NOW_US)
    spent = cost(prices, usage)
    assert bound is not None
    assert spent is not None
    most_pico = (
        usage.input_tokens * bound.input_pico_per_token
        + usage.output_tokens * bound.output_pico_per_token
        + bound.request_pico
    )
    assert spent * 1_000 <= most_pico + 500


def test_provider_is_known_by_its_address() -> None:
    prices = load_builtin()
    assert prices.provider_of("https://api.openai.com/v1") == "openai"
    assert prices.provider_of("http://127.0.0.1:8000/v1") == ""


def test_weights_charge_each_token_once() -> None:
    (band,) = compile_rates(
        {"input": ((0, 5),), "cache_write": ((0, 7),), "cache_write_1h": ((0, 9),)}
    )
    assert (band.input, band.cache_write, band.rare) == (5, 2, (2, 0, 0))


def test_rows_say_all_that_is_in_a_book() -> None:
    prices = book(PriceSheet(RATES), layers=(layer("mine", override(1)),))
    assert [(row.model, row.version) for row in prices.rows()] == [("m", "mine"), ("m", "table")]


def test_made_up_names_do_not_fill_memory() -> None:
    prices = book(PriceSheet(RATES))
    for number in range(SEEN_MAX + 10):
        assert cost(prices, call("nobody", str(number))) is None
    assert prices._seen.cache_info().currsize == SEEN_MAX


def test_importing_the_package_reads_no_prices() -> None:
    code = (
        "import sys, hansard;"
        "assert 'hansard.formats.prices' not in sys.modules;"
        "import hansard.cli.main, hansard.server.app, hansard.formats.prices as prices;"
        "assert prices.load_builtin.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_can_be_read_first_by_many_threads_at_once() -> None:
    code = (
        "import sys, threading;"
        "from hansard.formats.prices import load_builtin;"
        "barrier = threading.Barrier(16);"
        "sys.setswitchinterval(1e-5);"
        "read = lambda: (barrier.wait(), load_builtin());"
        "threads = [threading.Thread(target=read) for _ in range(16)];"
        "[thread.start() for thread in threads];"
        "[thread.join() for thread in threads];"
        "assert load_builtin().version"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
