"""Row 19: bytes on the disk are not those that were written."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import psycopg
import pytest

from hansard import HansardError
from hansard.compose import open_database
from tests.faults.harness import attempt, seed_told
from tests.faults.history import make_turn
from tests.postgres import PostgresCluster
from tests.samples import Body, collect

pytestmark = pytest.mark.faults

SESSIONS = ("a", "b", "c")
TURNS = 90
PAGES = range(2_500)
LOGS = range(300)

Contents = dict[str, list[tuple[int, Body]]]


async def test_damaged_page_is_reported_or_harmless(tmp_path: Path) -> None:
    """Whatever a reader gets without an error, and verified, is what was written."""
    intact, damaged = tmp_path / "intact.db", tmp_path / "damaged.db"
    written = await _fill(f"sqlite:///{intact}")
    reports = 0
    for seed in PAGES:
        with seed_told(seed):
            shutil.copy(intact, damaged)
            _damage(damaged, random.Random(seed))
            reports += await _is_reported(f"sqlite:///{damaged}", written)
            for left in tmp_path.glob("damaged.db*"):
                left.unlink()
    assert reports


async def test_log_that_is_cut_short_gives_an_older_record(tmp_path: Path) -> None:
    """SQLite takes what is whole; that is never a record with a hole."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    taken = tmp_path / "taken"
    taken.mkdir()
    async with open_database(url) as record:
        await record.check()  # while somebody is connected, the log stays
        written = await _fill(url)
        for file in tmp_path.glob("record.db*"):
            shutil.copy(file, taken)
    size = (taken / "record.db-wal").stat().st_size
    for seed in LOGS:
        with seed_told(seed):
            rng = random.Random(seed)
            folder = tmp_path / f"{seed}"
            shutil.copytree(taken, folder)
            (folder / "record.db-shm").unlink()  # no more than an index of the log
            with (folder / "record.db-wal").open("r+b") as log:
                log.truncate(rng.randint(0, size))
            async with open_database(f"sqlite:///{folder / 'record.db'}") as older:
                for name in SESSIONS:
                    if await older.exists(name):
                        found = [(one.seq, one.body) async for one in older.messages(name)]
                        assert found == written[name][: len(found)]
                        assert (await older.verify(name)).ok
            shutil.rmtree(folder)


async def test_damaged_table_of_postgres_is_reported_or_harmless() -> None:
    with PostgresCluster(durable=True) as cluster:
        url = cluster.create_database()
        written = await _fill(url)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_relation_filepath('messages')").fetchone()
        assert row
        path = cluster.folder / "data" / row[0]
        reports = 0
        for seed in range(10):
            with seed_told(seed):
                cluster.stop()
                intact = path.read_bytes()
                _damage(path, random.Random(seed))
                cluster.start()
                reports += await _is_reported(url, written)
                cluster.stop()
                path.write_bytes(intact)
                cluster.start()
        assert reports


async def _fill(url: str) -> Contents:
    rng = random.Random(19)
    async with open_database(url) as record:
        for n in range(TURNS):
            await attempt(record, make_turn(rng, SESSIONS[n % 3], f"turn-{n}"))
        return {
            name: [(one.seq, one.body) for one in await collect(record.messages(name))]
            for name in SESSIONS
        }


async def _is_reported(url: str, written: Contents) -> bool:
    """Read everything; tell whether the damage was reported, and fail if it went through."""
    try:
        async with open_database(url, retry_deadline_s=0.5) as record:
            for name in SESSIONS:
                found = [(one.seq, one.body) async for one in record.messages(name)]
                if not (await record.verify(name)).ok:
                    return True
                assert found == written[name]
            return any(finding.severity == "error" for finding in await record.diagnose())
    except HansardError:
        return True


def _damage(path: Path, rng: random.Random) -> None:
    """Write a few bytes somewhere."""
    with path.open("r+b") as file:
        file.seek(rng.randrange(path.stat().st_size))
        file.write(rng.randbytes(rng.randint(1, 16)))
