"""Agents that do what no agent should: their turns end, are paid for once, and others follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from hansard.core.threads import ThreadTurn
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import (
    Agent as ThreadAgent,
)
from hansard.runtime.agents.protocol import (
    CallDone,
    CallPlan,
    Completed,
    Event,
    Request,
    Text,
    ToolCalled,
)
from hansard.runtime.agents.pydantic_ai import PydanticAgent
from hansard.runtime.engine import Engine
from hansard.runtime.observers import Observer
from hansard.runtime.operations import Interrupt, SendMessage
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import AMPLE, Bare, chatting
from tests.runtime.test_threads import Runs, record, stack
from tests.samples import assistant, user

__all__ = ["record", "stack"]

Rest = Callable[[Request], AsyncGenerator[Event]]
PLAN = CallPlan(provider="", model="bad", input_tokens_bound=3)
TOOL = ToolCalled("w1", "book", "{}")


class Bad(Bare):
    """An agent that makes a call and says something, and goes on as it is told; then a good one."""

    name = "bad"

    def __init__(self, rest: Rest) -> None:
        self._rest: Rest | None = rest

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        rest, self._rest = self._rest, None
        if rest is None:
            yield Completed(messages=[assistant("well")], calls=[], finish_reason="stop")
            return
        grant = await request.gate(PLAN)
        yield CallDone(NewUsage(event_id=grant.call_id, input_tokens=3, output_tokens=2))
        yield Text("so far")
        async for event in rest(request):
            yield event


async def running(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    folder: Path,
    agent: ThreadAgent,
    *,
    turn_s: float = 60.0,
    heed_s: float = 60.0,
    observers: Sequence[Observer] = (),
) -> tuple[Runs, Engine]:
    limits = replace(AMPLE, turn_s=turn_s)
    chat = await stack.enter_async_context(
        chatting(record, folder, agent, limits=limits, observers=observers)
    )
    parts = replace(chat.turn_parts(60.0), heed_s=heed_s)
    runtime = Runtime(record, {agent.name: agent}, parts)
    runs = Runs(await stack.enter_async_context(runtime), record)
    return runs, await runs.new(agent.name)


async def ended(runs: Runs, engine: Engine, turn_id: str) -> tuple[ThreadTurn, str]:
    """A turn that has ended, and the code of its error; the engine takes another one."""
    await engine.wait_for_turn()
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    events = await runs.events(engine)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].kind == "turn.completed"
    assert await runs.runtime.engine(runs.record.actor, engine.thread.id) is engine
    await runs.send(engine, "and now?")
    assert (await runs.threads.get(engine.thread.id)).latest_status == "completed"
    assert (await runs.record.verify_ledger()).ok
    return turn, json.loads(turn.error or "{}")["code"]


def raises(error: type[BaseException]) -> Rest:
    async def rest(_request: Request) -> AsyncGenerator[Event]:
        raise error
        yield

    return rest


async def says_no_more(_request: Request) -> AsyncGenerator[Event]:
    return
    yield


async def blocks_others(_request: Request) -> AsyncGenerator[Event]:
    for _ in range(1_000):  # it never waits
        yield Text("")
    raise ValueError


class Beyond(BaseException):
    """What nobody expects."""


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        (raises(RuntimeError), "internal"),
        (raises(asyncio.CancelledError), "agent_failed"),
        (raises(SystemExit), "agent_failed"),
        (raises(KeyboardInterrupt), "agent_failed"),
        (raises(Beyond), "agent_failed"),
        (says_no_more, "agent_failed"),
        (blocks_others, "internal"),
    ],
)
async def test_turn_that_breaks_is_failed_with_what_it_said_and_cost(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path, rest: Rest, code: str
) -> None:
    runs, engine = await running(stack, record, tmp_path, Bad(rest))
    turn, found = await ended(runs, engine, await engine.ask(SendMessage(prompt="hello")))
    assert (turn.status, found) == ("failed", code)
    said = [user("hello"), assistant("so far"), user("and now?"), assistant("well")]
    assert await runs.journal(engine) == said
    assert (await runs.threads.get(engine.thread.id)).usage.calls == 1


async def hangs(_request: Request) -> AsyncGenerator[Event]:
    await asyncio.Event().wait()
    yield Text("never")


async def hears_nothing(request: Request) -> AsyncGenerator[Event]:
    """Swallow every end, and wait again."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield Text("never")


async def talks_on(_request: Request) -> AsyncGenerator[Event]:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        yield Text("never")
        await asyncio.Event().wait()


async def stays_deaf(_request: Request) -> AsyncGenerator[Event]:
    for _ in range(2):  # the second time is the end of the test
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    yield Text("never")


