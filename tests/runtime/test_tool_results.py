"""Calls of tools that end without a result: one is recorded with the end of the turn, once."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hansard.core.items import NO_RESULT, answered, list_items, with_answers
from hansard.runtime.agents.protocol import Completed, MessageDone, ToolReturned
from hansard.runtime.agents.scripted import Line, ScriptedTool
from hansard.runtime.engine import Engine
from hansard.runtime.operations import GetSessionSnapshot, Interrupt, SendMessage
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock
from tests.runtime.test_engines import Odd
from tests.runtime.test_thread_agents import running as running_agent
from tests.runtime.test_threads import ME, Runs, record, running, stack
from tests.samples import assistant, user

__all__ = ["record", "stack"]

FREE = ScriptedTool(name="find", result="free")
BOOK = ScriptedTool(name="book", result="booked", approval=True)
RUN = ScriptedTool(name="run")


def calling(*names: str) -> dict[str, Any]:
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in names
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str, content: str = "free") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def missing(call_id: str, reason: str = "interrupted") -> dict[str, Any]:
    return {**result(call_id, f"{reason}: {NO_RESULT}"), "is_error": True}


async def items_are_told(runs: Runs, engine: Engine, turn_id: str, status: str) -> None:
    """What was told of the items at their ends is what the record makes of them."""
    journal = await runs.journal(engine)
    ended = {
        payload["item"]["id"]: payload["item"]
        for event in await runs.events(engine)
        if event.kind.startswith("item.") and "item" in (payload := json.loads(event.payload))
    }
    assert ended == {item["id"]: item for item in list_items(turn_id, journal, status)}


async def test_interrupted_turn_records_a_result_for_each_call(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(tools=[FREE, BOOK, RUN]))
    engine = await runs.new()
    turn_id = await engine.ask(SendMessage(prompt="book"))
    await runs.seen(engine, "approval.required")
    await engine.ask(Interrupt(turn_id=turn_id))
    await engine.wait_for_turn()
    said, called, *results = await runs.journal(engine)
    names = [call["id"] for call in called["tool_calls"]]
    assert results == [result(names[0]), missing(names[1]), missing(names[2])]
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.messages == [said, called, *results]
    await items_are_told(runs, engine, turn_id, "interrupted")
    assert (await record.verify(engine.thread.id)).ok


async def test_turn_of_a_lost_server_records_a_result_for_each_call(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    dead = await running(stack, record, tmp_path / "a", Line(tools=[FREE, BOOK]))
    engine = await dead.new()
    turn_id = await engine.ask(SendMessage(prompt="book"))
    await dead.seen(engine, "approval.required")
    assert isinstance(record.clock, Clock)
    record.clock.advance(60)
    alive = await running(stack, record, tmp_path / "b")
    again = await alive.runtime.engine(ME, engine.thread.id)
    _, called, *results = await alive.journal(again)
    names = [call["id"] for call in called["tool_calls"]]
    assert results == [result(names[0]), missing(names[1])]
    await items_are_told(alive, again, turn_id, "interrupted")
    turn = await alive.threads.get_turn(again.thread.id, turn_id)
    assert turn is not None
    assert json.loads(turn.usage or "")["calls"] == 1


def test_result_that_no_message_tells_of_is_not_lost_with_the_server() -> None:
    assert answered([calling("a", "b")], [], "interrupted", {"a": "free"}) == [
        result("a"),
        missing("b"),
    ]


class Careless(Odd):
    """An agent that calls tools and forgets them."""

    async def run(self, request: Any) -> Any:
        self.asked.append(request.body["messages"])
        if len(self.asked) == 1:
            yield MessageDone(calling("a", "b"))
            yield ToolReturned("a", "free")
            messages = [calling("a", "b"), result("a"), calling("c"), assistant("well")]
            yield Completed(messages=messages, calls=[], finish_reason="stop")
        else:
            yield Completed(messages=[assistant("again")], calls=[], finish_reason="stop")


async def test_turn_that_completes_leaves_no_call_open_either(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Careless()
    runs = await running_agent(stack, record, tmp_path, agent)
    engine = await runs.new("odd")
    turn_id = await runs.send(engine, "go")
    told = [
        user("go"),
        {name: value for name, value in calling("a", "b").items() if value is not None},
        missing("b", "completed"),
        result("a"),
        {name: value for name, value in calling("c").items() if value is not None},
        missing("c", "completed"),
        assistant("well"),
    ]
    assert await runs.journal(engine) == told
    await items_are_told(runs, engine, turn_id, "completed")
    await runs.send(engine, "on")
    plain = [{k: v for k, v in each.items() if k != "is_error"} for each in told]
    assert agent.asked[-1] == [*plain, user("on")]


def test_history_from_elsewhere_gets_results_where_they_belong() -> None:
    foreign = [user("go"), calling("a", "b"), result("b"), assistant("well")]
    whole = with_answers(foreign)
    assert whole == [
        user("go"),
        calling("a", "b"),
        result("a", f"interrupted: {NO_RESULT}"),
        result("b"),
        assistant("well"),
    ]
    assert with_answers(whole) == whole
