"""Price changes: what differs between two books, and when."""

from __future__ import annotations

from typing import Any

from hansard.core.price_changes import PriceChange, list_changes
from hansard.core.price_tables import (
    Clause,
    PricedModel,
    PriceOverride,
    PriceOverrides,
    PriceProvider,
    PriceSheet,
    PriceTable,
)
from hansard.core.prices import PriceBook

NOW_US = 1_000

TABLE = PriceBook(
    PriceTable(
        "table",
        (
            PriceProvider(
                "p",
                "https://p\\.example",
                (PricedModel("m", Clause(equals="m"), (PriceSheet({"input": ((0, 3),)}),)),),
            ),
        ),
    )
)


def book(rate: int, match: Clause | None = None, **sheet: Any) -> PriceBook:
    entry = PriceOverride(
        "p", match or Clause(equals="m"), PriceSheet({"input": ((0, rate),)}, **sheet)
    )
    return PriceBook.layered(PriceOverrides("v", (entry,)), over=TABLE)


def test_same_books_have_no_changes() -> None:
    assert list_changes(book(5), book(5), NOW_US) == []
    assert list_changes(TABLE, book(3), NOW_US) == []


def test_price_is_compared_with_that_of_the_table() -> None:
    change = PriceChange("p", "m", "", NOW_US, "input", ((0, 3),), ((0, 5),))
    assert list_changes(TABLE, book(5), NOW_US) == [change]


def test_price_that_is_taken_back_gives_way_to_the_table() -> None:
    change = PriceChange("p", "m", "", NOW_US, "input", ((0, 5),), ((0, 3),))
    assert list_changes(book(5), TABLE, NOW_US) == [change]


def test_price_is_compared_when_it_holds() -> None:
    (future,) = list_changes(TABLE, book(5, from_us=NOW_US + 10, until_us=NOW_US + 20), NOW_US)
    assert future.at_us == NOW_US + 10
    (past,) = list_changes(TABLE, book(5, until_us=NOW_US - 10), NOW_US)
    assert past.at_us == NOW_US - 11


def test_condition_is_compared_with_the_same_condition() -> None:
    some = Clause(starts_with="m-", contains="x", ends_with="z")
    assert list_changes(book(5, some), book(6, some), NOW_US) == [
        PriceChange("p", "m-*x*z", "", NOW_US, "input", ((0, 5),), ((0, 6),))
    ]
    (new,) = list_changes(TABLE, book(6, Clause(contains="x")), NOW_US)
    assert (new.model, new.before) == ("*x*", None)


def test_tier_without_a_price_before_is_new() -> None:
    (new,) = list_changes(TABLE, book(5, tier="flex"), NOW_US)
    assert (new.tier, new.before, new.after) == ("flex", None, ((0, 5),))
