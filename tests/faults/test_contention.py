"""Row 13: locks, deadlocks and serialization failures are run again, whole, and counted once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import apsw
import psycopg
import pytest

from hansard.clock import now_us
from hansard.compose import open_database
from hansard.core.actors import Actor
from tests.faults.crash_disk import Disk
from tests.faults.harness import Load, attempt, run, seed_told, until
from tests.faults.history import History, make_turn
from tests.faults.record_on_disk import open_on, serve_on
from tests.postgres import PostgresCluster, PostgresServer, database_name
from tests.samples import dialogue, new_hold, together

LOCK = "SELECT 1 FROM sessions WHERE session_id = %s FOR UPDATE"
NEW_WINDOW = (
    "INSERT INTO budget_windows (tenant_id, budget_id, subject, start_us, held, spent,"
    " warned_percent) SELECT tenant_id, 'b', 'ann', start_us, 0, 0, 0 FROM budget_windows"
)
OLD_WINDOW = "SELECT 1 FROM budget_windows WHERE budget_id = 'a' FOR NO KEY UPDATE NOWAIT"
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_stricter_isolation_of_the_database_changes_nothing(
    cluster: PostgresCluster, cluster_url: str, level: str
) -> None:
    """What loses the race is run again; two processes append to the same sessions."""
    cluster.execute(
        f'ALTER DATABASE "{database_name(cluster_url)}"'
        f" SET default_transaction_isolation = '{level}'"
    )

    async def wait(history: History) -> None:
        await history.more(200)

    async with open_database(cluster_url) as one, open_database(cluster_url) as other:
        await run(Load(seed=13, sessions=2), [one, other], other, wait)


async def test_appends_go_on_while_others_lock_sessions_in_the_opposite_order(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    """Somebody locks two sessions, last one first, over and over."""
    rng = random.Random(131)

    async def lock(history: History) -> None:
        await history.until(
            lambda: len({name for name, _ in history.acknowledged}) == load.sessions
        )
        for _ in range(20):
            await history.more(5)
            async with await psycopg.AsyncConnection.connect(cluster_url) as other:
                for name in sorted(rng.sample(load.session_ids, 2), reverse=True):
                    await other.execute(LOCK, [name])

    load = Load(seed=131)
    async with open_database(cluster_url) as record, open_database(cluster_url) as observer:
        await run(load, [record], observer, lock)


async def test_deadlock_is_run_again_and_counted_once(cluster_url: str) -> None:
    """An admission holds the first budget and waits for the second; somebody has that and asks
    for the first. The database stops one of the two."""
    window = "SELECT 1 FROM budget_windows WHERE budget_id = %s FOR UPDATE"
    async with open_database(cluster_url) as record:
        for name in ("first", "second"):
            await record.put_budget(name, scope="tenant", limit_amount=100)
        await record.take_hold(new_hold("before", 1))  # which makes the windows
        async with await psycopg.AsyncConnection.connect(cluster_url) as other:
            await other.execute(window, ["second"])
            admission = asyncio.create_task(record.take_hold(new_hold("call", 10)))
            async with await psycopg.AsyncConnection.connect(cluster_url, autocommit=True) as seer:
                while not await (await seer.execute(WAITING)).fetchone():
                    await asyncio.sleep(0)
            await other.execute("SET deadlock_timeout = '1h'")  # so the admission is stopped
            await other.execute(window, ["first"])
        assert (await admission).call_id == "call"
        for _, page in await record.list_budgets():
            (state,) = page.items
            assert (state.held, state.spent) == (11, 0)


async def test_purge_passes_over_a_session_that_somebody_holds(cluster_url: str) -> None:
    """Nobody waits for it, so there is no deadlock; the next purge takes the rest."""
    later_us = now_us() + 10**6
    async with open_database(cluster_url) as record:
        for name in ("a", "b"):
            await record.create(session_id=name, messages=dialogue(3))
        async with await psycopg.AsyncConnection.connect(cluster_url) as other:
            await other.execute(LOCK, ["b"])
            report = await record.purge(updated_before_us=later_us)
            assert (report.sessions, report.messages) == (1, 3)
            assert await record.exists("b")
        report = await record.purge(updated_before_us=later_us)
        assert (report.sessions, report.messages) == (1, 3)


async def test_who_waits_for_a_new_window_of_a_budget_keeps_nobody_waiting(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """It holds none of the others meanwhile, so there is no circle of waiters."""
    account = Actor(owner="ann", sees_all=False)
    async with open_database(postgres_url) as record:
        await record.put_budget("a", scope="tenant", limit_amount=10)
        await record.put_budget("b", scope="owner", subject="*", limit_amount=10)
        await record.take_hold(new_hold("c1", 1))
        async with await psycopg.AsyncConnection.connect(postgres_url) as other:
            await other.execute(NEW_WINDOW)
            held = asyncio.create_task(record.acting_as(account).take_hold(new_hold("c2", 1)))
            await until(lambda: postgres_server.execute(WAITING))
            await other.execute(OLD_WINDOW)
        assert (await held).is_budgeted


async def test_lock_that_sqlite_meets_half_way_is_waited_for() -> None:
    """Any call may meet one; the caller notices nothing."""
    empty = Disk()
    open_on(empty).close()
    for number in range(1, 25):
        with seed_told(number):
            disk = empty.copy()
            async with serve_on(disk) as record:
                disk.fail_at(disk.calls + number, apsw.SQLITE_BUSY, times=3)
                for n in range(5):
                    receipt = await attempt(record, make_turn(random.Random(n), "s", f"turn-{n}"))
                    assert not receipt.replayed
                assert (await record.get("s")).turn_count == 5


async def test_process_that_leaves_does_not_take_the_log_along(sqlite_url: str) -> None:
    """The last one deletes it; whoever still has the file open is not to be overlooked.

    A lock on a file is lost as soon as its process closes that file anywhere.
    """
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    async with open_database(sqlite_url) as record:
        await record.create(session_id="s")
        await together([record.get("s") for _ in range(20)])  # all readers connect
        before = log.stat().st_ino
        leave = (
            f"import sqlite3; sqlite3.connect({str(log)[:-4]!r}).execute('SELECT * FROM sessions')"
        )
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", leave], check=True)
        assert log.stat().st_ino == before
