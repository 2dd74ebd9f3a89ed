"""Prices in the database: who set them wins over the table, from then on, everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hansard import Conflict, Corrupt, InvalidInput, LimitReached
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.price_tables import PriceVersion
from hansard.core.prices import PriceBook
from hansard.core.usage import NewUsage
from hansard.formats.prices import DOCUMENT_BYTES_MAX, load_builtin, read_toml
from hansard.service.prices import EVERY_TENANT, FRESH_US, TENANTS_MAX, PriceShelf
from hansard.service.sessions import DatabaseSessions
from hansard.store import prices
from tests.places import Place
from tests.samples import call, dialogue

NOW_US = 1_800_000_000_000_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


def toml(dollars: int | str) -> bytes:
    """A price of so many dollars for a million tokens of the model ``m``."""
    rate = f'"{dollars}"'
    return (
        f'[[price]]\nprovider = "p"\nmodel = "m"\ninput_per_million = {rate}\n'
        f"output_per_million = {rate}\n"
    ).encode()


def cost(book: PriceBook) -> int | None:
    """What a million tokens cost, in dollars."""
    usage = NewUsage(event_id="e", provider="p", model="m", input_tokens=1_000_000)
    price = book.price(usage, NOW_US)
    return price and price.cost_nanousd // 10**9


async def settled(shelf: PriceShelf) -> None:
    """Let the look in the background end."""
    while looks := list(shelf._books.looks.values()):
        await asyncio.wait(looks)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


@pytest.fixture
def shelf(database: DatabaseSessions, clock: Clock) -> PriceShelf:
    return PriceShelf(database.runner, clock=clock)


@pytest.fixture
def other(database: DatabaseSessions, clock: Clock) -> PriceShelf:
    """The shelf of another server of the same database."""
    return PriceShelf(database.runner, clock=clock)


async def test_table_is_in_force_where_nothing_was_set(shelf: PriceShelf) -> None:
    assert await shelf.book("acme") is await shelf.book("other")
    assert (await shelf.book("acme")).version == load_builtin().version


async def test_tenant_wins_over_everybody_and_that_over_the_file(
    database: DatabaseSessions, clock: Clock
) -> None:
    shelf = PriceShelf(database.runner, clock=clock, file=read_toml(toml(1)))
    assert cost(await shelf.book("acme")) == 1
    await shelf.import_document(EVERY_TENANT, toml(2))
    assert cost(await shelf.book("acme")) == 2
    await shelf.import_document("acme", toml(3))
    assert cost(await shelf.book("acme")) == 3
    assert cost(await shelf.book("other")) == cost(await shelf.book(EVERY_TENANT)) == 2
    assert (await shelf.book("acme")).version.count("prices.toml-") == 3


async def test_last_import_replaces_the_one_before(shelf: PriceShelf) -> None:
    for dollars in (3, 4, 3):
        await shelf.import_document("acme", toml(dollars))
        assert cost(await shelf.book("acme")) == dollars
    await shelf.import_document("acme", b"")
    assert cost(await shelf.book("acme")) is None


async def test_versions_tell_all_that_was_imported(shelf: PriceShelf, clock: Clock) -> None:
    first = await shelf.import_document("acme", toml(3), source="prices.toml")
    clock.now_us += 1
    second = await shelf.import_document("acme", toml(4))
    await shelf.import_document(EVERY_TENANT, toml(5))
    assert await shelf.list_versions("acme") == [second, first]
    assert (first.number, second.number) == (1, 2)
    assert (first.source, first.imported_at_us) == ("prices.toml", NOW_US)
    assert first.sha256.startswith(first.version.removeprefix("prices.toml-"))


@pytest.mark.parametrize(
    ("tenant", "document", "source", "error"),
    [
        ("acme", b"[[price]]", "", InvalidInput),
        ("acme", toml("0.1").replace(b'"', b""), "", InvalidInput),
        ("acme", b"\xff", "", InvalidInput),
        ("a b", toml(1), "", InvalidInput),
        ("acme", toml(1), "x" * 300, InvalidInput),
        ("acme", b"#" * (DOCUMENT_BYTES_MAX + 1), "", LimitReached),
    ],
)
async def test_what_is_wrong_changes_nothing(
    shelf: PriceShelf, tenant: str, document: bytes, source: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await shelf.import_document(tenant, document, source=source)
    assert await shelf.list_versions(tenant) == []


async def test_other_server_follows_without_waiting(
    shelf: PriceShelf, other: PriceShelf, clock: Clock
) -> None:
    before = await other.book("acme")
    await shelf.import_document("acme", toml(3))
    clock.now_us += FRESH_US - 1
    assert await other.book("acme") is before
    assert not other._books.looks
    clock.now_us += 1
    assert await other.book("acme") is before
    await settled(other)
    assert cost(await other.book("acme")) == 3


async def test_book_is_kept_while_nothing_changes(shelf: PriceShelf, clock: Clock) -> None:
    await shelf.import_document("acme", toml(3))
    before = await shelf.book("acme")
    clock.now_us += FRESH_US
    await shelf.book("acme")
    await settled(shelf)
    assert await shelf.book("acme") is before


async def test_one_look_serves_all_who_wait(shelf: PriceShelf) -> None:
    books = await asyncio.gather(*[shelf.book("acme") for _ in range(20)])
    assert len(set(map(id, books))) == 1


async def test_waiter_that_leaves_takes_nothing_along(shelf: PriceShelf) -> None:
    leaving = asyncio.ensure_future(shelf.book("acme"))
    staying = asyncio.ensure_future(shelf.book("acme"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert cost(await staying) is None


async def test_book_at_hand_outlives_a_database_that_is_gone(record_url: str, clock: Clock) -> None:
    async with open_database(record_url) as record:
        shelf = PriceShelf(record.runner, clock=clock)
        await shelf.import_document("acme", toml(3))
        assert cost(await shelf.book("acme")) == 3
    clock.now_us += FRESH_US
    assert cost(await shelf.book("acme")) == 3
    await settled(shelf)
    assert cost(await shelf.book("acme")) == 3


async def test_import_is_not_undone_by_a_look_that_began_before(
    shelf: PriceShelf, clock: Clock
) -> None:
    await shelf.book("acme")
    clock.now_us += FRESH_US
    await shelf.book("acme")
    looks = list(shelf._books.looks.values())
    await shelf.import_document("acme", toml(3))
    await asyncio.wait(looks)
    assert cost(await shelf.book("acme")) == 3


async def test_imports_at_once_are_all_kept(shelf: PriceShelf, other: PriceShelf) -> None:
    outcomes = await asyncio.gather(
        *[
            (shelf, other)[dollars % 2].import_document("acme", toml(dollars))
            for dollars in range(1, 9)
        ],
        return_exceptions=True,
    )
    kept = [outcome for outcome in outcomes if isinstance(outcome, PriceVersion)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(kept) + len(refused) == len(outcomes)
    assert {conflict.code for conflict in refused} <= {"prices_changed"}
    assert sorted(version.number for version in kept) == list(range(1, len(kept) + 1))
    assert len(await shelf.list_versions("acme")) == len(kept) > 0


async def test_tenants_at_hand_are_bounded(shelf: PriceShelf) -> None:
    for number in range(TENANTS_MAX + 5):
        await shelf.book(f"t{number}")
    assert len(shelf._books.kept) == TENANTS_MAX


async def test_stored_prices_that_cannot_be_read_are_told(
    database: DatabaseSessions, shelf: PriceShelf
) -> None:
    facts: dict[str, Any] = {"version": "v", "source": "", "sha256": "", "imported_at_us": 1}
    await database.runner.write(lambda tx: prices.insert(tx, "acme", "[[", **facts))
    with pytest.raises(Corrupt):
        await shelf.book("acme")


async def test_price_change_never_reprices_the_past(place: Place) -> None:
    usage = {"provider": "p", "model": "m"}
    async with open_database(place.database_url, actor=Actor(sees_all=True)) as record:
        await record.create(session_id="s")
        for number, document in enumerate([b"", toml(3), toml(5)]):
            await record.shelf.import_document("default", document)
            await record.append_turn(
                "s", dialogue(2), usage=[call(f"e{number}", 1_000_000, **usage)]
            )
        totals = (await record.usage("s")).totals
    assert (totals.calls, totals.unpriced_calls, totals.cost_nanousd) == (3, 1, 8 * 10**9)
