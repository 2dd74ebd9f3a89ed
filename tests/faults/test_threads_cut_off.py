"""Threads whose database cannot be reached for a while, in the middle of a turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import psycopg
import pytest

from hansard.compose import open_database
from hansard.core.errors import Unavailable
from hansard.core.thread_edits import update
from hansard.core.threads import ThreadQuery
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import CallDone, Event, Request, Text
from hansard.runtime.chat import Chat
from hansard.runtime.engine import Engine
from hansard.runtime.leases import HeldElsewhere
from hansard.runtime.operations import Change, SendMessage
from hansard.runtime.threads import Runtime
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService
from tests.faults.harness import PAUSE_S
from tests.faults.history import STALL_S
from tests.faults.proxy import Proxy
from tests.faults.test_killed_chat import holds_of
from tests.runtime.chats import chatting
from tests.runtime.logs import follow
from tests.runtime.test_bad_agents import PLAN, Bad
from tests.runtime.test_threads import ME, Runs
from tests.samples import assistant, user

LEASE_S = 1.0


@pytest.fixture
def wire(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(postgres_url) as wire:
        yield wire


@pytest.fixture
async def record(wire: Proxy) -> AsyncIterator[DatabaseSessions]:
    """A record behind the wire."""
    async with open_database(wire.url, retry_deadline_s=0.1) as record:
        yield record


@pytest.fixture
async def observer(postgres_url: str) -> AsyncIterator[DatabaseSessions]:
    """The same record, always in reach."""
    async with open_database(postgres_url) as record:
        yield record


class Cut:
    """Cuts a wire, and lets it be whole again."""

    def __init__(self, wire: Proxy, record: DatabaseSessions, observer: DatabaseSessions) -> None:
        self._wire = wire
        self._record = record
        self._threads = ThreadService(observer.runner)

    async def begin(self) -> None:
        """Cut it, once it is on disk that something was said."""
        (thread,) = (await self._threads.list(ThreadQuery(limit=1))).items
        kinds: set[str] = set()
        while "item.delta" not in kinds:
            await asyncio.sleep(PAUSE_S)
            events = await self._threads.list_events(thread.id, after=0, limit=100)
            kinds = {event.kind for event in events}
        self._wire.refusing = True
        self._wire.hang_up()
        with pytest.raises(Unavailable):
            await self._record.check()

    def end(self) -> None:
        self._wire.refusing = False


async def running(
    stack: AsyncExitStack,
    record: DatabaseSessions,
    folder: Path,
    agent: Bad,
    *,
    lease_s: float = 3_600.0,
) -> tuple[Runs, Chat]:
    chat = await stack.enter_async_context(chatting(record, folder, agent))
    runtime = Runtime(record, {agent.name: agent}, chat.turn_parts(60.0), lease_s=lease_s)
    return Runs(await stack.enter_async_context(runtime), record), chat


async def again(runs: Runs, thread_id: str) -> Engine:
    """The engine of a thread, once the record can be reached."""
    async with asyncio.timeout(STALL_S):
        while True:
            try:
                engine = await runs.runtime.engine(ME, thread_id)
                await engine.ask(SendMessage(prompt="and now?"))
            except Unavailable:
                await asyncio.sleep(PAUSE_S)
            else:
                await engine.wait_for_turn()
                return engine


async def journal(observer: DatabaseSessions, thread_id: str) -> list[dict[str, object]]:
    return [message.body async for message in observer.messages(thread_id)]


@pytest.mark.parametrize("lost", ["reach", "answer"])
async def test_turn_goes_on_behind_a_short_cut(
    wire: Proxy, record: DatabaseSessions, observer: DatabaseSessions, tmp_path: Path, lost: str
) -> None:
    cut = Cut(wire, record, observer)

    async def rest(_request: Request) -> AsyncGenerator[Event]:
        if lost == "reach":
            await cut.begin()
            yield Text(", unheard")
            asyncio.get_running_loop().call_later(PAUSE_S, cut.end)
        else:
            wire.cuts_answer = once(b"COMMIT")
            yield Text(", unheard")

    async with AsyncExitStack() as stack:
        runs, _ = await running(stack, record, tmp_path, Bad(rest))
        engine = await runs.new("bad")
        turn_id = await engine.ask(SendMessage(prompt="hello"))
        await engine.wait_for_turn()
        thread_id = engine.thread.id
        assert await again(runs, thread_id) is engine
    threads = ThreadService(observer.runner)
    turn = await threads.get_turn(thread_id, turn_id)
    assert turn is not None
    assert json.loads(turn.error or "")["code"] == "agent_failed"  # as it is without a cut
    said = [user("hello"), assistant("so far, unheard"), user("and now?"), assistant("well")]
    assert await journal(observer, thread_id) == said
    assert (await threads.get(thread_id)).usage.calls == 1
    events = await threads.list_events(thread_id, after=0, limit=1_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (await observer.verify_ledger()).ok


def once(condemned: bytes) -> Callable[[bytes], bool]:
    """Condemn what holds some bytes, the first time."""
    left = [condemned]

    def judge(data: bytes) -> bool:
        return bool(left) and left[0] in data and bool(left.pop())

    return judge


async def test_turn_ends_and_is_paid_for_once_behind_a_long_cut(
    wire: Proxy, record: DatabaseSessions, observer: DatabaseSessions, tmp_path: Path
) -> None:
    """Longer than the lease: nobody may write any more, and what it cost comes by the spool."""
    cut = Cut(wire, record, observer)

    async def rest(request: Request) -> AsyncGenerator[Event]:
        grant = await request.gate(PLAN)
        await request.gate(PLAN)  # what becomes of this call nobody knows
        await cut.begin()
        yield CallDone(NewUsage(event_id=grant.call_id, input_tokens=5))
        yield Text(", unheard")
        await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        runs, chat = await running(stack, record, tmp_path, Bad(rest), lease_s=LEASE_S)
        engine = await runs.new("bad")
        turn_id = await engine.ask(SendMessage(prompt="hello"))
        await engine.wait_for_turn()
        assert chat.spool.waiting == 1
        cut.end()
        thread_id = engine.thread.id
        assert await again(runs, thread_id) is not engine
        async with asyncio.timeout(STALL_S):
            while not await chat.spool.flush():
                await asyncio.sleep(PAUSE_S)
    threads = ThreadService(observer.runner)
    turn = await threads.get_turn(thread_id, turn_id)
    assert turn is not None
    assert (turn.status, json.loads(turn.error or "")["code"]) == ("interrupted", "server_lost")
    said = [user("hello"), assistant("so far"), user("and now?"), assistant("well")]
    assert await journal(observer, thread_id) == said
    report = await observer.usage_report(group_by=("model",))
    assert report.totals.calls == 2
    assert not await holds_of(observer)
    assert await holds_of(observer, "unknown") == {thread_id}
    assert (await observer.verify_ledger()).ok
    events = await threads.list_events(thread_id, after=0, limit=1_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_step_of_another_is_not_taken_for_ones_own(
    wire: Proxy,
    postgres_url: str,
    record: DatabaseSessions,
    observer: DatabaseSessions,
    tmp_path: Path,
) -> None:
    """Whoever was cut off finds events of the numbers that its own would have had."""
    cut, is_cut = Cut(wire, record, observer), asyncio.Event()

    async def rest(_request: Request) -> AsyncGenerator[Event]:
        await cut.begin()
        yield Text(", unheard")
        is_cut.set()
        await asyncio.Event().wait()

    async def read() -> None:
        source = runs.runtime.source(ME, await runs.threads.get(thread_id), after=0)
        async with aclosing(follow(source)) as events:
            async for event in events:
                heard[event["seq"]] = event["event"]

    heard: dict[int, str] = {}
    async with AsyncExitStack() as stack:
        runs, _ = await running(stack, record, tmp_path / "a", Bad(rest))
        others, _ = await running(stack, observer, tmp_path / "b", Bad(rest))
        engine = await runs.new("bad")
        thread_id = engine.thread.id
        reading = asyncio.ensure_future(read())
        stack.callback(reading.cancel)
        await engine.ask(SendMessage(prompt="hello"))
        await is_cut.wait()
        with psycopg.connect(postgres_url) as lapse:
            lapse.execute("UPDATE threads SET lease_until_us = 0")
        taken = await others.runtime.engine(ME, thread_id)
        await taken.ask(Change(edit=update({"title": "taken over"})))
        cut.end()
        await engine.wait_for_turn()
        with pytest.raises(HeldElsewhere):
            await runs.runtime.engine(ME, thread_id)
        async with asyncio.timeout(STALL_S):
            while "thread.updated" not in heard.values():
                await asyncio.sleep(PAUSE_S)
    events = await ThreadService(observer.runner).list_events(thread_id, after=0, limit=1_000)
    assert heard == {event.seq: event.kind for event in events}
    assert await journal(observer, thread_id) == [user("hello"), assistant("so far")]
