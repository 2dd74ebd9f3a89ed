"""Row 6: the power fails while SQLite writes, at any call, with any part of it lost."""

from __future__ import annotations

import random

import pytest

from hansard.service.sessions import DatabaseSessions
from tests.faults.crash_disk import Disk, PowerCut, lets_through
from tests.faults.harness import seed_told
from tests.faults.history import History, Sent, TurnKey, make_turn
from tests.faults.invariants import check_invariants
from tests.faults.record_on_disk import append_all, open_on, serve_on

SESSIONS = ("a", "b", "c")
CALLS_MAX = 400  # of the disk, before its power is cut
BATCH_MAX = 8  # turns in one transaction
SEEDS = [range(80), pytest.param(range(80, 3_000), marks=pytest.mark.faults)]


@pytest.fixture(scope="module")
def empty() -> Disk:
    """A disk with a record that holds nothing yet."""
    disk = Disk()
    open_on(disk).close()
    return disk.copy()


@pytest.mark.parametrize("seeds", SEEDS)
async def test_nothing_acknowledged_is_lost_with_the_power(empty: Disk, seeds: range) -> None:
    for seed in seeds:
        with seed_told(seed):
            rng = random.Random(seed)
            disk, history, unanswered = _work_until_the_cut(empty.copy(), rng, "FULL")
            connection = open_on(disk)
            append_all(connection, history, unanswered)
            append_all(connection, history, [make_turn(rng, name, "after") for name in SESSIONS])
            connection.close()
            async with serve_on(disk) as record:
                await check_invariants(record, history)


@pytest.mark.parametrize("seeds", SEEDS)
async def test_without_full_flushes_turns_are_lost_and_the_rest_is_whole(
    empty: Disk, seeds: range
) -> None:
    """Why FULL is the default: NORMAL loses the newest, though it never mixes them up."""
    lost = 0
    for seed in seeds:
        with seed_told(seed):
            rng = random.Random(seed)
            disk, history, unanswered = _work_until_the_cut(empty.copy(), rng, "NORMAL")
            async with serve_on(disk) as record:
                kept = await _recorded(record)
            order = list(history.acknowledged)
            survivors = [key for key in order if key in kept]
            assert survivors == order[: len(survivors)]
            lost += len(order) - len(survivors)
            history.acknowledged = {key: history.acknowledged[key] for key in survivors}
            connection = open_on(disk)
            append_all(connection, history, unanswered)
            connection.close()
            async with serve_on(disk) as record:
                await check_invariants(record, history)
    assert lost


async def _recorded(record: DatabaseSessions) -> set[TurnKey]:
    found: set[TurnKey] = set()
    for name in SESSIONS:
        if await record.exists(name):
            page = await record.list_turns(name, limit=1_000)
            found |= {(name, turn.turn_id) for turn in page.items}
    return found


def _work_until_the_cut(
    disk: Disk, rng: random.Random, level: str
) -> tuple[Disk, History, list[Sent]]:
    """Append until the power fails; what is found then, what was told, and what was not."""
    history = History()
    connection = open_on(disk, level)
    disk.cut_power_at(disk.calls + rng.randint(1, CALLS_MAX))
    for n in range(CALLS_MAX):
        size = rng.randint(1, BATCH_MAX)
        batch = [make_turn(rng, rng.choice(SESSIONS), f"{n}.{k}") for k in range(size)]
        try:
            append_all(connection, history, batch)
        except PowerCut:
            found = disk.after_cut(rng)
            disk.before_call = lets_through
            connection.close()
            return found, history, batch
    raise AssertionError("the power was never cut")