async def asks_again(request: Request) -> AsyncGenerator[Event]:
    """Wait for people, whatever happens."""
    assert request.desk is not None
    with suppress(asyncio.CancelledError):
        await request.desk.ask(TOOL)
    await request.desk.ask(TOOL)
    await request.desk.run_tool(TOOL)
    assert not (await request.desk.approve(TOOL)).is_allowed
    await asyncio.Event().wait()
    yield Text("never")


@pytest.mark.parametrize("rest", [hangs, hears_nothing, talks_on, stays_deaf, asks_again])
async def test_interrupt_ends_what_does_not_end(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path, rest: Rest
) -> None:
    runs, engine = await running(stack, record, tmp_path, Bad(rest), heed_s=0.0)
    turn_id = await engine.ask(SendMessage(prompt="hello"))
    await runs.seen(engine, "user_input.required" if rest is asks_again else "item.delta")
    await engine.ask(Interrupt(turn_id=turn_id))
    turn, code = await ended(runs, engine, turn_id)
    assert (turn.status, code) == ("interrupted", "turn_interrupted")
    assert (await runs.journal(engine))[1] == assistant("so far")
    assert (await runs.threads.get(engine.thread.id)).usage.calls == 1


@pytest.mark.parametrize("rest", [hangs, stays_deaf, asks_again])
async def test_turn_that_takes_too_long_is_failed(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path, rest: Rest
) -> None:
    agent = Bad(rest)
    runs, engine = await running(stack, record, tmp_path, agent, turn_s=0.2, heed_s=0.0)
    turn, code = await ended(runs, engine, await engine.ask(SendMessage(prompt="hello")))
    assert (turn.status, code) == ("failed", "turn_timeout")


async def waits(request: Request) -> AsyncGenerator[Event]:
    """Wait for people in every way."""
    desk = request.desk
    assert desk is not None
    await asyncio.gather(desk.ask(TOOL), desk.run_tool(TOOL), desk.approve(TOOL))
    yield Text("never")


async def test_every_wait_ends_with_its_turn(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs, engine = await running(stack, record, tmp_path, Bad(waits))
    turn_id = await engine.ask(SendMessage(prompt="hello"))
    await runs.seen(engine, "approval.required")
    await engine.ask(Interrupt(turn_id=turn_id))
    await ended(runs, engine, turn_id)
    settled = {
        event.kind: json.loads(event.payload).get("canceled") for event in await runs.events(engine)
    }
    for kind in ("approval.decided", "user_input.answered", "tool_call.resolved"):
        assert settled[kind] is True


Model = Callable[[list[ModelMessage], AgentInfo], AsyncIterator[str | DeltaToolCalls]]


def calling(name: str) -> Model:
    """A model that says something and calls a tool; the second time it is well."""
    turns = iter([name])

    async def respond(
        _messages: list[ModelMessage], _info: AgentInfo
    ) -> AsyncIterator[str | DeltaToolCalls]:
        tool = next(turns, None)
        if tool is None:
            yield "well"
            return
        yield "so far"
        yield {1: DeltaToolCall(tool, "{}", tool_call_id="w1")}

    return respond


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), SystemExit(1), Beyond("secret"), asyncio.CancelledError()]
)
@pytest.mark.parametrize("tool", ["in_loop", "in_thread"])
async def test_tool_that_breaks_fails_its_turn_alone(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    tmp_path: Path,
    error: BaseException,
    tool: str,
) -> None:
    agent = Agent(FunctionModel(stream_function=calling(tool)), name="airline")

    @agent.tool_plain
    def in_thread() -> str:
        raise error

    @agent.tool_plain
    async def in_loop() -> str:
        raise error

    runs, engine = await running(stack, record, tmp_path, PydanticAgent(agent))
    turn, code = await ended(runs, engine, await engine.ask(SendMessage(prompt="hello")))
    assert (turn.status, code) == ("failed", "agent_failed")
    journal = await runs.journal(engine)
    assert journal[1]["content"] == "so far"
    assert "secret" not in str(await runs.events(engine))
    assert journal[-1] == assistant("well")
    assert (await runs.threads.get(engine.thread.id)).usage.calls == 2


async def test_tool_that_nobody_knows_is_told_to_the_model(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Agent(FunctionModel(stream_function=calling("fly")), name="airline")
    runs, engine = await running(stack, record, tmp_path, PydanticAgent(agent))
    await runs.send(engine)
    journal = await runs.journal(engine)
    assert "fly" in journal[2]["content"]
    assert journal[-1] == assistant("well")
    assert (await runs.threads.get(engine.thread.id)).usage.calls == 2
