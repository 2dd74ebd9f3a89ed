"""Row 10: a clock that jumps an hour back and forth decides nothing."""

from __future__ import annotations

import random

from hansard.clock import now_us
from hansard.compose import open_database
from hansard.service.sessions import DatabaseSessions
from tests.faults.harness import Load, run
from tests.faults.history import History

HOUR_US = 3_600 * 10**6


async def test_order_and_totals_hold_while_clocks_jump(record_url: str) -> None:
    """Two processes on one database, whose clocks disagree by up to two hours."""
    rng = random.Random(10)

    def jumping_clock() -> int:
        return now_us() + rng.choice([-HOUR_US, 0, HOUR_US])

    async def wait(history: History) -> None:
        await history.more(150)

    async with open_database(record_url) as one, open_database(record_url) as other:
        records = [DatabaseSessions(record.runner, clock=jumping_clock) for record in (one, other)]
        await run(Load(seed=10), records, other, wait)
