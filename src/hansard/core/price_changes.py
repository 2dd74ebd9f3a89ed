"""Price changes: what a call would cost otherwise, if other prices were in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hansard.core.price_tables import BUCKETS, PriceOverride, PriceSheet, Rates, Step
from hansard.core.prices import PriceBook


class PriceChange(NamedTuple):
    """One rate that differs at a moment; None where there is no such rate."""

    provider: str
    model: str
    tier: str
    at_us: int
    bucket: str
    before: tuple[Step, ...] | None
    after: tuple[Step, ...] | None


def list_changes(before: PriceBook, after: PriceBook, now_us: int) -> list[PriceChange]:
    """Compare two books where either sets a price over the table.

    Prices that hold now are compared now, others when they begin, or just before they ended.
    """
    found: dict[PriceChange, None] = {}
    for book in (before, after):
        for layer in book.overrides:
            for entry in layer.entries:
                found.update(dict.fromkeys(_changes(before, after, entry, now_us)))
    return list(found)


def _changes(
    before: PriceBook, after: PriceBook, entry: PriceOverride, now_us: int
) -> Iterator[PriceChange]:
    at_us = _moment(entry.sheet, now_us)
    old, new = _rates(before, entry, at_us), _rates(after, entry, at_us)
    for bucket in BUCKETS:
        if old.get(bucket) != new.get(bucket):
            yield PriceChange(
                entry.provider,
                entry.match.text,
                entry.sheet.tier,
                at_us,
                bucket,
                old.get(bucket),
                new.get(bucket),
            )


def _moment(sheet: PriceSheet, now_us: int) -> int:
    if sheet.covers(now_us):
        return now_us
    if sheet.from_us is not None and sheet.from_us > now_us:
        return sheet.from_us
    assert sheet.until_us is not None  # it does not hold now, and did not begin after
    return sheet.until_us - 1


def _rates(book: PriceBook, like: PriceOverride, at_us: int) -> Rates:
    """What a book says at a moment of the calls that a price is for."""
    tier = like.sheet.tier
    if like.match.equals is not None:
        found = book.sheet(like.provider, like.match.equals, at_us, tier)
        return found[0].rates if found else {}
    sheets = (
        entry.sheet
        for layer in book.overrides
        for entry in layer.entries
        if (entry.provider, entry.match, entry.sheet.tier) == (like.provider, like.match, tier)
    )
    return next((sheet.rates for sheet in sheets if sheet.covers(at_us)), {})
