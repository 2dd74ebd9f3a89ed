"""``prices.toml``: what it says, and everything that it may not say."""

from __future__ import annotations

import pytest

from hansard import InvalidInput, LimitReached
from hansard.core.price_tables import Clause, PriceSheet
from hansard.core.times import parse_us
from hansard.formats.prices import DOCUMENT_BYTES_MAX, ENTRIES_MAX, read_toml

PRICE = '[[price]]\nmodel = "m"\ninput_per_million = "3.00"\noutput_per_million = "15"\n'


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        read_toml(text.encode())
    assert refused.value.code == "invalid_prices"
    return refused.value.message


def sheet(text: str) -> PriceSheet:
    (entry,) = read_toml(text.encode()).entries
    return entry.sheet


def test_every_rate_has_its_bucket() -> None:
    text = PRICE + "\n".join(
        f'{name} = "0.5"'
        for name in (
            "cached_per_million",
            "cache_write_per_million",
            "cache_write_1h_per_million",
            "input_audio_per_million",
            "cached_audio_per_million",
            "reasoning_per_million",
            "output_audio_per_million",
            "per_request",
            "per_web_search",
        )
    )
    rates = sheet(text).rates
    assert (rates["input"], rates["output"]) == (((0, 3_000_000),), ((0, 15_000_000),))
    assert rates["cached"] == rates["cache_write_1h"] == rates["cached_audio"] == ((0, 500_000),)
    assert rates["request"] == rates["web_search"] == ((0, 500_000_000_000),)
    assert len(rates) == 11


def test_names_are_compared_in_lower_case() -> None:
    (entry,) = read_toml(
        (PRICE + 'provider = "OpenAI "').replace('"m"', '"GPT"', 1).encode()
    ).entries
    assert (entry.provider, entry.match) == ("openai", Clause(equals="gpt"))


def test_match_takes_several_conditions() -> None:
    text = PRICE.replace('model = "m"', 'match = {starts_with = "GPT-", ends_with = "-Mini"}')
    (entry,) = read_toml(text.encode()).entries
    assert entry.match.matches("gpt-9-mini")
    assert not entry.match.matches("gpt-9")


@pytest.mark.parametrize(
    "day", ["2026-01-31", "2026-01-31T01:00:00+01:00", '"2026-01-31T00:00:00Z"']
)
def test_days_begin_in_utc(day: str) -> None:
    assert sheet(PRICE + f"valid_from = {day}").from_us == parse_us("2026-01-31T00:00:00Z")
    assert sheet(PRICE + f"valid_to = {day}").until_us == parse_us("2026-01-31T00:00:00Z")


def test_larger_calls_may_cost_otherwise() -> None:
    text = PRICE + '[[price.above]]\ninput_tokens = 200000\ninput_per_million = "6"'
    rates = sheet(text).rates
    assert rates["input"] == ((0, 3_000_000), (200_000, 6_000_000))
    assert rates["output"] == ((0, 15_000_000),)


def test_price_may_be_of_the_call_alone() -> None:
    assert sheet('[[price]]\nmodel = "m"\nper_request = "0.01"').rates == {
        "request": ((0, 10_000_000_000),)
    }


def test_version_names_the_bytes() -> None:
    one, other = read_toml(PRICE.encode()), read_toml((PRICE + "# as agreed").encode())
    assert one.entries == other.entries
    assert one.version != other.version
    assert one.version == read_toml(PRICE.encode()).version


def test_no_prices_are_a_document_too() -> None:
    assert read_toml(b"").entries == ()


def test_prices_may_follow_each_other() -> None:
    text = f"{PRICE}valid_to = 2026-01-01\n{PRICE}valid_from = 2026-01-01\n"
    assert len(read_toml(text.encode()).entries) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[price]", "not TOML"),
        ("[prices]", "unknown field `prices`"),
        (PRICE + 'currency = "EUR"', "unknown field `currency`"),
        (PRICE.replace('"3.00"', "3.00"), "Expected `str | null`, got `float` - at `$.price[0]"),
        (PRICE.replace('"3.00"', "3"), "in quotes"),
        (PRICE.replace('"3.00"', '"-3"'), "input_per_million must be US dollars"),
        (PRICE.replace('"3.00"', '"3e0"'), "input_per_million must be US dollars"),
        (PRICE.replace('"3.00"', '"0.0000001"'), "finer than a pico-dollar"),
        (PRICE.replace('"3.00"', '"1000000"') + 'x = "', "not TOML"),
        (PRICE.replace('"3.00"', '"1000000"'), "less than a million"),
        (PRICE.replace('model = "m"\n', ""), "either model or match"),
        (PRICE + 'match = {contains = "m"}', "either model or match"),
        (PRICE.replace('model = "m"', "match = {}"), "match takes"),
        (PRICE.replace('model = "m"', 'match = {contains = ""}'), "match takes"),
        (PRICE.replace('"m"', '""'), "match takes"),
        (PRICE.replace('model = "m"', 'match = {regex = "m"}'), "unknown field `regex`"),
        (PRICE.replace('output_per_million = "15"', ""), "give input_per_million and output"),
        ('[[price]]\nmodel = "m"', "give input_per_million and output_per_million"),
        (PRICE + 'cache_write_1h_per_million = "1"', "cache_write_1h needs one for cache_write"),
        (
            PRICE + 'cached_per_million = "1"\ninput_audio_per_million = "1"',
            "input_audio needs one for cached_audio",
        ),
        (PRICE + "valid_from = 2026-01-01T00:00:00", "lacks its zone"),
        (PRICE + 'valid_from = "tomorrow"', "valid_from: "),
        (PRICE + "valid_from = 2026", "must be a date or a time"),
        (PRICE + "valid_from = 2026-01-02\nvalid_to = 2026-01-02", "not after valid_from"),
        (PRICE + PRICE, "prices 1 and 2 hold for the same calls"),
        (PRICE + PRICE + 'service_tier = "default"', "prices 1 and 2 hold for the same calls"),
        (
            f"{PRICE}valid_to = 2026-01-02\n{PRICE}valid_from = 2026-01-01\n",
            "prices 1 and 2 hold for the same calls",
        ),
        (PRICE + '[[price.above]]\ninput_tokens = 0\ninput_per_million = "6"', "go up"),
        (PRICE + '[[price.above]]\ninput_tokens = 9\ncached_per_million = "6"', "no price below"),
        (PRICE + '[[price.above]]\ninput_tokens = 9\nper_request = "6"', "unknown field"),
    ],
)
def test_what_could_be_misread_is_refused(text: str, why: str) -> None:
    assert why in refusal(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidInput):
        read_toml(b"\xff")


def test_documents_are_bounded() -> None:
    with pytest.raises(LimitReached):
        read_toml(b"#" * (DOCUMENT_BYTES_MAX + 1))
    with pytest.raises(LimitReached):
        read_toml(b"[[price]]\n" * (ENTRIES_MAX + 1))
