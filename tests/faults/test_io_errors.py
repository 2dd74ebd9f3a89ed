"""Row 7: writes and flushes fail with EIO and ENOSPC under the real processes."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import hansard
from hansard import Unavailable
from hansard.compose import open_database
from tests.faults.crash_disk import Disk
from tests.faults.failing_io import FLUSH, WRITE, FailingCluster, FailingIo, failing_io
from tests.faults.harness import Load, attempt, run, seed_told, send
from tests.faults.history import History, make_turn
from tests.faults.invariants import check_invariants
from tests.faults.record_on_disk import open_on, serve_on
from tests.faults.served import Service

ERRORS = (errno.EIO, errno.ENOSPC)
CODES = (apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_FULL)
LONG = pytest.mark.faults
ROUNDS = [12, pytest.param(300, marks=LONG)]


@pytest.fixture
def io() -> Iterator[FailingIo]:
    """Writes that can be made to fail."""
    with failing_io() as io:
        yield io


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("calls", [range(1, 40), pytest.param(range(40, 600), marks=LONG)])
async def test_any_call_may_fail_and_the_writer_lives_on(code: int, calls: range) -> None:
    """Each call of the disk in turn fails, once or a few times; what it hit is sent again."""
    empty = Disk()
    open_on(empty).close()
    told = 0
    for number in calls:
        with seed_told(number):
            rng, disk, history = random.Random(number), empty.copy(), History()
            async with serve_on(disk) as record:
                disk.fail_at(disk.calls + number, code, times=rng.randint(1, 3))
                n = 0
                while not disk.failures:
                    n += 1
                    await send(record, history, make_turn(rng, f"s{n % 3}", f"turn-{n}"))
                await send(record, history, make_turn(rng, "s0", "after"))
                await check_invariants(record, history)
            told += history.failures.total()
    assert told


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_service_on_sqlite_survives_writes_that_fail(
    io: FailingIo, sqlite_url: str, tmp_path: Path, rounds: int
) -> None:
    """In the log and in the file itself, now and then, or for a while."""
    rng = random.Random(70)

    async def harm(history: History) -> None:
        for _ in range(rounds):
            kinds = rng.choice([FLUSH, WRITE])
            match = rng.choice([".db-wal", ".db"])
            io.fail(
                rng.choice(ERRORS), kinds, match, skip=rng.randint(0, 20), limit=rng.randint(1, 5)
            )
            await history.more(10)
        io.heal()

    with Service(sqlite_url, tmp_path, io.environment) as service:
        async with hansard.open(service.url) as record, open_database(sqlite_url) as observer:
            await run(Load(seed=70), [record], observer, harm)


async def test_service_reports_a_failing_disk_and_works_again_after_it(
    io: FailingIo, sqlite_url: str, tmp_path: Path
) -> None:
    turns = [make_turn(random.Random(n), "s", f"turn-{n}") for n in range(3)]
    with Service(sqlite_url, tmp_path, io.environment) as service:
        async with hansard.open(service.url) as patient:
            await attempt(patient, turns[0])
        async with hansard.open(service.url, retry_deadline_s=0) as record:
            for error, sent in zip(ERRORS, turns[1:], strict=True):
                io.fail(error, FLUSH | WRITE, ".db-wal")
                with pytest.raises(Unavailable):
                    await attempt(record, sent)
                io.heal()
                await attempt(record, sent)
            assert (await record.get("s")).turn_count == len(turns)


@pytest.mark.parametrize("rounds", [6, pytest.param(60, marks=LONG)])
async def test_postgres_whose_writes_fail_loses_no_turn(io: FailingIo, rounds: int) -> None:
    """A failing log makes the server crash and recover; a failing table is an error."""
    rng = random.Random(71)

    async def harm(history: History) -> None:
        for n in range(rounds):
            if n % 2:
                io.fail(rng.choice(ERRORS), rng.choice([FLUSH, WRITE]), "/pg_wal/", limit=1)
            else:
                io.fail(errno.ENOSPC, WRITE, "/base/", limit=20)
            await history.more(20)
            io.heal()
            await history.more(20)

    with FailingCluster(io) as cluster:
        url = cluster.create_database()
        async with open_database(url) as record, open_database(url) as observer:
            await run(Load(seed=71), [record], observer, harm)
