"""Time is data, never order: a clock that jumps changes nothing but the times."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hansard.compose import open_database
from hansard.service.sessions import DatabaseSessions
from tests.places import Place
from tests.samples import bodies, call, collect, dialogue, take, user

NOON_US = 1_750_000_000_000_000
HOUR_US = 3_600_000_000
JUMPS_US = [0, HOUR_US, -HOUR_US, 5 * HOUR_US, 1, -NOON_US]

pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


class Clock:
    """A clock that shows what it is told to."""

    def __init__(self) -> None:
        self.now_us = NOON_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def clocked(place: Place, clock: Clock) -> AsyncIterator[DatabaseSessions]:
    async with open_database(place.url) as record:
        yield DatabaseSessions(record.runner, clock=clock)


async def test_order_is_the_order_of_arrival(clocked: DatabaseSessions, clock: Clock) -> None:
    await clocked.create(session_id="s")
    for n, jump_us in enumerate(JUMPS_US):
        clock.now_us = NOON_US + jump_us
        receipt = await clocked.append_turn(
            "s", [user(n)], usage=[call(f"c{n}", 1)], turn_id=f"t{n}"
        )
        assert (receipt.first_seq, receipt.version) == (n, n + 2)
    assert await bodies(clocked, "s") == [user(n) for n in range(len(JUMPS_US))]
    turns = (await clocked.list_turns("s")).items
    assert [turn.turn_id for turn in turns] == [f"t{n}" for n in range(len(JUMPS_US))]
    events = await take(clocked.events("s", since=1), len(JUMPS_US))
    assert [event.turn_id for event in events] == [turn.turn_id for turn in turns]
    assert (await clocked.verify("s")).ok


async def test_times_are_those_of_the_clock(clocked: DatabaseSessions, clock: Clock) -> None:
    session = await clocked.create(session_id="s")
    assert (session.created_at_us, session.updated_at_us) == (NOON_US, NOON_US)
    clock.now_us = NOON_US + 5
    await clocked.append_messages("s", dialogue(1))
    clock.now_us = NOON_US + 9
    await clocked.update("s", title="x")
    session = await clocked.get("s")
    assert (session.created_at_us, session.updated_at_us) == (NOON_US, NOON_US + 9)
    (message,) = await collect(clocked.messages("s"))
    assert message.created_at_us == NOON_US + 5


async def test_last_change_never_moves_back(clocked: DatabaseSessions, clock: Clock) -> None:
    await clocked.create(session_id="s")
    clock.now_us = NOON_US - HOUR_US
    await clocked.append_messages("s", dialogue(1))
    await clocked.update("s", title="x")
    await clocked.save_messages("s", dialogue(2))
    assert (await clocked.get("s")).updated_at_us == NOON_US
    assert (await clocked.purge(updated_before_us=NOON_US)).sessions == 0


async def test_repeated_turn_is_known_at_any_time(clocked: DatabaseSessions, clock: Clock) -> None:
    await clocked.create(session_id="s")
    first = await clocked.append_turn("s", dialogue(2), turn_id="t")
    clock.now_us = NOON_US - HOUR_US
    again = await clocked.append_turn("s", dialogue(2), turn_id="t")
    assert (again.first_seq, again.version, again.replayed) == (0, first.version, True)


async def test_ids_made_in_one_moment_differ(clocked: DatabaseSessions) -> None:
    made = {(await clocked.create()).id for _ in range(20)}
    assert len(made) == 20
