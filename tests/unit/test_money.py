"""Money: nano-dollars inside, decimal strings outside."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.errors import InvalidInput
from hansard.core.money import COST_MAX_NANOUSD, NANO, format_usd, parse_usd

amounts = st.integers(-COST_MAX_NANOUSD, COST_MAX_NANOUSD)


@given(amounts)
def test_written_amount_reads_back(cost_nanousd: int) -> None:
    text = format_usd(cost_nanousd)
    assert parse_usd(text) == cost_nanousd
    assert Decimal(text) * NANO == cost_nanousd
    assert "e" not in text.lower()


@given(st.lists(st.integers(0, 10**12), max_size=20))
def test_sums_are_exact(costs: list[int]) -> None:
    assert sum(Decimal(format_usd(cost)) for cost in costs) == Decimal(format_usd(sum(costs)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0000000004", 0),
        ("0.0000000005", 1),
        ("-0.0000000005", -1),
        ("1", NANO),
        ("1000000", COST_MAX_NANOUSD),
        ("1e-9", 1),
        ("1e-999999", 0),
        ("-0", 0),
    ],
)
def test_amount_is_rounded_half_up_to_nano_dollars(text: str, expected: int) -> None:
    assert parse_usd(text) == expected


def test_bound_is_the_callers() -> None:
    assert parse_usd(format_usd(2**63 - 1), most_nanousd=2**63 - 1) == 2**63 - 1
    with pytest.raises(InvalidInput):
        parse_usd(format_usd(2**63), most_nanousd=2**63 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1e10",
        "1e999999",
        "1000000000.1",
        "0x1",
        "1,5",
        "$1",
        "1_000",
        " 1",
        "\uff11",
        None,
        [],
    ],
)
def test_anything_else_is_refused(text: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_usd(text)
    assert caught.value.code == "invalid_cost"
