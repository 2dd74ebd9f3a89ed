"""Row 4: the server ends what it was doing for us, one backend at a time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from hansard.compose import open_database
from hansard.core.actors import DEFAULT_TENANT
from hansard.core.errors import Unavailable
from tests.faults.harness import Load, ask, run
from tests.faults.history import History
from tests.postgres import PostgresCluster, database_name
from tests.samples import dialogue

ROUNDS = [5, pytest.param(100, marks=pytest.mark.faults)]
OURS = "FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_backends_that_are_ended_leave_no_half_turn(
    cluster: PostgresCluster, cluster_url: str, function: str, rounds: int
) -> None:
    ours = OURS.format(database_name(cluster_url))

    async def end(history: History) -> None:
        for _ in range(rounds):
            await history.more(10)
            await ask(cluster, f"SELECT {function}(pid) {ours}")

    async with open_database(cluster_url) as record, open_database(cluster_url) as observer:
        await run(Load(seed=40), [record], observer, end)


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_backend_that_is_killed_takes_the_others_down_and_no_turn_with_it(
    cluster: PostgresCluster, cluster_url: str, rounds: int
) -> None:
    ours = OURS.format(database_name(cluster_url))
    rng = random.Random(41)

    async def kill(history: History) -> None:
        for _ in range(rounds):
            await history.more(20)
            while not (backends := await ask(cluster, f"SELECT pid {ours}")):
                pass  # all of them are on their way back
            os.kill(rng.choice(backends)[0], signal.SIGKILL)

    async with open_database(cluster_url) as record, open_database(cluster_url) as observer:
        await run(Load(seed=41), [record], observer, kill)


async def test_server_that_was_read_only_is_left_for_the_primary(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    """As a standby is that an address led to while the primary changed."""
    name = database_name(cluster_url)
    setting = f'ALTER DATABASE "{name}" {{}} default_transaction_read_only'
    async with open_database(cluster_url, retry_deadline_s=0.2) as record:
        await record.create(session_id="s")
        await ask(cluster, setting.format("SET") + " = on")
        await ask(cluster, f"SELECT pg_terminate_backend(pid) {OURS.format(name)}")
        for _ in range(10):  # so that every thread meets it
            with pytest.raises(Unavailable):
                await record.append_turn("s", dialogue(1))
        await ask(cluster, setting.format("RESET"))
        for _ in range(10):
            await record.append_turn("s", dialogue(1))


async def test_news_arrive_when_the_process_has_many_files_open(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    heard = threading.Event()
    with ExitStack() as files:
        for _ in range(1_100):
            files.enter_context(Path(os.devnull).open())
        async with open_database(cluster_url) as here, open_database(cluster_url) as there:
            here.runner.database.bulletin.subscribe((DEFAULT_TENANT, "s"), heard.set)
            await there.create(session_id="s")
            for _ in range(100):
                if await asyncio.to_thread(heard.wait, 0.1):
                    break
                await there.append_turn("s", dialogue(1))
    assert heard.is_set()
