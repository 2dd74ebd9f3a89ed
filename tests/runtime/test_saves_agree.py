"""For every kind of item: the engine, a save of it, the record and a fresh engine agree."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from hansard.core.errors import NotFound
from hansard.core.items import Item, list_items
from hansard.core.threads import REQUESTED
from hansard.runtime.agents.scripted import Line, ScriptedTool
from hansard.runtime.engine import Engine
from hansard.runtime.operations import (
    Compact,
    GetSessionSnapshot,
    Interrupt,
    Operation,
    SendMessage,
    Shutdown,
    Steer,
    SyncSession,
)
from hansard.runtime.saves import save
from hansard.service.sessions import DatabaseSessions
from tests.json_values import texts
from tests.runtime.logs import follow
from tests.runtime.test_threads import ME, Runs, record, running

__all__ = ["record"]

said = texts | st.sampled_from(["", " ", "a b\n", "nul \0", "\U0001f600 é", "\\u0000"])
tools = st.builds(
    ScriptedTool,
    name=st.sampled_from(["find", "book"]),
    arguments=st.dictionaries(texts, st.integers() | texts, max_size=2),
    result=said | st.none(),
    approval=st.booleans(),
    asks=st.booleans(),
)
lines = st.builds(
    Line,
    text=said | st.none(),
    reasoning=said,
    tools=st.lists(tools, max_size=3),
    error=st.sampled_from([Raw(b"null"), Raw(b'{"message":"no"}')]),
)


class Turn(NamedTuple):
    """What people do about a turn; ``ends`` interrupts it where it first waits for them."""

    prompt: str
    decision: str
    steers: bool
    ends: bool
    compacts: bool


turns = st.builds(
    Turn,
    prompt=texts.filter(str.strip),
    decision=st.sampled_from(["allow", "deny"]),
    steers=st.booleans(),
    ends=st.booleans(),
    compacts=st.booleans(),
)


async def take(runs: Runs, engine: Engine, turn: Turn) -> None:
    """Take a turn to its end, and one that sums up after it."""
    operations: list[Operation[str]] = [SendMessage(prompt=turn.prompt)]
    operations += [Compact()] if turn.compacts else []
    for operation in operations:
        after = engine.thread.seq
        turn_id = await engine.ask(operation)
        source = runs.runtime.source(ME, await runs.threads.get(engine.thread.id), after=after)
        async with aclosing(follow(source)) as events:
            waits = 0
            async for event in events:
                if event["event"] == "turn.completed":
                    break
                if event["event"] in REQUESTED.values():
                    waits += 1
                    await attend(runs, engine, turn, turn_id, event, is_first=waits == 1)


async def attend(
    runs: Runs, engine: Engine, turn: Turn, turn_id: str, event: dict[str, Any], *, is_first: bool
) -> None:
    """Save the thread where a turn waits, and do about it what is to be done."""
    saved = await save(runs.runtime, ME, engine.thread.id, None)
    _, stored = await runs.record.read_history(saved.session.id)
    assert list(map(json.loads, stored)) == saved.snapshot.messages
    if is_first and turn.steers:
        await engine.ask(Steer(turn_id=turn_id, prompt=turn.prompt))
    if is_first and turn.ends:
        await engine.ask(Interrupt(turn_id=turn_id))
    else:
        settle(engine, event["event"], event["payload"]["id"], turn.decision)


def settle(engine: Engine, kind: str, wait_id: str, decision: str) -> None:
    """Answer what a turn waits for, unless that was interrupted."""
    with suppress(NotFound):
        desk = engine.turn.desk if engine.turn is not None else None
        if desk is None:
            return
        if kind == "approval.required":
            desk.decide(wait_id, decision)
        elif kind == "user_input.required":
            desk.answer(wait_id, "a secret")
        else:
            desk.resolve(wait_id, "resolved", success=True)


@given(
    script=st.lists(lines, min_size=1, max_size=3),
    script_turns=st.lists(turns, min_size=1, max_size=3),
)
@settings(max_examples=25)
async def test_engine_save_record_and_fresh_engine_agree(
    record: DatabaseSessions, tmp_path: Path, script: list[Line], script_turns: list[Turn]
) -> None:
    async with AsyncExitStack() as stack:
        runs = await running(stack, record, tmp_path, *script)
        engine = await runs.new()
        for turn in script_turns:
            await take(runs, engine, turn)
        held = await engine.ask(GetSessionSnapshot())
        saved = (await save(runs.runtime, ME, engine.thread.id, None)).session
        stored = await runs.threads.copy_to_session(engine.thread.id, None)
        histories = [
            (await record.read_history(name))[1] for name in (engine.thread.id, saved.id, stored.id)
        ]
        assert histories[0] == histories[1] == histories[2]
        assert list(map(json.loads, histories[0])) == held.messages
        assert (saved.digest, saved.message_count) == (stored.digest, stored.message_count)
        assert (await record.verify(saved.id)).ok
        assert saved.cost_data == stored.cost_data
        assert "a secret" not in str(histories)
        await agree_on_items(runs, engine)
        assert await engine.ask(SyncSession()) == engine.thread
        assert (await engine.ask(GetSessionSnapshot())).messages == held.messages
        await engine.ask(Shutdown())
        fresh = await (await runs.runtime.engine(ME, engine.thread.id)).ask(GetSessionSnapshot())
        assert (fresh.messages, fresh.usage) == (held.messages, held.usage)


async def agree_on_items(runs: Runs, engine: Engine) -> None:
    """What was told of items is what the record makes of them, but for how they ended."""
    told: dict[str, Item] = {}
    kept: dict[str, Item] = {}
    for event in await runs.events(engine):
        if (
            event.item_id is not None
            and event.kind.startswith("item.")
            and event.kind != "item.delta"
        ):
            told[event.item_id] = json.loads(event.payload)["item"]
    page = await runs.record.list_messages(engine.thread.id, limit=1_000)
    for turn in await runs.threads.list_turns(engine.thread.id):
        ours = [message.body for message in page.items if message.turn_id == turn.turn_id]
        kept |= {item["id"]: item for item in list_items(turn.turn_id, ours, turn.status)}
    for item_id, item in told.items():
        if item["kind"] != "context_compaction" and item.get("text") != "":
            assert {**item, "status": ""} == {**kept.pop(item_id), "status": ""}
        assert item["status"] != "in_progress"
    assert not kept
