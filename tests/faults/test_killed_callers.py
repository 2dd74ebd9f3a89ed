"""Row 1: the process that appends is killed in the middle, and another sends the same again."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from multiprocessing.connection import Connection

import pytest

from hansard import TurnReceipt
from hansard.compose import open_database
from tests.faults.harness import Load, attempt, send
from tests.faults.history import History, Sent
from tests.faults.invariants import check_invariants

pytestmark = pytest.mark.faults

KILLS = 100
CALLERS = 8


async def test_turns_of_a_killed_process_are_sent_again_and_stand_once(record_url: str) -> None:
    """It is killed after a few answers, or a few milliseconds later."""
    rng, history = random.Random(1), History()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.faults.test_killed_callers"])
    load = Load(seed=1, callers=CALLERS)
    streams = [load.turns(caller) for caller in range(CALLERS)]
    async with open_database(record_url) as record:
        for _ in range(KILLS):
            turns = [[next(stream) for _ in range(20)] for stream in streams]
            ours, theirs = processes.Pipe(duplex=False)
            process = processes.Process(target=_append, args=(record_url, turns, theirs))
            process.start()
            theirs.close()
            told = await asyncio.to_thread(_receive, ours, rng.randint(0, 60))
            process.kill()
            told += await asyncio.to_thread(_receive, ours, 10**9)
            process.join()
            for sent, receipt in told:
                history.acknowledge(sent, receipt)
            for sent in (sent for stream in turns for sent in stream):
                if sent.key not in history.acknowledged:
                    await send(record, history, sent)
        await check_invariants(record, history)


def _receive(ours: Connection, count: int) -> list[tuple[Sent, TurnReceipt]]:
    """Take so many answers, or all until the process is gone."""
    told: list[tuple[Sent, TurnReceipt]] = []
    try:
        while len(told) < count:
            told.append(ours.recv())
    except EOFError:
        ours.close()
    return told


def _append(url: str, turns: list[list[Sent]], theirs: Connection) -> None:
    """What the process does that is killed."""
    asyncio.run(_append_all(url, turns, theirs))


async def _append_all(url: str, turns: list[list[Sent]], theirs: Connection) -> None:
    async def call(stream: list[Sent]) -> None:
        for sent in stream:
            theirs.send((sent, await attempt(record, sent)))

    async with open_database(url) as record:
        await asyncio.gather(*[call(stream) for stream in turns])
