"""Settings of threads, as engines, desks and agents heed them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.function import FunctionModel

from hansard.core.errors import Conflict, InvalidInput
from hansard.core.thread_edits import update
from hansard.core.thread_settings import ThreadSettings, read_settings
from hansard.runtime.agents.protocol import Event, Request
from hansard.runtime.agents.pydantic_ai import PydanticAgent
from hansard.runtime.agents.scripted import Line, Scripted, ScriptedTool
from hansard.runtime.agents.upstream_threads import ThreadUpstream
from hansard.runtime.desks import PLAN_DENIES
from hansard.runtime.engine import Engine
from hansard.runtime.operations import Change, Compact, Interrupt, SendMessage
from hansard.service.sessions import DatabaseSessions
from tests.runtime.test_thread_agents import calling, calls_then_says
from tests.runtime.test_thread_agents import running as running_agent
from tests.runtime.test_threads import ME, SLOW, Runs, record, running, stack
from tests.samples import assistant

__all__ = ["record", "stack"]

BOOKS = Line(text="done", tools=[ScriptedTool(name="book", result="booked", approval=True)])
LOOK = {"name": "look", "description": "Looks.", "input_schema": {"properties": {"seat": {}}}}


async def result_of(runs: Runs, engine: Engine, **settings: Any) -> str:
    """Take a turn, and return what its tool came to."""
    await engine.ask(SendMessage(prompt="book", settings=settings))
    await engine.wait_for_turn()
    results = [each["content"] for each in await runs.journal(engine) if each["role"] == "tool"]
    return str(results[-1])


async def test_posture_and_mode_decide_on_tools(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, BOOKS, wait_s=0.0)
    engine = await runs.new()
    assert await result_of(runs, engine, permission_posture="full_access") == "booked"
    assert await result_of(runs, engine) == "nobody answered in time"
    assert await result_of(runs, engine, permission_posture="auto_review") != "booked"
    yolo = {"permission_posture": "full_access"}
    assert await result_of(runs, engine, mode="plan", **yolo) == PLAN_DENIES.reason
    turns = await runs.threads.list_turns(engine.thread.id)
    kept = [read_settings(turn.settings) for turn in reversed(turns)]
    assert [settings.mode for settings in kept] == ["agent", "agent", "agent", "plan"]
    assert (await runs.threads.get(engine.thread.id)).settings == ThreadSettings()


async def test_denial_of_a_plan_is_told_and_asks_nobody(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, BOOKS)
    engine = await runs.new()
    await engine.ask(Change(edit=update({}, {"mode": "plan"})))
    assert await result_of(runs, engine) == PLAN_DENIES.reason
    decided = await runs.seen(engine, "approval.decided")
    assert (decided["tool_name"], decided["decision"], decided["auto"]) == ("book", "deny", True)
    assert "approval.required" not in {event.kind for event in await runs.events(engine)}


async def test_leave_that_is_remembered_outlives_the_engine(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    both = [ScriptedTool(name=name, result=name, approval=True) for name in ("book", "pay")]
    runs = await running(stack, record, tmp_path, Line(text="done", tools=both))
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="book"))
    asked = await runs.seen(engine, "approval.required")
    await engine.decide(asked["id"], "allow", remember=True)
    await engine.wait_for_turn()
    assert (await runs.threads.get(engine.thread.id)).settings.allows_all
    engine.lease_until_s = 0.0  # so that it is loaded anew
    again = await runs.runtime.engine(ME, engine.thread.id)
    assert again is not engine
    assert await result_of(runs, again) == "pay"


async def test_denial_is_not_remembered(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, BOOKS)
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="book"))
    asked = await runs.seen(engine, "approval.required")
    await engine.decide(asked["id"], "deny", remember=True)
    await engine.wait_for_turn()
    assert (await runs.threads.get(engine.thread.id)).settings == ThreadSettings()


async def test_workspace_stays_while_a_turn_runs(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, SLOW)
    engine = await runs.new()
    turn_id = await engine.ask(SendMessage(prompt="hi"))
    with pytest.raises(Conflict) as refused:
        await engine.ask(Change(edit=update({}, {"workspace": "/srv"})))
    assert refused.value.code == "turn_active"
    changed = await engine.ask(Change(edit=update({}, {"mode": "operate"})))
    assert changed.settings.mode == "operate"
    await engine.ask(Interrupt(turn_id=turn_id))
    await engine.wait_for_turn()
    changed = await engine.ask(Change(edit=update({}, {"workspace": "/srv"})))
    assert (await runs.threads.get(changed.id)).settings == changed.settings


async def test_turn_that_is_asked_for_in_no_known_mode_is_refused(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    with pytest.raises(InvalidInput):
        await engine.ask(SendMessage(prompt="hi", settings={"mode": "owner"}))
    assert await runs.threads.list_turns(engine.thread.id) == []


async def test_fork_works_as_its_source_does(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    changed = await engine.ask(Change(edit=update({}, {"mode": "plan", "task_id": "T-1"})))
    fork = await runs.threads.fork(engine.thread.id)
    assert fork.settings == changed.settings


class Noting(Scripted):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[ThreadSettings] = []

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        self.asked.append(request.settings)
        async with aclosing(super().run(request)) as events:
            async for event in events:
                yield event


async def test_agent_gets_the_settings_and_no_tools_to_sum_up(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Noting()
    runs = await running_agent(stack, record, tmp_path, agent)
    engine = await runs.new()
    edit = update({}, {"workspace": "/srv", "dynamic_tools": [LOOK]})
    settings = (await engine.ask(Change(edit=edit))).settings
    await runs.send(engine)
    await engine.ask(Compact())
    await engine.wait_for_turn()
    assert agent.asked[0] == settings
    summing = agent.asked[1]
    assert (summing.workspace, summing.mode, summing.dynamic_tools) == ("/srv", "plan", ())


async def test_client_runs_its_tools_for_an_agent_of_a_user(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Agent(FunctionModel(stream_function=calls_then_says), name="airline")
    runs = await running_agent(stack, record, tmp_path, PydanticAgent(agent))
    engine = await runs.new("airline")
    await engine.ask(SendMessage(prompt="is 1A free?", settings={"dynamic_tools": [LOOK]}))
    call = await runs.seen(engine, "tool_call.requested")
    assert (call["tool_name"], call["arguments"]) == ("look", '{"seat":"1A"}')
    assert engine.turn is not None
    engine.turn.desk.resolve(call["id"], "free", success=True)
    await engine.wait_for_turn()
    journal = await runs.journal(engine)
    assert [each["content"] for each in journal if each["role"] == "tool"] == ["free"]
    await engine.ask(SendMessage(prompt="and 1B?"))  # the tools were that turn's alone
    await engine.wait_for_turn()
    assert (await runs.journal(engine))[-1] == assistant("heard: and 1B?")


async def test_author_of_an_agent_reads_the_settings(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    model = FunctionModel(stream_function=calls_then_says)
    agent: Agent[None, str] = Agent(model, name="airline")

    @agent.tool
    def where(ctx: RunContext[None], seat: str) -> str:
        assert ctx.metadata is not None
        return f"{seat} in {ctx.metadata['workspace']}, mode {ctx.metadata['mode']}"

    runs = await running_agent(stack, record, tmp_path, PydanticAgent(agent))
    engine = await runs.new("airline")
    await engine.ask(Change(edit=update({}, {"workspace": "/srv"})))
    assert await result_of(runs, engine, mode="operate") == "1A in /srv, mode operate"


async def test_upstream_is_told_of_the_tools(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    upstream, asked = await calling(stack)
    runs = await running_agent(stack, record, tmp_path, ThreadUpstream(asked))
    engine = await runs.new("upstream")
    settings = {"dynamic_tools": [LOOK]}
    await engine.ask(SendMessage(prompt="is 1A free?", model="gpt-4o", settings=settings))
    call = await runs.seen(engine, "tool_call.requested")
    assert engine.turn is not None
    engine.turn.desk.resolve(call["id"], "free", success=True)
    await engine.wait_for_turn()
    function = {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"seat": {}}},
    }
    tools = [{"type": "function", "function": function}]
    assert [asked.body["tools"] for asked in upstream.asked] == [tools, tools]
