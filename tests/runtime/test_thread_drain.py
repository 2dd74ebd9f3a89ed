"""Servers that stop: turns end in time or are interrupted, and others go on at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hansard.core.errors import Unavailable
from hansard.runtime.agents.protocol import Event, Request, Text
from hansard.runtime.engine import Engine
from hansard.runtime.operations import SendMessage
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import chatting
from tests.runtime.test_bad_agents import Bad, hangs, waits
from tests.runtime.test_threads import ME, Runs, record, stack
from tests.samples import assistant, user

__all__ = ["record", "stack"]


async def running(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    folder: Path,
    agent: Bad,
    *,
    drain_s: float = 3_600.0,
) -> Runs:
    chat = await stack.enter_async_context(chatting(record, folder, agent))
    parts = chat.turn_parts(60.0)
    runtime = Runtime(record, {agent.name: agent}, parts, drain_s=drain_s)
    return Runs(await stack.enter_async_context(runtime), record)


async def begun(runs: Runs, until: str) -> tuple[Engine, str]:
    engine = await runs.new("bad")
    turn_id = await engine.ask(SendMessage(prompt="hello"))
    await runs.seen(engine, until)
    return engine, turn_id


async def test_turn_that_runs_may_end_and_no_other_begins(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    may_end = asyncio.Event()

    async def rest(_request: Request) -> AsyncGenerator[Event]:
        await may_end.wait()
        yield Text(", and further")

    async with AsyncExitStack() as server:
        runs = await running(server, record, tmp_path, Bad(rest))
        engine, _ = await begun(runs, "item.delta")
        idle = await runs.new("bad")
        other = (await runs.threads.create("bad")).id
        runs.runtime.drain()
        runs.runtime.drain()
        for refused in (idle.ask(SendMessage(prompt="again")), runs.runtime.engine(ME, other)):
            with pytest.raises(Unavailable) as caught:
                await refused
            assert caught.value.code == "draining"
        while (await runs.threads.get(idle.thread.id)).lease is not None:
            await asyncio.sleep(0)
        assert await runs.runtime.engine(ME, engine.thread.id) is engine
        may_end.set()
    assert await runs.journal(engine) == [user("hello"), assistant("so far, and further")]
    assert (await runs.threads.get(engine.thread.id)).lease is None


async def test_turn_that_does_not_end_is_interrupted_and_goes_on_elsewhere(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path / "a", Bad(hangs), drain_s=0.0)
    engine, turn_id = await begun(runs, "item.delta")
    runs.runtime.drain()
    told = await runs.seen(engine, "turn.completed")
    assert told["turn"]["status"] == "interrupted"
    assert told["turn"]["error"]["code"] == "server_stopping"
    while (await runs.threads.get(engine.thread.id)).lease is not None:
        await asyncio.sleep(0)
    others = await running(stack, record, tmp_path / "b", Bad(hangs))
    again = await others.runtime.engine(ME, engine.thread.id)
    turn = await others.threads.get_turn(again.thread.id, turn_id)
    assert turn is not None
    assert json.loads(turn.error or "")["code"] == "server_stopping"
    assert await others.journal(again) == [user("hello"), assistant("so far")]


async def test_nobody_waits_for_people_whom_a_server_cannot_hear(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    async with AsyncExitStack() as server:
        runs = await running(server, record, tmp_path, Bad(waits))
        engine, turn_id = await begun(runs, "approval.required")
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert (turn.status, json.loads(turn.error or "")["code"]) == ("interrupted", "server_stopping")
