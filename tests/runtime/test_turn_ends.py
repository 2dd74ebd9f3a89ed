"""The ends of turns, where something else happens at the same moment."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hansard.core.errors import Unavailable, UpstreamFailed
from hansard.core.thread_edits import update
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallDone,
    Completed,
    Event,
    Request,
    Text,
)
from hansard.runtime.engine import Engine
from hansard.runtime.operations import Change, Compact, GetSessionSnapshot, SendMessage, Steer
from hansard.runtime.recovery import recover
from hansard.runtime.saves import save
from hansard.service.sessions import DatabaseSessions
from hansard.store import sessions
from hansard.store.database import Tx
from tests.ledgers import Clock
from tests.runtime.test_bad_agents import PLAN, TOOL, Bad, raises, running
from tests.runtime.test_threads import ME, record, stack
from tests.runtime.test_turns import Crashing
from tests.samples import assistant, user

__all__ = ["record", "stack"]


@asynccontextmanager
async def locked(record: DatabaseSessions, thread_id: str) -> AsyncIterator[None]:
    """Let nobody write to a thread in the block."""
    loop, begun, over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        sessions.lock(tx, ME, thread_id)
        loop.call_soon_threadsafe(begun.set)
        over.wait()

    holding = asyncio.ensure_future(record.runner.write(hold))
    await begun.wait()
    try:
        yield
    finally:
        over.set()
        await holding


async def is_over(engine: Engine) -> None:
    """Wait until the agent has ended, and its turn is being recorded."""
    while engine.turn is None or not engine.turn.is_over:
        await asyncio.sleep(0)


class Patient(Bad):
    """An agent that says something when it may."""

    def __init__(self) -> None:
        super().__init__(raises(RuntimeError))
        self.may_speak = asyncio.Event()

    async def run(self, _request: Request) -> AsyncGenerator[Event]:
        await self.may_speak.wait()
        yield Completed(messages=[assistant("in short")], calls=[], finish_reason="stop")


async def test_change_while_a_summary_is_recorded_keeps_that(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Patient()
    runs, engine = await running(stack, record, tmp_path, agent)
    agent.may_speak.set()
    await runs.send(engine)
    agent.may_speak.clear()
    await engine.ask(Compact())
    async with locked(record, engine.thread.id):
        agent.may_speak.set()
        await is_over(engine)
        changing = asyncio.ensure_future(engine.ask(Change(edit=update({"title": "Seats"}))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    changed = await changing
    await engine.wait_for_turn()
    thread = await runs.threads.get(engine.thread.id)
    assert thread.context is not None
    assert (changed.title, changed.context) == ("Seats", thread.context)
    assert json.loads(thread.context)["summary"] == "in short"


@pytest.mark.parametrize("settings", [{}, {"mode": "plan"}, {"auto_approve": True}])
async def test_agent_that_is_left_to_itself_makes_no_call_more(
    settings: dict[str, Any], stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    asked: list[Request] = []

    async def rest(request: Request) -> AsyncGenerator[Event]:
        asked.append(request)
        yield Completed(messages=[assistant("well")], calls=[], finish_reason="stop")

    _, engine = await running(stack, record, tmp_path, Bad(rest))
    await engine.ask(SendMessage(prompt="hello", settings=settings))
    await engine.wait_for_turn()
    seq = engine.thread.seq
    with pytest.raises(Unavailable) as caught:
        await asked[0].gate(PLAN)
    assert caught.value.code == "turn_over"
    assert asked[0].desk is not None
    assert not (await asked[0].desk.approve(TOOL)).is_allowed
    await engine.ask(Change(edit=update({"title": "Seats"})))
    assert engine.thread.seq == seq + 1  # and it tells nobody of anything


async def test_error_that_is_no_text_of_the_record_is_told_as_far_as_it_is(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    async def rest(_request: Request) -> AsyncGenerator[Event]:
        yield Text(", and")
        raise AgentFailed(UpstreamFailed("no caf\udce9", code="upstream_failed"))

    runs, engine = await running(stack, record, tmp_path, Bad(rest))
    turn_id = await runs.send(engine)
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert turn.status == "failed"
    assert json.loads(turn.error or "")["message"] == "no caf\ufffd"
    assert engine.holds_lease()


async def test_turn_that_is_asked_for_while_one_is_recorded_waits_for_that(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    """Whoever reads the disk may hear of the end of a turn before its engine does."""
    agent = Patient()
    runs, engine = await running(stack, record, tmp_path, agent)
    await engine.ask(SendMessage(prompt="one"))
    async with locked(record, engine.thread.id):
        agent.may_speak.set()
        await is_over(engine)
        saving = asyncio.ensure_future(engine.ask(GetSessionSnapshot()))
        sending = asyncio.ensure_future(engine.ask(SendMessage(prompt="two")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    snapshot = await saving
    assert (snapshot.turn, snapshot.messages) == (None, [user("one"), assistant("in short")])
    await sending
    await engine.wait_for_turn()
    assert len(await runs.journal(engine)) == 4


async def test_lost_turn_counts_in_its_thread_what_was_told_of_it(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    """Whoever recovers it finds that in its log; only what is not there is spooled."""
    is_lost = asyncio.Event()

    async def rest(request: Request) -> AsyncGenerator[Event]:
        await is_lost.wait()
        grant = await request.gate(PLAN)
        yield CallDone(NewUsage(event_id=grant.call_id, input_tokens=5))
        yield Text(", unheard")
        await asyncio.Event().wait()

    watching = Crashing()
    runs, engine = await running(stack, record, tmp_path, Bad(rest), observers=[watching])
    thread_id = engine.thread.id
    await engine.ask(SendMessage(prompt="hello"))
    await runs.seen(engine, "item.delta")
    told = (await engine.ask(GetSessionSnapshot())).usage
    saving = asyncio.ensure_future(save(runs.runtime, ME, thread_id, "s", wait_s=60.0))
    assert isinstance(record.clock, Clock)
    record.clock.advance(60)
    await runs.threads.lease(thread_id, holder="another", url=None)  # and dies
    is_lost.set()
    with pytest.raises(Unavailable) as caught:  # it does not know what became of the turn
        await saving
    assert caught.value.code == "engine_stopped"
    assert watching.ended_with == ["interrupted"]
    record.clock.advance(60)
    again = await runs.runtime.engine(ME, thread_id)
    assert again is not engine
    assert again.thread.usage == told
    assert await runs.journal(again) == [user("hello"), assistant("so far")]
    assert (await record.usage_report(group_by=("model",))).totals.calls == 2
    assert (await record.verify_ledger()).ok


async def test_engine_says_of_its_thread_what_the_record_says(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Patient()
    runs, engine = await running(stack, record, tmp_path, agent)
    agent.may_speak.set()
    await runs.send(engine)
    assert engine.thread == await runs.threads.get(engine.thread.id)
    assert isinstance(record.clock, Clock)
    record.clock.advance(1)
    await engine.ask(Change(edit=update({"title": "Seats"})))
    assert engine.thread == await runs.threads.get(engine.thread.id)
    await engine.ask(Compact())
    await engine.wait_for_turn()
    assert engine.thread == await runs.threads.get(engine.thread.id)


async def test_recovered_turn_says_how_often_it_was_steered(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs, engine = await running(stack, record, tmp_path, Patient())
    turn_id = await engine.ask(SendMessage(prompt="one"))
    await engine.ask(Steer(turn_id=turn_id, prompt="two"))
    await runs.seen(engine, "turn.steered")
    assert isinstance(record.clock, Clock)
    record.clock.advance(60)
    thread = await runs.threads.lease(engine.thread.id, holder="another", url=None)
    await recover(record, runs.threads, thread)
    turn = await runs.threads.get_turn(engine.thread.id, turn_id)
    assert turn is not None
    assert (turn.status, turn.steer_count) == ("interrupted", 1)
