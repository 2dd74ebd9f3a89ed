"""Usage: what counts as one model call, and how calls add up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from hansard.core.errors import InvalidInput
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.usage import TOKEN_FIELDS, TOKENS_MAX, NewUsage, UsageTotals, check_usage

counts = st.integers(0, 10**6)
calls = st.builds(
    NewUsage,
    event_id=st.just("e"),
    input_tokens=counts,
    cached_tokens=counts,
    cache_write_tokens=counts,
    output_tokens=counts,
    reasoning_tokens=counts,
    cost_nanousd=counts,
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
        totals = totals.plus(entry)
    assert totals.calls == len(entries)
    for field in (*TOKEN_FIELDS, "cost_nanousd"):
        assert getattr(totals, field) == sum(getattr(entry, field) for entry in entries)
