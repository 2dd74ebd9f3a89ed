"""What engines hold: taken from the record, shown between two events, saved as sessions."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hansard.core.errors import Conflict, Corrupt, InvalidInput
from hansard.core.thread_edits import update
from hansard.runtime.agents.scripted import Line, ScriptedTool
from hansard.runtime.operations import (
    Change,
    GetSessionSnapshot,
    Interrupt,
    SendMessage,
    Shutdown,
    Steer,
    SyncSession,
)
from hansard.runtime.saves import save
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock
from tests.places import Place
from tests.runtime.test_threads import ME, SLOW, TOOL, record, running, stack
from tests.samples import assistant, together, user

__all__ = ["record", "stack"]


async def test_snapshot_tells_how_far_the_turn_came(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    first = Line(text="first", model="m-1", provider="p-1")
    runs = await running(stack, record, tmp_path, first, SLOW)
    engine = await runs.new()
    fresh = await engine.ask(GetSessionSnapshot())
    assert (fresh.messages, fresh.turn, fresh.model, fresh.provider) == ([], None, None, None)
    await runs.send(engine, "one")
    after = engine.thread.seq
    turn_id = await engine.ask(SendMessage(prompt="two"))
    await runs.seen(engine, "item.delta", after=after)
    await engine.ask(Steer(turn_id=turn_id, prompt="faster"))
    snapshot = await engine.ask(GetSessionSnapshot())
    assert (snapshot.model, snapshot.provider) == ("m-1", "p-1")
    assert snapshot.thread.agent == "scripted"
    turn = snapshot.turn
    assert turn is not None
    assert (turn.id, turn.number, turn.kind, turn.steer_count) == (turn_id, 2, "message", 1)
    assert (turn.text, turn.reasoning, turn.waits) == ("one", "", ())
    told = [json.loads(each.payload) for each in await runs.events(engine)][: snapshot.seq]
    assert "".join(each.get("delta", "") for each in told) == "firstone"


async def test_snapshot_tells_what_the_turn_waits_for(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    tool = ScriptedTool(name="book", result="free", approval=True)
    runs = await running(stack, record, tmp_path, Line(text="done", tools=[tool]))
    engine = await runs.new()
    await engine.ask(SendMessage(prompt="book"))
    asked = await runs.seen(engine, "approval.required")
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.turn is not None
    assert snapshot.turn.waits == ({"kind": "approval", **asked},)
    assert [message["role"] for message in snapshot.messages] == ["user", "assistant"]
    assert engine.turn is not None
    engine.turn.desk.decide(asked["id"], "allow")
    await runs.seen(engine, "approval.decided")
    await engine.wait_for_turn()


async def test_fresh_engine_holds_what_was_saved(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    """A server that is started again shows the same as the one before."""
    async with AsyncExitStack() as server:
        runs = await running(server, record, tmp_path / "a", Line(text="found", tools=[TOOL]))
        engine = await runs.new()
        await runs.send(engine, "find")
        before = await engine.ask(GetSessionSnapshot())
        saved = await save(runs.runtime, ME, engine.thread.id, "kept")
    runs = await running(stack, record, tmp_path / "b")
    again = await runs.runtime.engine(ME, engine.thread.id)
    after = await again.ask(GetSessionSnapshot())
    assert after.messages == before.messages
    assert (after.usage, after.seq) == (before.usage, before.seq + 1)  # it was linked since
    assert after.thread.session_id == saved.session.id == "kept"
    assert (await save(runs.runtime, ME, engine.thread.id, None)).receipt.appended == 0


async def test_history_is_read_anew_while_no_turn_runs(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, Line(text="first"), SLOW)
    engine = await runs.new()
    await runs.send(engine, "one")
    thread = await engine.ask(SyncSession())
    assert thread == engine.thread == await runs.threads.get(thread.id)
    assert thread.message_count == 2
    await engine.ask(SendMessage(prompt="two"))
    with pytest.raises(Conflict) as caught:
        await engine.ask(SyncSession())
    assert caught.value.code == "turn_active"
    snapshot = await engine.ask(GetSessionSnapshot())
    assert snapshot.messages == [user("one"), assistant("first"), user("two")]


@pytest.mark.parametrize("damage", ["UPDATE messages SET body = '{'", "DELETE FROM messages"])
async def test_engine_of_a_history_that_cannot_be_read_is_not_loaded(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    record_url: str,
    tmp_path: Path,
    damage: str,
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    await runs.send(engine, "one")
    await engine.ask(Shutdown())
    place = Place(kind="", url="", database_url=record_url)
    place.execute(f"{damage} WHERE seq = 1")
    thread_id = engine.thread.id
    for _ in range(2):
        with pytest.raises(Corrupt) as caught:
            await save(runs.runtime, ME, thread_id, "s")
        assert caught.value.code == "session_corrupt"
    assert not await record.exists("s")
    place.execute("DELETE FROM messages")
    place.execute("UPDATE sessions SET message_count = 0")
    assert (await runs.runtime.engine(ME, thread_id)).thread.message_count == 0


async def test_saves_of_one_thread_at_once_make_one_session(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    engine = await runs.new()
    await runs.send(engine, "one")
    saves = await together([save(runs.runtime, ME, engine.thread.id, None) for _ in range(6)])
    assert len({saved.session.id for saved in saves}) == 1
    assert sum(saved.is_new for saved in saves) == 1


async def test_save_waits_for_the_end_of_a_turn_if_told_to(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path, SLOW)
    engine = await runs.new()
    turn_id = await engine.ask(SendMessage(prompt="count"))
    await runs.seen(engine, "item.delta")
    with pytest.raises(TimeoutError):
        await save(runs.runtime, ME, engine.thread.id, "s", wait_s=0.0)
    assert not await record.exists("s")
    waiting = asyncio.ensure_future(save(runs.runtime, ME, engine.thread.id, "s", wait_s=60.0))
    await engine.ask(Interrupt(turn_id=turn_id))
    saved = await waiting
    assert saved.snapshot.turn is None
    assert saved.snapshot.messages == [user("count"), assistant("one")]


async def test_thread_without_words_is_saved_only_if_that_is_wanted(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    with pytest.raises(InvalidInput) as caught:
        await save(runs.runtime, ME, None, None)
    assert caught.value.code == "no_threads"
    engine = await runs.new()
    with pytest.raises(InvalidInput) as caught:
        await save(runs.runtime, ME, None, None)
    assert caught.value.code == "empty_thread"
    saved = await save(runs.runtime, ME, None, "empty", allow_empty=True)
    assert (saved.is_new, saved.session.message_count) == (True, 0)
    assert saved.snapshot.thread.id == engine.thread.id


async def test_thread_that_changed_last_is_chosen_unless_it_is_archived(
    stack: AsyncExitStack, record: DatabaseSessions, tmp_path: Path
) -> None:
    runs = await running(stack, record, tmp_path)
    older, latest, archived = [await runs.new() for _ in range(3)]
    for engine in (older, latest, archived):
        assert isinstance(record.clock, Clock)
        record.clock.advance(1)
        await runs.send(engine)
    await archived.ask(Change(edit=update({"archived": True})))
    saved = await save(runs.runtime, ME, None, None)
    assert saved.snapshot.thread.id == latest.thread.id
