"""Row 11: hundreds of callers at one session are gathered, not queued one commit each."""

from __future__ import annotations

from hansard.compose import open_database
from tests.faults.harness import Load, run
from tests.faults.history import History

CALLERS = 200


async def test_two_hundred_callers_of_one_session_share_commits(record_url: str) -> None:
    async def wait(history: History) -> None:
        await history.more(2 * CALLERS)

    async with open_database(record_url) as record, open_database(record_url) as observer:
        load = Load(seed=11, callers=CALLERS, sessions=1)
        await run(load, [record], observer, wait)
        counters = record.runner.database.counters()
        assert 2 * counters["appends"] > 3 * counters["batches"]
