"""Usage: what counts as one model call, and how calls add up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from hansard.core.errors import InvalidInput
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.usage import (
    TOKEN_FIELDS,
    TOKENS_MAX,
    NewUsage,
    UsageEntry,
    UsageTotals,
    charge,
    check_usage,
    reversal_of,
    unpriced,
)

counts = st.integers(0, 10**6)
calls = st.builds(
    NewUsage,
    event_id=st.just("e"),
    input_tokens=counts,
    cached_tokens=counts,
    cache_write_tokens=counts,
    output_tokens=counts,
    reasoning_tokens=counts,
    cost_nanousd=st.none() | counts,
)

REFUSED: dict[str, Any] = {
    "negative": {"input_tokens": -1},
    "fraction": {"input_tokens": 1.5},
    "float": {"output_tokens": 2.0},
    "text": {"output_tokens": "2"},
    "bool": {"output_tokens": True},
    "huge": {"input_tokens": TOKENS_MAX + 1},
    "negative cost": {"cost_nanousd": -1},
    "huge cost": {"cost_nanousd": COST_MAX_NANOUSD + 1},
    "cached exceeds input": {"input_tokens": 1, "cached_tokens": 2},
    "parts exceed input": {"input_tokens": 3, "cached_tokens": 2, "cache_write_tokens": 2},
    "reasoning exceeds output": {"output_tokens": 1, "reasoning_tokens": 2},
    "unknown field": {"tokens": 1},
    "field that is no name": {5: 1},
    "text in place of an object": "gpt-4o",
    "nothing": None,
}


def test_unknown_fields_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"unknown fields: price, tokens$") as caught:
        check_usage({"model": "m", "tokens": 1, "price": 2}, "e")
    assert caught.value.details["fields"] == ["price", "tokens"]


@pytest.mark.parametrize("entry", REFUSED.values(), ids=REFUSED.keys())
def test_impossible_call_is_refused(entry: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_usage(entry, "e")
    assert caught.value.code == "invalid_usage"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"event_id": "a b"}, "invalid_id"),
        ({"event_id": 5}, "invalid_id"),
        ({"model": "m" * 257}, "invalid_field"),
        ({"provider": "\ud800"}, "invalid_json"),
        ({"model": 4}, "invalid_field"),
    ],
)
def test_bad_name_is_refused(entry: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_usage(entry, "e")
    assert caught.value.code == code


def test_absent_and_null_fields_take_their_defaults() -> None:
    assert check_usage({"input_tokens": 3, "cached_tokens": None}, "turn-1.0") == NewUsage(
        event_id="turn-1.0", input_tokens=3
    )


def test_largest_call_is_accepted() -> None:
    largest = NewUsage(
        event_id="e",
        input_tokens=TOKENS_MAX,
        cached_tokens=TOKENS_MAX,
        cost_nanousd=COST_MAX_NANOUSD,
    )
    assert check_usage(largest, "-") == largest
    assert check_usage(asdict(largest), "-") == largest


@given(st.lists(calls, max_size=10))
def test_totals_are_the_sums_of_the_calls(entries: list[NewUsage]) -> None:
    totals = UsageTotals()
    for entry in entries:
        totals = totals.plus(charge(entry, 0, unpriced).totals())
    assert totals.calls == len(entries)
    assert totals.unpriced_calls == [entry.cost_nanousd for entry in entries].count(None)
    for field in (*TOKEN_FIELDS, "cost_nanousd"):
        assert getattr(totals, field) == sum(getattr(entry, field) or 0 for entry in entries)


CALL = NewUsage(event_id="e", model="m", input_tokens=3)


def price(_call: NewUsage, at_us: int) -> tuple[int, str]:
    return 7 * at_us, "prices-1"


def test_call_without_a_cost_is_priced_by_the_table() -> None:
    charged = charge(CALL, 2, price)
    assert (charged.cost_nanousd, charged.price_version) == (14, "prices-1")
    assert charged.confidence == "provider_usage"


@pytest.mark.parametrize("cost", [0, 5])
def test_cost_that_was_told_wins_over_the_table(cost: int) -> None:
    charged = charge(replace(CALL, cost_nanousd=cost), 2, price)
    assert (charged.cost_nanousd, charged.price_version) == (cost, None)
    assert charged.confidence == "provider_cost"


def test_call_that_the_table_does_not_know_is_unpriced() -> None:
    charged = charge(CALL, 2, unpriced)
    assert (charged.cost_nanousd, charged.price_version) == (None, None)
    assert charged.totals() == UsageTotals(calls=1, input_tokens=3, unpriced_calls=1)


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("cache_write_1h_tokens", "cache_write_tokens"),
        ("input_audio_tokens", "input_tokens"),
        ("cached_audio_tokens", "cached_tokens"),
        ("cached_audio_tokens", "input_audio_tokens"),
        ("output_audio_tokens", "output_tokens"),
    ],
)
def test_part_may_be_all_of_its_whole_and_no_more(part: str, whole: str) -> None:
    counts = dict.fromkeys(TOKEN_FIELDS, 9) | {"cache_write_tokens": 0, "input_audio_tokens": 9}
    counts |= {"cache_write_tokens": 9, "cached_tokens": 0} if "write" in part else {}
    call = replace(NewUsage(event_id="e"), **(counts | {part: counts[whole]}))
    assert check_usage(call, "-") == call
    with pytest.raises(InvalidInput):
        check_usage(replace(call, **{part: counts[whole] + 1}), "-")


@given(calls, st.none() | counts)
def test_reversal_takes_an_entry_back(call: NewUsage, cost: int | None) -> None:
    fields = asdict(call) | {"cost_nanousd": cost}
    entry = UsageEntry(**fields, turn_id=None, recorded_at_us=1)
    back = replace(reversal_of(entry), reverses="e")
    assert entry.totals().plus(back.totals()) == UsageTotals()
