"""``kill -9`` of the running service, over and over, while sixteen clients append."""

from __future__ import annotations

import os
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import hansard
from hansard.compose import open_database
from tests.faults.harness import Load, run
from tests.faults.history import History
from tests.faults.served import Service

CLIENTS = 16
STOPS = 10
TURNS_MAX = 30  # that are acknowledged in one life of the service


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.faults)])
async def test_no_acknowledged_turn_dies_with_the_service(
    record_url: str, tmp_path: Path, kills: int
) -> None:
    rng = random.Random(kills)

    async def kill(history: History) -> None:
        for _ in range(kills):
            await history.more(rng.randint(1, TURNS_MAX))
            service.kill()
            service.start()

    async with AsyncExitStack() as stack:
        service = stack.enter_context(Service(record_url, tmp_path))
        clients = [
            await stack.enter_async_context(hansard.open(service.url)) for _ in range(CLIENTS)
        ]
        observer = await stack.enter_async_context(open_database(record_url))
        load = Load(seed=kills, callers=CLIENTS)
        await run(load, clients, observer, kill)


@pytest.mark.faults
async def test_service_that_stands_still_does_no_harm_when_it_goes_on(
    record_url: str, tmp_path: Path
) -> None:
    """Two of them on one database; the one is stopped wherever it is, perhaps with a lock."""

    async def freeze(history: History) -> None:
        for _ in range(STOPS):
            await history.more(20)
            os.kill(frozen.pid, signal.SIGSTOP)
            await history.more_answers(10)
            os.kill(frozen.pid, signal.SIGCONT)

    async with AsyncExitStack() as stack:
        frozen, free = [stack.enter_context(Service(record_url, tmp_path)) for _ in range(2)]
        clients = [
            await stack.enter_async_context(hansard.open(service.url, retry_deadline_s=1.0))
            for service in (frozen, free)
        ]
        observer = await stack.enter_async_context(open_database(record_url, retry_deadline_s=1.0))
        await run(Load(seed=9, callers=CLIENTS), clients, observer, freeze)
