"""Which engines stay loaded: those that are at work, or about to be."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from hansard.runtime.agents.scripted import Line, Scripted, ScriptedTool
from hansard.runtime.operations import SendMessage
from hansard.runtime.saves import save
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import chatting
from tests.runtime.test_threads import ME, SLOW, Runs, record, stack

__all__ = ["record", "stack"]

ASKING = Line(tools=[ScriptedTool(name="book", approval=True)])


async def cramped(
    stack: AsyncExitStack, record: DatabaseSessions, folder: Path, *lines: Line
) -> Runs:
    """A runtime that has room for one engine, with an agent for each line."""
    agents = {str(place): Scripted([line]) for place, line in enumerate(lines)}
    chat = await stack.enter_async_context(chatting(record, folder, agents["0"]))
    runtime = Runtime(record, agents, chat.turn_parts(60.0), engines_max=1)
    return Runs(await stack.enter_async_context(runtime), record)


async def test_engine_at_work_stays(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await cramped(stack, record, tmp_path, Line(), SLOW, ASKING)
    speaking, asking = await runs.new("1"), await runs.new("2")
    for idle, sign in ((speaking, "item.delta"), (asking, "approval.required")):
        engine = await runs.runtime.engine(ME, idle.thread.id)
        await engine.ask(SendMessage(prompt="go"))
        await runs.seen(engine, sign)
    kept = await runs.new("0")
    with kept.kept():
        await runs.new("0")
        assert await runs.runtime.engine(ME, kept.thread.id) is kept
        assert runs.runtime.engines == 4
    await runs.new("0")
    assert runs.runtime.engines == 3
    assert await runs.runtime.engine(ME, kept.thread.id) is not kept


async def test_nobody_is_told_that_an_engine_was_let_go(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await cramped(stack, record, tmp_path, Line(text="done"))
    names = [(await runs.threads.create("0")).id for _ in range(4)]

    async def use(name: str) -> None:
        engine = await runs.runtime.engine(ME, name)
        await engine.ask(SendMessage(prompt="go"))
        for _ in range(2):
            saved = await save(runs.runtime, ME, name, None, wait_s=60.0)
            assert len(saved.snapshot.messages) == 2

    await asyncio.gather(*map(use, names))
    assert runs.runtime.engines >= 1
