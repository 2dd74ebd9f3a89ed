"""Rows 5 and 9: the database server dies and comes back, or stands still for a while."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from hansard.compose import open_database
from tests.faults.harness import Load, run, with_settings
from tests.faults.history import History
from tests.postgres import PostgresCluster

ROUNDS = [3, pytest.param(60, marks=pytest.mark.faults)]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("how", ["killed", "crashed", "stopped"])
async def test_turns_outlive_the_server(
    cluster: PostgresCluster, cluster_url: str, how: str, rounds: int
) -> None:
    """Killed with its children, told to crash, or restarted in good order."""

    async def crash(history: History) -> None:
        for _ in range(rounds):
            await history.more(20)
            await asyncio.to_thread(_restart, cluster, how)

    async with open_database(cluster_url) as record, open_database(cluster_url) as observer:
        await run(Load(seed=50), [record], observer, crash)


async def test_server_that_stands_still_is_given_up_and_found_again(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    """All its processes are stopped until callers were told, and then go on as if nothing was."""

    async def freeze(history: History) -> None:
        await history.more(20)
        backends = [pid for (pid,) in cluster.execute("SELECT pid FROM pg_stat_activity")]
        processes = [cluster.pid, *backends]
        _signal(processes, signal.SIGSTOP)
        try:
            await history.more_failures(10)
        finally:
            _signal(processes, signal.SIGCONT)
        await history.more(20)

    url = with_settings(cluster_url, statement_timeout="500ms")
    async with (
        open_database(url, retry_deadline_s=1.0) as record,
        open_database(url, retry_deadline_s=1.0) as observer,
    ):
        await run(Load(seed=90), [record], observer, freeze)


def _restart(cluster: PostgresCluster, how: str) -> None:
    match how:
        case "killed":
            cluster.kill()
        case "crashed":
            cluster.stop(signal.SIGQUIT)
        case "stopped":
            cluster.stop(signal.SIGINT)
    cluster.start()


def _signal(processes: list[int], number: int) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:  # the backend that was asked, which is gone
            continue
