"""Leases of threads: kept while a server lives, noticed when they are lost, taken over after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from hansard.core.threads import Lease
from hansard.runtime.agents.scripted import Line, Scripted
from hansard.runtime.leases import HeldElsewhere
from hansard.runtime.operations import SendMessage
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock
from tests.runtime.chats import chatting
from tests.runtime.test_threads import ME, SLOW, Runs, record, stack

__all__ = ["record", "stack"]

SHORT_S = 3.0  # renewed each second
LONG_S = 3_600  # not renewed in the time of a test


async def running(
    stack: AsyncExitStack, record: DatabaseSessions, folder: Path, line: Line, lease_s: float
) -> Runs:
    agent = Scripted([line])
    chat = await stack.enter_async_context(chatting(record, folder, agent))
    runtime = Runtime(record, {"scripted": agent}, chat.turn_parts(60.0), lease_s=lease_s)
    return Runs(await stack.enter_async_context(runtime), record)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():
            await asyncio.sleep(0.02)


def advance(record: DatabaseSessions, seconds: int) -> None:
    assert isinstance(record.clock, Clock)
    record.clock.advance(seconds)


async def lease_of(runs: Runs, thread_id: str) -> Lease:
    lease = (await runs.threads.get(thread_id)).lease
    assert lease is not None
    return lease


async def test_lease_is_renewed_under_the_same_fence(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(), SHORT_S)
    engine = await runs.new()
    first = await lease_of(runs, engine.thread.id)
    advance(record, 1)

    async def is_renewed() -> bool:
        return (await lease_of(runs, engine.thread.id)).until_us > first.until_us

    await until(is_renewed)
    assert (await lease_of(runs, engine.thread.id)).fence == first.fence
    assert await runs.runtime.engine(ME, engine.thread.id) is engine


async def test_server_that_lost_a_lease_lets_go_by_itself(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    loser = await running(stack, record, tmp_path / "a", SLOW, SHORT_S)
    taker = await running(stack, record, tmp_path / "b", Line(), LONG_S)
    engine = await loser.new()
    await engine.ask(SendMessage(prompt="count"))

    async def is_taken() -> bool:
        advance(record, 60)
        try:
            await taker.runtime.engine(ME, engine.thread.id)
        except HeldElsewhere:  # it was renewed just now
            return False
        return True

    async def is_let_go() -> bool:
        return loser.runtime.engines == 0

    await until(is_taken)
    await until(is_let_go)
    lease = await lease_of(taker, engine.thread.id)
    assert lease.holder == taker.runtime.leases.holder


async def test_turn_of_a_lost_server_is_ended_by_any_other(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    dead = await running(stack, record, tmp_path / "a", SLOW, LONG_S)
    alive = await running(stack, record, tmp_path / "b", Line(), SHORT_S)
    engine = await dead.new()
    await engine.ask(SendMessage(prompt="count"))
    advance(record, 2 * LONG_S)

    async def is_ended() -> bool:
        thread = await alive.threads.get(engine.thread.id)
        return (thread.turn_id, thread.latest_status, thread.lease) == (None, "interrupted", None)

    await until(is_ended)
