"""Engines at their seams: compaction, agents that break or flood, a mailbox that is full."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hansard.core.errors import Conflict, LimitReached, Unavailable
from hansard.core.thread_edits import update
from hansard.runtime.agents.protocol import Completed, Event, MessageDone, Request, Text
from hansard.runtime.agents.scripted import Line, Scripted
from hansard.runtime.mailboxes import MAILBOX_MAX
from hansard.runtime.operations import (
    Change,
    Compact,
    GetSessionSnapshot,
    Interrupt,
    SendMessage,
    Shutdown,
)
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import AMPLE, Bare, chatting
from tests.runtime.test_thread_agents import running as running_agent
from tests.runtime.test_threads import ME, SLOW, Runs, record, running, stack
from tests.samples import assistant, user

__all__ = ["record", "stack"]


class Odd(Bare):
    """An agent that does as a test says, and keeps what it was asked."""

    name = "odd"

    def __init__(self, *turns: str) -> None:
        self.asked: list[list[dict[str, Any]]] = []
        self._turns = iter(turns)

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        self.asked.append(request.body["messages"])
        match next(self._turns):
            case "crash":
                yield Text("so far")
                raise RuntimeError("secret")
            case "no end":
                yield Text("so far")
            case "flood":
                words = ["word " * 1_000 for _ in range(2_000)]
                for word in words:
                    yield Text(word)
                yield MessageDone(assistant("".join(words)))
                yield Completed(
                    messages=[assistant("".join(words))], calls=[], finish_reason="stop"
                )
            case said:
                yield Text(said)
                yield Completed(messages=[assistant(said)], calls=[], finish_reason="stop")


async def test_summary_stands_for_what_was_said_until_that_is_undone(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Odd("one", "they spoke", "two", "three")
    runs = await running_agent(stack, record, tmp_path, agent)
    engine = await runs.new("odd")
    with pytest.raises(Conflict) as caught:
        await engine.ask(Compact())
    assert caught.value.code == "empty_thread"
    await runs.send(engine, "first")
    turn_id = await engine.ask(Compact())
    await engine.wait_for_turn()
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert (turn.kind, turn.status) == ("compaction", "completed")
    assert await runs.journal(engine) == [user("first"), assistant("one")]
    await runs.send(engine, "second")
    assert agent.asked[-1] == [{"role": "system", "content": "they spoke"}, user("second")]
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.messages == await runs.journal(engine)
    assert len(snapshot.messages) == 4
    await engine.ask(Change(edit=update({"context": None})))
    await runs.send(engine, "third")
    assert agent.asked[-1] == [*snapshot.messages, user("third")]
    assert (await runs.threads.get(engine.thread.id)).context is None


@pytest.mark.parametrize(("turn", "code"), [("crash", "internal"), ("no end", "agent_failed")])
async def test_turn_of_an_agent_that_breaks_is_failed_and_the_engine_goes_on(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path, turn: str, code: str
) -> None:
    runs = await running_agent(stack, record, tmp_path, Odd(turn, "well again"))
    engine = await runs.new("odd")
    turn_id = await runs.send(engine, "first")
    ended = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert ended is not None
    assert (ended.status, json.loads(ended.error or "")["code"]) == ("failed", code)
    assert "secret" not in str(await runs.events(engine))
    await runs.send(engine, "second")
    assert (await runs.journal(engine))[-1] == assistant("well again")


async def test_flood_is_recorded_whole(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running_agent(stack, record, tmp_path, Odd("flood"))
    engine = await runs.new("odd")
    await runs.send(engine, "first")
    (_, said) = await runs.journal(engine)
    assert len(said["content"]) == 10_000_000
    events = await runs.threads.list_events(engine.thread.id, after=0, limit=10_000)
    deltas = [json.loads(each.payload)["delta"] for each in events if each.kind == "item.delta"]
    assert "".join(deltas) == said["content"]


async def test_full_mailbox_refuses_and_changes_nothing(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    asked = [
        asyncio.ensure_future(engine.ask(GetSessionSnapshot())) for _ in range(MAILBOX_MAX + 1)
    ]
    done = await asyncio.gather(*asked, return_exceptions=True)
    refused = [outcome for outcome in done if isinstance(outcome, LimitReached)]
    assert [error.code for error in refused] == ["mailbox_full"]


async def test_engine_that_has_stopped_says_so(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    await engine.ask(Shutdown())
    with pytest.raises(Unavailable) as caught:
        await engine.ask(GetSessionSnapshot())
    assert caught.value.code == "engine_stopped"
    again = await runs.runtime.engine(ME, (await runs.new()).thread.id)
    await runs.send(again)


async def test_stop_of_a_server_ends_its_turns(record: DatabaseSessions, tmp_path: Path) -> None:
    async with AsyncExitStack() as server:
        runs = await running(server, record, tmp_path, SLOW)
        engine = await runs.new()
        turn_id = await engine.ask(SendMessage(prompt="count"))
        await runs.seen(engine, "item.delta")
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert turn.status == "interrupted"
    assert (await runs.threads.get(engine.thread.id)).lease is None


async def test_caller_who_leaves_does_not_take_the_turn_along(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(text="done"))
    engine = await runs.new()
    asking = asyncio.ensure_future(engine.ask(SendMessage(prompt="hi")))
    await asyncio.sleep(0)
    asking.cancel()
    told = await runs.seen(engine, "turn.completed")
    assert told["turn"]["status"] == "completed"
    with pytest.raises(Conflict):
        await engine.ask(Interrupt(turn_id=told["turn"]["id"]))


async def test_turn_that_brings_nothing_has_failed_and_says_so(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(text=""))
    engine = await runs.new()
    turn_id = await runs.send(engine)
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert turn.status == "failed"
    assert json.loads(turn.error or "")["code"] == "no_output"
    assert json.loads(turn.usage or "")["calls"] == 1


async def test_turns_at_once_are_limited_by_tenant(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    limits = replace(AMPLE, turns_by_tenant=1)
    agent = Scripted([SLOW, Line(text="quick")])
    chat = await stack.enter_async_context(chatting(record, tmp_path, agent, limits=limits))
    runtime = Runtime(record, {"scripted": agent}, chat.turn_parts(60.0))
    runs = Runs(await stack.enter_async_context(runtime), record)
    engines = [await runs.new() for _ in range(2)]
    turn_id = await engines[0].ask(SendMessage(prompt="hi"))
    with pytest.raises(LimitReached) as refused:
        await engines[1].ask(SendMessage(prompt="hi"))
    assert refused.value.code == "too_many_turns"
    assert await runs.threads.list_turns(engines[1].thread.id) == []
    await engines[0].ask(Interrupt(turn_id=turn_id))
    await runs.seen(engines[0], "turn.completed")
    await engines[1].ask(SendMessage(prompt="hi"))  # as soon as the end is told
    engines[1].stop()
    await engines[1].wait_for_turn()
