"""Turns at their seams: stopped, left, crashed, and in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import (
    Conflict,
    HansardError,
    InvalidInput,
    LimitReached,
    NotFound,
    Unavailable,
)
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallPlan,
    Completed,
    Event,
    Headers,
    Request,
    Text,
)
from hansard.runtime.agents.scripted import Line, Scripted
from hansard.runtime.chat import Chat
from hansard.runtime.observers import TurnEnd, TurnStart
from hansard.runtime.turn_records import TurnRecord
from hansard.runtime.turns import Asked, Turn
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import AMPLE, chatting
from tests.samples import assistant, user

BOB = Actor(owner="bob", sees_all=False)
NEVER = 3_600.0


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


async def stays() -> None:
    """A client that never leaves."""
    await asyncio.Event().wait()


def asks(
    record: DatabaseSessions,
    *messages: dict[str, Any],
    client_left: Callable[[], Awaitable[None]] = stays,
) -> Asked:
    """A question in the session "s", answered by a stream."""
    return Asked(
        record=record,
        session_id="s",
        body={"messages": list(messages) or [user("hi")], "stream": True},
        size_bytes=100,
        way="auto",
        is_clamped=False,
        headers=(),
        client_left=client_left,
    )


async def heard(turn: Turn) -> bytes:
    """All that a client gets of a turn."""
    await turn.delivery.opened
    return b"".join([piece async for piece in turn.delivery.pipe.pieces()])


async def until_over(chat: Chat) -> None:
    while chat.turns:
        await asyncio.sleep(0.001)


async def statuses(record: DatabaseSessions) -> list[str]:
    return [turn.status for turn in (await record.list_turns("s")).items]


@pytest.mark.parametrize("how", ["deadline", "shutdown"])
async def test_turn_that_is_stopped_behind_a_slow_client_is_billed(
    record: DatabaseSessions, tmp_path: Path, how: str
) -> None:
    agent = Scripted([Line(text="word " * 20_000)])
    limits = replace(AMPLE, turn_s=1.0) if how == "deadline" else replace(AMPLE, drain_s=0.0)
    async with chatting(record, tmp_path, agent, limits=limits) as chat:
        turn = chat.begin(asks(record))
        while chat.turns and not turn.delivery.pipe.is_full:
            await asyncio.sleep(0)
        if how == "deadline":
            await until_over(chat)
    session = await record.get("s")
    assert (session.message_count, session.usage.calls) == (2, 1)
    assert session.usage.output_tokens > 0
    assert await statuses(record) == [{"deadline": "failed", "shutdown": "interrupted"}[how]]
    assert not (await record.list_holds(state="open")).items


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_turn_whose_client_has_left_gives_way_to_the_next(
    record: DatabaseSessions, tmp_path: Path, leaves_first: bool
) -> None:
    agent = Scripted([Line(text="one two", pause_s=NEVER), Line(text="three")])
    async with chatting(record, tmp_path, agent) as chat:
        stopped = chat.begin(asks(record))
        await stopped.delivery.opened
        if leaves_first:
            stopped.leave()
        following = chat.begin(asks(record, user("go on")))
        await asyncio.sleep(0)
        stopped.leave()
        assert b"three" in await heard(following)
        await until_over(chat)
    said = [message.body async for message in record.messages("s")]
    assert said == [user("hi"), assistant("one"), user("go on"), assistant("three")]
    assert await statuses(record) == ["interrupted", "completed"]


async def test_line_of_somebody_elses_session_cannot_be_joined(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Scripted([Line(text="one two", pause_s=NEVER)])
    await record.create(session_id="s")
    limits = replace(AMPLE, waiting=0, drain_s=0.0)
    async with chatting(record, tmp_path, agent, limits=limits) as chat:
        await chat.begin(asks(record)).delivery.opened
        with pytest.raises(Conflict):
            await chat.begin(asks(record)).delivery.opened
        with pytest.raises(NotFound):
            await chat.begin(asks(record.acting_as(BOB))).delivery.opened


async def test_one_tenant_does_not_take_all_the_memory(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    """A small request may stand for a long history."""
    long = [user("x" * 500), assistant("y" * 500)]
    await record.append_turn("s", long, create=True)
    acme = record.acting_as(Actor("acme"))
    limits = replace(AMPLE, size_bytes=2_000, size_bytes_by_tenant=500, drain_s=0.0)
    agent = Scripted([Line(text="one two", pause_s=NEVER)])
    async with chatting(record, tmp_path, agent, limits=limits) as chat:
        with pytest.raises(LimitReached) as refused:
            await chat.begin(asks(record, user("more"))).delivery.opened
        assert (refused.value.code, refused.value.details["limit"]) == ("history_too_long", 500)
        for _ in range(5):
            chat.begin(asks(acme))
        with pytest.raises(LimitReached) as refused:
            chat.begin(asks(acme))
        assert refused.value.code == "too_many_bytes"
        fresh = record.acting_as(Actor("umbrella"))
        await chat.begin(asks(fresh)).delivery.opened


async def test_answer_that_takes_all_the_memory_ends_and_is_billed(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    """Also of a client that has left, for whom nobody reads."""
    limits = replace(AMPLE, size_bytes_by_tenant=1_000)
    agent = Scripted([Line(text="word " * 300)])
    async with chatting(record, tmp_path, agent, limits=limits) as chat:
        assert b"turn_interrupted" in await heard(chat.begin(asks(record)))
    assert 0 < (await record.get("s")).usage.output_tokens < 300


async def test_answer_that_takes_all_the_memory_at_its_end_is_recorded(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    """The agent waits for nothing any more, so nothing of it is there to be stopped."""
    limits = replace(AMPLE, size_bytes_by_tenant=1_000)
    agent = Scripted()
    agent.run = answer_at_once  # type: ignore[method-assign]  # an agent that had it ready
    async with chatting(record, tmp_path, agent, limits=limits) as chat:
        assert b"[DONE]" in await heard(chat.begin(asks(record)))
    assert await statuses(record) == ["completed"]
    assert not (await record.list_holds(state="open")).items


async def answer_at_once(request: Request) -> AsyncGenerator[Event]:
    """A long answer in one piece."""
    plan = CallPlan(provider="openai", model="gpt-4o", input_tokens_bound=100)
    grant = await request.gate(plan)
    text = "word " * 300
    yield Text(text)
    call = NewUsage(event_id=grant.call_id, model="gpt-4o", output_tokens=300)
    yield Completed(messages=[assistant(text)], calls=[call], finish_reason="stop")


@pytest.mark.parametrize("why", ["long", "stuck"])
async def test_history_that_cannot_be_read_is_nobody_elses_affair(
    record: DatabaseSessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    await record.append_turn("s", [user("hi"), assistant("Hello")], create=True)
    async with chatting(record, tmp_path, Scripted()) as chat:
        if why == "long":
            monkeypatch.setattr("hansard.runtime.turns.HISTORY_S", 0.0)
        else:
            await chat.spool.put(spooled(record))
            (file,) = (tmp_path / "spool").rglob("*.json")
            file.unlink()
            file.mkdir()  # it cannot be read
        with pytest.raises(Unavailable) as refused:
            await chat.begin(asks(record, user("more"))).delivery.opened
        assert refused.value.code == "history_unavailable"
        other = record.acting_as(Actor("acme"))
        assert b"[DONE]" in await heard(chat.begin(asks(other)))
        assert (await other.get("s")).message_count == 2  # at once, and not by the spool


def spooled(record: DatabaseSessions) -> TurnRecord:
    """A turn of the session "s" that waits to be recorded."""
    return TurnRecord(
        actor=record.actor,
        session_id="s",
        turn_id="turn-1",
        status="completed",
        at_us=record.clock(),
        messages=[assistant("late")],
    )


class Crashing:
    """An agent and an observer that nobody foresaw; ``at`` says where it crashes."""

    def __init__(self, at: str = "") -> None:
        self.at = at
        self.ended_with: list[str] = []

    def begin(self, start: TurnStart) -> Crashing:
        self._crash("begin")
        return self

    @property
    def trace_id(self) -> str | None:
        self._crash("trace_id")
        return None

    def call_began(self, call_id: str, plan: CallPlan) -> Headers:
        self._crash("call_began")
        return ()

    def call_ended(self, call_id: str) -> None:
        self._crash("call_ended")

    def ended(self, end: TurnEnd) -> None:
        self.ended_with.append(end.status)
        self._crash("ended")

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        await request.gate(CallPlan(provider="openai", model="gpt-4o", input_tokens_bound=100))
        raise ZeroDivisionError
        yield

    def _crash(self, where: str) -> None:
        if where == self.at:
            raise ZeroDivisionError


@pytest.mark.parametrize("at", ["begin", "trace_id", "call_began", "call_ended", "ended"])
async def test_observer_that_crashes_is_alone_with_it(
    record: DatabaseSessions, tmp_path: Path, at: str
) -> None:
    crashing, watching = Crashing(at), Crashing()
    async with chatting(record, tmp_path, Scripted(), observers=(crashing, watching)) as chat:
        turn = chat.begin(asks(record))
        assert turn.watches.trace_id is None
        assert b"[DONE]" in await heard(turn)
    assert watching.ended_with == ["completed"]
    assert await statuses(record) == ["completed"]


async def test_client_that_cannot_be_watched_stops_nobody(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    async with chatting(record, tmp_path, Scripted()) as chat:
        assert b"[DONE]" in await heard(chat.begin(asks(record, client_left=crash)))
        assert b"[DONE]" in await heard(chat.begin(asks(record, user("more"))))


async def test_turn_that_crashes_leaves_what_is_known_of_it(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    agent = Scripted()
    agent.run = Crashing().run  # type: ignore[method-assign]  # an agent with a bug
    async with chatting(record, tmp_path, agent) as chat:
        turn = chat.begin(asks(record))
        with pytest.raises(HansardError) as crashed:
            await turn.delivery.opened
        assert crashed.value.code == "internal"
    assert [message.body async for message in record.messages("s")] == [user("hi")]
    assert await statuses(record) == ["failed"]
    (hold,) = (await record.list_holds(state="unknown")).items  # nobody knows what it cost
    assert hold.turn_id == turn.turn_id
    await record.resolve_hold(
        hold.call_id, NewUsage(event_id=hold.call_id, input_tokens=3, cost_nanousd=7)
    )
    assert not (await record.list_holds(state="unknown")).items


async def test_turn_whose_recording_crashes_is_kept(
    record: DatabaseSessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with chatting(record, tmp_path, Scripted()) as chat:
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseSessions, "settle_turn", crash)
            assert b"[DONE]" in await heard(chat.begin(asks(record)))
            assert chat.spool.waiting == 1
        assert await chat.spool.flush()
    assert await statuses(record) == ["completed"]
    assert not (await record.list_holds(state="open")).items


@pytest.mark.parametrize("why", ["deleted", "taken"])
async def test_turn_that_the_record_refuses_is_billed_all_the_same(
    record: DatabaseSessions, tmp_path: Path, why: str
) -> None:
    """A session that is deleted meanwhile stays so; one that is another's is not touched."""
    agent = Scripted([Line(text="one two", pause_s=NEVER)])
    if why == "deleted":
        await record.create(session_id="s")
    me = record if why == "deleted" else record.acting_as(Actor(owner="ann", sees_all=False))
    async with chatting(record, tmp_path, agent) as chat:
        turn = chat.begin(asks(me))
        await turn.delivery.opened
        if why == "deleted":
            await record.delete("s")
        else:
            await record.acting_as(BOB).create(session_id="s")
        turn.interrupt()
        await until_over(chat)
        assert await chat.spool.flush()
        assert chat.spool.refused == (why == "taken")
    assert not (await record.list_holds(state="open")).items
    (bucket,) = (await record.usage_report(group_by=("model",))).buckets
    assert bucket.totals.calls == 1
    left = [path.read_text() for path in (tmp_path / "spool").rglob("*.json")]
    assert [("one" in text, "scripted-" in text) for text in left] == (
        [] if why == "deleted" else [(True, False)]
    )
    if why == "deleted":
        assert not await record.exists("s")
    else:
        assert (await record.get("s")).message_count == 0


async def test_turn_that_was_let_through_to_no_model_leaves_no_file(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    async with chatting(record, tmp_path, Scripted()) as chat:
        two = asks(record)
        two.body["n"] = 2
        with pytest.raises((HansardError, AgentFailed)):
            await chat.begin(two).delivery.opened
        assert chat.spool.waiting == 0
    assert not await record.exists("s")


async def test_agent_whose_name_cannot_be_recorded_is_refused(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with open_database(sqlite_url) as record:
        with pytest.raises(InvalidInput):
            async with chatting(record, tmp_path, Scripted(name="a" * 257)):
                pass
