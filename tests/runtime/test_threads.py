"""Threads that run: turns in the log as they happen, snapshots between two events, recovery."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import Conflict, InvalidInput, NotFound
from hansard.core.items import list_items
from hansard.core.threads import ThreadEvent
from hansard.runtime.agents.scripted import Line, Scripted, ScriptedTool
from hansard.runtime.engine import Engine
from hansard.runtime.leases import HeldElsewhere
from hansard.runtime.operations import GetSessionSnapshot, Interrupt, SendMessage, Steer
from hansard.runtime.saves import save
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock
from tests.runtime.chats import chatting
from tests.runtime.logs import follow
from tests.samples import assistant, user

ME = Actor()
SLOW = Line(text="one two three", pause_s=3_600.0)
TOOL = ScriptedTool(name="find", arguments={"seat": "1A"}, result="free")


class Runs:
    """A runtime, and short ways to run turns in it."""

    def __init__(self, runtime: Runtime, record: DatabaseSessions) -> None:
        self.runtime = runtime
        self.record = record
        self.threads = runtime.threads(ME)

    async def new(self, agent: str = "scripted") -> Engine:
        thread = await self.threads.create(agent)
        return await self.runtime.engine(ME, thread.id)

    async def send(self, engine: Engine, prompt: str = "hello") -> str:
        turn_id = await engine.ask(SendMessage(prompt=prompt))
        await engine.wait_for_turn()
        return turn_id

    async def events(self, engine: Engine) -> Sequence[ThreadEvent]:
        return await self.threads.list_events(engine.thread.id, after=0, limit=1_000)

    async def seen(self, engine: Engine, kind: str, *, after: int = 0) -> dict[str, Any]:
        """Wait for an event in the log, and return what it carries."""
        source = self.runtime.source(ME, await self.threads.get(engine.thread.id), after=after)
        async with aclosing(follow(source)) as events:
            async for event in events:
                assert event["previous_seq"] == after
                after = event["seq"]
                if event["event"] == kind:
                    payload: dict[str, Any] = event["payload"]
                    return payload
        raise AssertionError("the log has no end")

    async def journal(self, engine: Engine) -> list[dict[str, Any]]:
        page = await self.record.list_messages(engine.thread.id, limit=1_000)
        return [message.body for message in page.items]


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        record.clock = Clock()
        yield record


@pytest.fixture
async def stack(record: DatabaseSessions) -> AsyncIterator[AsyncExitStack]:
    """What runs on the record, and ends before it is closed."""
    async with AsyncExitStack() as stack:
        yield stack


async def running(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    folder: Path,
    *lines: Line,
    wait_s: float = 60.0,
) -> Runs:
    agent = Scripted(lines or (Line(),))
    chat = await stack.enter_async_context(chatting(record, folder, agent))
    runtime = Runtime(record, {"scripted": agent}, chat.turn_parts(wait_s))
    return Runs(await stack.enter_async_context(runtime), record)


async def test_turn_is_told_as_it_happens_and_recorded_at_its_end(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(text="hi there", reasoning="who?"))
    engine = await runs.new()
    turn_id = await runs.send(engine)
    kinds = [kind for kind, _ in groupby(await runs.events(engine), lambda event: event.kind)]
    assert kinds == [
        "thread.started",
        "turn.started",
        "item.completed",
        "message.completed",
        "item.started",
        "item.delta",
        "item.started",
        "item.delta",
        "usage.recorded",
        "item.completed",
        "message.completed",
        "turn.completed",
    ]
    said = [user("hello"), {**assistant("hi there"), "reasoning_content": "who?"}]
    assert await runs.journal(engine) == said
    thread = await runs.threads.get(engine.thread.id)
    assert (thread.turn_id, thread.latest_turn_id) == (None, turn_id)
    assert (thread.usage.calls, thread.usage.output_tokens) == (1, 3)
    assert (await record.verify(thread.id)).ok


async def test_snapshot_is_what_the_record_says(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    """For every kind of item: what PUT takes from the engine, POST takes from the record."""
    asking = ScriptedTool(name="ask", result="yes", approval=True)
    runs = await running(
        stack, record, tmp_path, Line(text="found", reasoning="let me see", tools=[TOOL, asking])
    )
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="find a seat", settings={"auto_approve": True}))
    await engine.wait_for_turn()
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.messages == await runs.journal(engine)
    assert snapshot.turn is None
    thread = await runs.threads.get(engine.thread.id)
    assert (snapshot.seq, snapshot.usage) == (thread.seq, thread.usage)
    turn_id = thread.latest_turn_id
    assert turn_id is not None
    live = {
        payload["item"]["id"]: payload["item"]
        for event in await runs.events(engine)
        if event.kind == "item.completed" and (payload := json.loads(event.payload))
    }
    assert list(live.values()) == list_items(turn_id, snapshot.messages)


async def test_snapshot_of_a_running_turn_is_taken_between_two_events(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(text="first"), SLOW)
    engine = await runs.new()
    await runs.send(engine, "one")
    before = await engine.ask(GetSessionSnapshot())
    turn_id = await engine.ask(SendMessage(prompt="two"))
    await runs.seen(engine, "item.delta")
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.turn is not None
    assert snapshot.turn.id == turn_id
    assert snapshot.messages == [user("one"), assistant("first"), user("two")]
    assert snapshot.usage.calls >= before.usage.calls
    assert snapshot.seq > before.seq


async def test_interrupted_turn_keeps_what_was_said(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, SLOW)
    engine = await runs.new()
    turn_id = await engine.ask(SendMessage(prompt="count"))
    await runs.seen(engine, "item.delta")
    await engine.ask(Interrupt(turn_id=turn_id))
    await engine.wait_for_turn()
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert turn.status == "interrupted"
    assert await runs.journal(engine) == [user("count"), assistant("one")]
    thread = await runs.threads.get(engine.thread.id)
    assert thread.usage.calls == 1
    with pytest.raises(Conflict):
        await engine.ask(Interrupt(turn_id=turn_id))


async def test_turn_while_another_runs_is_refused(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, SLOW)
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="count"))
    with pytest.raises(Conflict) as caught:
        await engine.ask(SendMessage(prompt="again"))
    assert caught.value.code == "turn_active"
    with pytest.raises(InvalidInput):
        await (await runs.new()).ask(SendMessage(prompt=" \n"))


async def test_steering_is_heard_with_the_next_call(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    """The scripted model repeats what it heard last."""
    waiting = ScriptedTool(name="look")
    runs = await running(stack, record, tmp_path, Line(tools=[waiting]))
    engine = await runs.new()
    turn_id = await engine.ask(SendMessage(prompt="look"))
    request = await runs.seen(engine, "tool_call.requested")
    assert await engine.ask(Steer(turn_id=turn_id, prompt="be quick")) == 1
    assert engine.turn is not None
    engine.turn.desk.resolve(request["id"], "seen", success=True)
    await engine.wait_for_turn()
    roles = [message["role"] for message in await runs.journal(engine)]
    assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert (await runs.journal(engine))[-1] == assistant("be quick")
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert turn.steer_count == 1


@pytest.mark.parametrize(("decision", "result"), [("allow", "free"), ("deny", "not allowed")])
async def test_tool_waits_to_be_allowed(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    tmp_path: Path,
    decision: str,
    result: str,
) -> None:
    tool = ScriptedTool(name="book", result="free", approval=True)
    runs = await running(stack, record, tmp_path, Line(text="done", tools=[tool]))
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="book"))
    told = await runs.seen(engine, "approval.required")
    assert told["tool_name"] == "book"
    assert engine.turn is not None
    with pytest.raises(NotFound):
        engine.turn.desk.decide("appr_other", decision)
    with pytest.raises(InvalidInput):
        engine.turn.desk.decide(told["id"], "maybe")
    engine.turn.desk.decide(told["id"], decision)
    with pytest.raises(NotFound):
        engine.turn.desk.decide(told["id"], decision)
    await engine.wait_for_turn()
    assert result in (await runs.journal(engine))[2]["content"]


async def test_nobody_who_allows_is_a_denial(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    tool = ScriptedTool(name="book", result="free", approval=True)
    line = Line(text="done", tools=[tool])
    runs = await running(stack, record, tmp_path, line, wait_s=0.0)
    engine = await runs.new()
    await runs.send(engine)
    assert (await runs.journal(engine))[2]["content"] == "nobody answered in time"
    decided = await runs.seen(engine, "approval.decided")
    assert (decided["decision"], decided["timeout"]) == ("deny", True)


async def test_interrupt_ends_a_wait(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    tool = ScriptedTool(name="book", result="free", approval=True)
    runs = await running(stack, record, tmp_path, Line(tools=[tool]))
    engine = await runs.new()
    turn_id = await engine.ask(SendMessage(prompt="book"))
    await runs.seen(engine, "approval.required")
    await engine.ask(Interrupt(turn_id=turn_id))
    await engine.wait_for_turn()
    assert (await runs.seen(engine, "approval.decided"))["decision"] == "deny"


async def test_secret_answer_is_written_nowhere(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    tool = ScriptedTool(name="ask", asks=True)
    runs = await running(stack, record, tmp_path, Line(text="thanks", tools=[tool]))
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="log in"))
    told = await runs.seen(engine, "user_input.required")
    assert engine.turn is not None
    engine.turn.desk.answer(told["id"], "hunter2")
    await engine.wait_for_turn()
    assert "hunter2" not in str(await runs.events(engine))
    assert "hunter2" not in str(await runs.journal(engine))


async def test_save_makes_a_session_and_keeps_it_up(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    with pytest.raises(InvalidInput) as caught:
        await save(runs.runtime, ME, None, None)
    assert caught.value.code == "empty_thread"
    await runs.send(engine, "one")
    first = await save(runs.runtime, ME, None, None)
    assert first.is_new
    assert first.session.message_count == 2
    await runs.send(engine, "two")
    second = await save(runs.runtime, ME, engine.thread.id, None)
    assert (second.session.id, second.is_new) == (first.session.id, False)
    assert (second.receipt.appended, second.receipt.replaced) == (2, 0)
    total = second.session.cost_data["total_tokens"]
    assert total > first.session.cost_data["total_tokens"]
    thread, _ = await runs.threads.resume(second.session.id, "scripted")
    again = await runs.runtime.engine(ME, thread.id)
    await runs.send(again, "three")
    third = await save(runs.runtime, ME, thread.id, second.session.id)
    assert third.session.cost_data["total_tokens"] > total
    assert third.session.message_count == 6


async def test_thread_of_another_server_is_held_there(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    ours = await running(stack, record, tmp_path / "a")
    theirs = await running(stack, record, tmp_path / "b")
    engine = await ours.new()
    with pytest.raises(HeldElsewhere):
        await theirs.runtime.engine(ME, engine.thread.id)
    await ours.send(engine)
    told = await theirs.seen(engine, "turn.completed")
    assert told["turn"]["status"] == "completed"


async def test_turn_of_a_server_that_is_gone_is_interrupted(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    dead = await running(stack, record, tmp_path / "a", SLOW)
    engine = await dead.new()
    turn_id = await engine.ask(SendMessage(prompt="count"))
    await dead.seen(engine, "item.delta")
    assert isinstance(record.clock, Clock)
    record.clock.advance(60)
    alive = await running(stack, record, tmp_path / "b")
    again = await alive.runtime.engine(ME, engine.thread.id)
    assert await alive.journal(again) == [user("count"), assistant("one")]
    turn = await alive.threads.get_turn(again.thread.id, turn_id)
    assert turn is not None
    assert turn.status == "interrupted"
    await alive.send(again, "go on")
    assert len(await alive.journal(again)) == 4
    events = await alive.events(again)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    await engine.ask(Interrupt(turn_id=turn_id))  # the dead one wakes up, and writes nothing
    await engine.wait_for_turn()
    assert len(await alive.journal(again)) == 4


async def test_thread_of_an_agent_that_is_not_here(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    with pytest.raises(Conflict) as caught:
        await runs.new("airline")
    assert caught.value.code == "agent_unknown"


async def test_stranger_does_not_find_an_engine(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    alice = Actor("default", "alice", sees_all=False)
    thread = await runs.runtime.threads(alice).create("scripted")
    await runs.runtime.engine(alice, thread.id)
    for stranger in (Actor("default", "bob", sees_all=False), Actor("other")):
        with pytest.raises(NotFound):
            await runs.runtime.engine(stranger, thread.id)


async def test_engines_that_nobody_asks_are_let_go(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Scripted()
    chat = await stack.enter_async_context(chatting(record, tmp_path, agent))
    runtime = Runtime(record, {"scripted": agent}, chat.turn_parts(60.0), engines_max=2)
    runs = Runs(await stack.enter_async_context(runtime), record)
    engines = [await runs.new() for _ in range(5)]
    assert runtime.engines == 2
    again = await runtime.engine(ME, engines[0].thread.id)
    assert again is not engines[0]
    await runs.send(again)
