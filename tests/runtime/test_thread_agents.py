"""Agents on threads: those of pydantic-ai and the upstream, with people in the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from fastmcp import FastMCP
from pydantic_ai import Agent
from pydantic_ai.exceptions import CallDeferred, ModelRetry
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from hansard.core.items import list_items
from hansard.runtime.agents.protocol import DENIED
from hansard.runtime.agents.protocol import Agent as ThreadAgent
from hansard.runtime.agents.pydantic_ai import PydanticAgent
from hansard.runtime.agents.upstream import Upstream
from hansard.runtime.agents.upstream_threads import ThreadUpstream
from hansard.runtime.operations import GetSessionSnapshot, SendMessage, Steer
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import chatting
from tests.runtime.test_threads import Runs, record, stack
from tests.runtime.upstreams import (
    DONE,
    STREAM_END,
    STREAM_HEAD,
    FakeUpstream,
    event,
    piece,
    serving,
    usage_event,
)
from tests.samples import assistant, user

__all__ = ["record", "stack"]

Deltas = AsyncIterator[str | DeltaToolCalls]


async def calls_then_says(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
    """A model that calls every tool once, and then repeats what the user said last."""
    said = [
        part.content
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    if info.function_tools and len(messages) == 1:
        yield "Let me look. "
        for place, tool in enumerate(info.function_tools, 1):
            arguments = json.dumps({"seat": "1A"})
            yield {place: DeltaToolCall(tool.name, arguments, tool_call_id=f"w{place}")}
    else:
        yield f"heard: {said[-1]}"


def agent_with_tools() -> PydanticAgent:
    agent = Agent(FunctionModel(stream_function=calls_then_says), name="airline")

    @agent.tool_plain(requires_approval=True)
    def book(seat: str) -> str:
        return f"booked {seat}"

    @agent.tool_plain
    def ask_pin(seat: str) -> str:
        raise CallDeferred(kind="question")

    @agent.tool_plain
    def on_client(seat: str) -> str:
        raise CallDeferred

    @agent.tool_plain
    def fails(seat: str) -> str:
        raise ModelRetry(f"no seat {seat}")

    return PydanticAgent(agent)


async def running(
    stack: AsyncExitStack, record: DatabaseSessions, folder: Path, agent: ThreadAgent
) -> Runs:
    chat = await stack.enter_async_context(chatting(record, folder, agent))
    runtime = Runtime(record, {agent.name: agent}, chat.turn_parts(60.0))
    return Runs(await stack.enter_async_context(runtime), record)


async def test_tools_of_a_user_agent_wait_for_people(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, agent_with_tools())
    engine = await runs.new("airline")
    turn_id = await engine.ask(SendMessage(prompt="book 1A"))
    approval, question, call = [
        await runs.seen(engine, kind)
        for kind in ("approval.required", "user_input.required", "tool_call.requested")
    ]
    assert engine.turn is not None
    desk = engine.turn.desk
    await engine.ask(Steer(turn_id=turn_id, prompt="and quickly"))
    desk.decide(approval["id"], "allow")
    desk.answer(question["id"], "1234")
    desk.resolve(call["id"], "window", success=True)
    await engine.wait_for_turn()
    journal = await runs.journal(engine)
    results = {
        message["tool_call_id"]: message["content"]
        for message in journal
        if message["role"] == "tool"
    }
    assert results["w1"] == "booked 1A"
    assert "1234" not in str(journal)
    assert results["w3"] == "window"
    assert "no seat 1A" in results["w4"]
    assert user("and quickly") in journal
    assert journal[-1] == assistant("heard: and quickly")
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.messages == journal
    live = {
        payload["item"]["id"]: payload["item"]
        for told in await runs.events(engine)
        if told.kind == "item.completed" and (payload := json.loads(told.payload))
    }
    assert {item["id"]: item for item in list_items(turn_id, journal)} == live
    thread = await runs.threads.get(engine.thread.id)
    assert thread.usage.calls == 3  # it was redirected at the end


async def test_tool_that_is_denied_is_told_to_the_model(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Agent(FunctionModel(stream_function=calls_then_says), name="airline")

    @agent.tool_plain(requires_approval=True)
    def book(seat: str) -> str:
        raise AssertionError(seat)

    runs = await running(stack, record, tmp_path, PydanticAgent(agent))
    engine = await runs.new("airline")
    await engine.ask(SendMessage(prompt="book 1A"))
    told = await runs.seen(engine, "approval.required")
    assert engine.turn is not None
    engine.turn.desk.decide(told["id"], "deny")
    await engine.wait_for_turn()
    (result,) = [each for each in await runs.journal(engine) if each["role"] == "tool"]
    assert result["content"] == DENIED


CALL = {"index": 0, "id": "w1", "type": "function"}
LOOK = {**CALL, "function": {"name": "look", "arguments": '{"seat":"1A"}'}}
CALLS = (
    event("Let me look."),
    event(choices=[{"index": 0, "delta": {"tool_calls": [LOOK]}, "finish_reason": None}]),
    event(finish_reason="tool_calls"),
    usage_event(),
    DONE,
)
SAYS = (event("It is free."), event(finish_reason="stop"), usage_event(), DONE)


async def calling(stack: AsyncExitStack) -> tuple[FakeUpstream, Upstream]:
    """An upstream that calls a tool, and speaks when it has the result."""

    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events = CALLS if len(upstream.asked) == 1 else SAYS
        writer.write(STREAM_HEAD + b"".join(map(piece, events)) + STREAM_END)

    upstream = FakeUpstream(behaviour=speak)
    await stack.enter_async_context(serving(upstream))
    asked = await stack.enter_async_context(Upstream(upstream.url))
    return upstream, asked


async def test_client_runs_the_tools_of_an_upstream(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    upstream, asked = await calling(stack)
    runs = await running(stack, record, tmp_path, ThreadUpstream(asked))
    engine = await runs.new("upstream")
    await engine.ask(SendMessage(prompt="is 1A free?", model="gpt-4o"))
    call = await runs.seen(engine, "tool_call.requested")
    assert (call["tool_name"], call["arguments"]) == ("look", '{"seat":"1A"}')
    assert engine.turn is not None
    engine.turn.desk.resolve(call["id"], "free", success=True)
    await engine.wait_for_turn()
    journal = await runs.journal(engine)
    assert [message["role"] for message in journal] == ["user", "assistant", "tool", "assistant"]
    assert journal[-1] == assistant("It is free.")
    assert (await runs.threads.get(engine.thread.id)).usage.calls == 2
    assert len(upstream.asked[1].body["messages"]) == 3


async def test_tools_of_a_server_of_mcp_wait_for_leave(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    server = FastMCP("seats")

    @server.tool
    def reserve(seat: str) -> str:
        return f"reserved {seat}"

    tools = MCPToolset(server).approval_required()
    model = FunctionModel(stream_function=calls_then_says)
    airline = PydanticAgent(Agent(model, name="airline", toolsets=[tools]))
    runs = await running(stack, record, tmp_path, airline)
    engine = await runs.new("airline")
    await engine.ask(SendMessage(prompt="take 1A"))
    approval = await runs.seen(engine, "approval.required")
    assert approval["tool_name"] == "reserve"
    await engine.decide(approval["id"], "allow", remember=False)
    await engine.wait_for_turn()
    (result,) = [said for said in await runs.journal(engine) if said["role"] == "tool"]
    assert result["content"] == "reserved 1A"
