"""Rows 5 and 9: the database server dies and comes back, or stands still for a while."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from hansard import Unavailable
from hansard.compose import open_database
from hansard.store.database import CLOSE_TIMEOUT_S
from tests.faults.harness import Load, run, with_settings
from tests.faults.history import History
from tests.postgres import PostgresCluster
from tests.samples import user

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
        with _frozen(cluster):
            await history.more_failures(10)
        await history.more(20)

    url = with_settings(cluster_url, statement_timeout="500ms")
    async with (
        open_database(url, retry_deadline_s=1.0) as record,
        open_database(url, retry_deadline_s=1.0) as observer,
    ):
        await run(Load(seed=90), [record], observer, freeze)


async def test_announcement_that_nobody_takes_holds_up_no_close(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    with ExitStack() as frozen:
        async with asyncio.timeout(CLOSE_TIMEOUT_S), open_database(cluster_url) as record:
            await record.create(session_id="s")
            frozen.enter_context(_frozen(cluster))
            record.runner.database.bulletin.announce(("default", "s"))


@pytest.mark.faults
async def test_append_that_nobody_answers_holds_up_a_close_for_a_while_only(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    with ExitStack() as frozen:
        async with asyncio.timeout(2 * CLOSE_TIMEOUT_S), open_database(cluster_url) as record:
            await record.append_turn("s", [user("heard")], create=True)
            frozen.enter_context(_frozen(cluster))
            asking = asyncio.create_task(record.append_messages("s", [user("unheard")]))
            await asyncio.sleep(0)
    with suppress(Unavailable):
        await asking


@contextmanager
def _frozen(cluster: PostgresCluster) -> Iterator[None]:
    """A server whose processes are all stopped."""
    backends = [pid for (pid,) in cluster.execute("SELECT pid FROM pg_stat_activity")]
    processes = [cluster.pid, *backends]
    _signal(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(processes, signal.SIGCONT)


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
