"""Row 18: the schema moves forward while older processes append."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hansard.clock import now_us
from hansard.compose import open_database, sqlite_path
from hansard.service.runner import Runner
from hansard.service.sessions import DatabaseSessions
from hansard.store.batches import batch
from hansard.store.database import Database
from hansard.store.migrate import load_migrations, migrate
from hansard.store.opening import make_engine
from tests.faults.harness import Load, run, with_settings
from tests.faults.history import History
from tests.samples import together

pytestmark = pytest.mark.faults

DEADLINE_S = 30.0
OPENERS = 20  # new processes that start at once
FIRST = 1  # version that the older processes know
LAST = len(load_migrations("sqlite"))


async def test_migration_under_load_is_not_noticed(empty_url: str) -> None:
    """Twenty newer processes come up at once, and one of them migrates; nobody waits a second."""
    sqlite = empty_url.startswith("sqlite")
    url = empty_url if sqlite else with_settings(empty_url, lock_timeout="1s")
    connection = make_engine(_place(url), deadline_s=DEADLINE_S).connect()
    migrate(connection, now_us, to_version=FIRST)
    connection.close()

    async def move_forward(history: History) -> None:
        await history.more(50)
        async with AsyncExitStack() as stack:
            newer = [stack.enter_async_context(open_database(url)) for _ in range(OPENERS)]
            for record in await together(newer):
                assert (await record.check())["schema_version"] == LAST
            await history.more(50)

    async with _older(url) as record, _older(url) as observer:
        await run(Load(seed=18), [record], observer, move_forward)
        assert sqlite or record.runner.database.counters().get("retries", 0) == 0


def _older(url: str) -> DatabaseSessions:
    """A record as a process has it that knows no later version."""
    return DatabaseSessions(
        Runner(
            lambda: Database(
                make_engine(_place(url), deadline_s=DEADLINE_S),
                batch,
                secret=bytes(32),
            )
        )
    )


def _place(url: str) -> Path | str | None:
    return sqlite_path(url) if url.startswith("sqlite") else url
