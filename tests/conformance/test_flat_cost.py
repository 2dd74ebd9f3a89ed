"""Flat cost: what an append writes does not depend on what was there before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from hansard import SessionService
from tests.places import Place
from tests.postgres import PostgresCluster
from tests.samples import Body, call, dialogue, user

LONG, SHORT = 20_000, 10
BYTES_MAX = 64 * 1024
PAGE_BYTES = 4_096
TURN = [user("x" * 500), user("y" * 500)]

QUIET = {"autovacuum": "off", "full_page_writes": "off"}
"""So that the server's log holds what callers write, and no chores of its own."""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[Place]:
    """A database that nobody else writes to."""
    if request.param == "sqlite":
        yield Place("sqlite", sqlite_url, sqlite_url)
        return
    with PostgresCluster(settings=QUIET) as cluster:
        url = cluster.create_database()
        yield Place("postgres", url, url)


async def bytes_written(
    place: Place, act: Callable[[str], Awaitable[object]], session_id: str
) -> int:
    """What an act adds to the database's write-ahead log; the least of three tries."""
    found = []
    for _ in range(3):
        before = _log_position(place)
        await act(session_id)
        found.append(_log_position(place) - before)
        if place.dialect == "sqlite":
            place.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return min(found)


def assert_flat(costs: dict[str, int]) -> None:
    """Hold the costs to the bound, give or take two pages, since a longer tree is deeper."""
    assert costs["long"] <= BYTES_MAX
    assert costs["long"] <= 1.2 * costs["short"] + 2 * PAGE_BYTES


def _log_position(place: Place) -> int:
    if place.dialect == "postgres":
        ((position,),) = place.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return int(position)
    log = Path(place.url.removeprefix("sqlite:///") + "-wal")
    return log.stat().st_size


@pytest.fixture
async def histories(record: SessionService) -> dict[str, list[Body]]:
    """A long session and a short one, as they are."""
    made = {"long": dialogue(LONG), "short": dialogue(SHORT)}
    for session_id, messages in made.items():
        await record.create(session_id=session_id, messages=messages)
    return made


async def test_turn_costs_the_same_in_a_long_history(
    record: SessionService, place: Place, histories: dict[str, list[Body]]
) -> None:
    number = 0

    async def append(session_id: str) -> None:
        nonlocal number
        number += 1
        await record.append_turn(session_id, TURN, usage=[call(f"c{number}", 1, model="m")])

    costs = {id: await bytes_written(place, append, id) for id in histories}
    assert_flat(costs)


async def test_save_that_extends_a_long_history_writes_the_difference_only(
    record: SessionService, place: Place, histories: dict[str, list[Body]]
) -> None:
    async def extend(session_id: str) -> None:
        histories[session_id] += TURN
        receipt = await record.save_messages(session_id, histories[session_id])
        assert (receipt.appended, receipt.replaced) == (2, 0)

    costs = {id: await bytes_written(place, extend, id) for id in histories}
    assert_flat(costs)


async def test_small_update_does_not_write_the_rest_of_the_session(
    record: SessionService, place: Place, histories: dict[str, list[Body]]
) -> None:
    async def update(session_id: str) -> None:
        await record.update(session_id, cost_data={"a": 1})

    costs = {id: await bytes_written(place, update, id) for id in histories}
    assert_flat(costs)
