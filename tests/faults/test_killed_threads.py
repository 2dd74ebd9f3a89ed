"""Servers of threads that die or freeze: what was seen stays, and another one goes on."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.client.threads import RemoteThreads
from hansard.compose import open_database
from hansard.core.errors import NotFound, Unavailable
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService
from tests.faults.history import STALL_S
from tests.faults.served import Service
from tests.faults.test_killed_chat import holds_of, ready
from tests.places import client_at
from tests.samples import assistant, user

LEASE_S = 2.0  # other servers wait for it; a holder that misses it only loses its turns sooner
SLOW = {"text": "one two three " * 1_000, "pause_s": 0.05}
PHASES: dict[str, dict[str, Any]] = {
    "item.delta": SLOW,
    "approval.required": {"tools": [{"name": "book", "result": "booked", "approval": True}]},
    "tool_call.requested": {"tools": [{"name": "look"}]},
    "user_input.required": {"tools": [{"name": "ask", "asks": True}]},
    "turn.started": {"text": "late", "delay_s": 3_600},
}
SUMMING_UP = len(PHASES)
QUICK = SUMMING_UP + 1
SCRIPT = [*PHASES.values(), SLOW, {"text": "done"}]
Serve = Callable[[list[dict[str, Any]]], Service]
Event = dict[str, Any]


@pytest.fixture
def serve(record_url: str, tmp_path: Path) -> Iterator[Serve]:
    """Servers on one record, each with a script of its own."""
    with ExitStack() as stack:

        def start(lines: list[dict[str, Any]]) -> Service:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            script = folder / "script"
            script.write_text("".join(json.dumps(line) + "\n" for line in lines))
            environment = {
                "HANSARD_SCRIPT": str(script),
                "HANSARD_SPOOL": str(tmp_path / "spool"),
                "HANSARD_LEASE_S": str(LEASE_S),
            }
            return stack.enter_context(Service(record_url, folder, environment))

        yield start


async def new_thread(record: DatabaseSessions, line: int) -> str:
    """A thread whose next turn takes a line of the script: so much was said before."""
    said = [message for _ in range(line) for message in (user("before"), assistant("so"))]
    session_id = f"before-{line}"
    with suppress(NotFound):
        await record.delete(session_id)
    await record.create(session_id=session_id)
    if said:
        await record.append_turn(session_id, said)
    thread, _ = await ThreadService(record.runner).resume(session_id, "scripted")
    return thread.id


async def watch(url: str, thread_id: str, note: Callable[[Event], None]) -> None:
    """Note what a server tells, until it does no more."""
    with suppress(Unavailable):
        async with RemoteThreads(url, retry_deadline_s=0.0) as threads:
            async for event in threads.follow(thread_id):
                note(event)


async def until_told(seen: list[Event], *kinds: str) -> None:
    async with asyncio.timeout(STALL_S):
        while not {*kinds} <= {event["event"] for event in seen}:
            await asyncio.sleep(0.01)


async def settled(record: DatabaseSessions, thread_id: str) -> None:
    """Wait until no turn of a thread runs."""
    threads = ThreadService(record.runner)
    async with asyncio.timeout(STALL_S):
        while (await threads.get(thread_id)).turn_id is not None:
            await asyncio.sleep(0.05)


async def check(record: DatabaseSessions, thread_id: str, seen: list[Event]) -> None:
    """Compare what a thread holds with what was seen of it."""
    threads = ThreadService(record.runner)
    events = await threads.list_events(thread_id, after=0, limit=10_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    known = {event.seq: (event.kind, json.loads(event.payload)) for event in events}
    for event in seen:
        assert known[event["seq"]] == (event["event"], event["payload"])
    assert {turn.status for turn in await threads.list_turns(thread_id)} <= {
        "completed",
        "interrupted",
    }
    said: dict[str, str] = {}
    for event in seen:
        if event["event"] == "item.delta":
            said[event["item_id"]] = said.get(event["item_id"], "") + event["payload"]["delta"]
    journal = [message.body.get("content") or "" async for message in record.messages(thread_id)]
    assert all(any(each.startswith(text) for each in journal) for text in said.values())
    counted = {
        json.loads(event.payload)["call"]["event_id"]
        for event in events
        if event.kind == "usage.recorded"
    }
    assert (await threads.get(thread_id)).usage.calls == len(counted)
    assert (await record.verify(thread_id)).ok


async def go_on(url: str, thread_id: str) -> None:
    """Take another turn."""
    async with RemoteThreads(url, retry_deadline_s=STALL_S) as threads:
        begun = await threads.send(thread_id, "and now?")
        async for event in threads.follow(thread_id, begun["thread"]["latest_seq"]):
            if event["event"] == "turn.completed":
                assert event["payload"]["turn"]["status"] == "completed"
                return


async def ask(api: httpx.AsyncClient, method: str, path: str, body: dict[str, Any]) -> None:
    """Ask for something whose answer may be lost."""
    with suppress(httpx.TransportError):
        await api.request(method, path, json=body)


async def test_killed_in_every_phase_of_a_turn(record_url: str, serve: Serve) -> None:
    """A server that ran all along goes on when the lease of the dead one is over."""
    dying, other = serve(SCRIPT), serve([{"text": "well"}])
    async with open_database(record_url) as record, AsyncExitStack() as stack:
        await ready(dying)
        await ready(other)
        api = await stack.enter_async_context(client_at(dying.url, timeout=60))
        names = [await new_thread(record, line) for line in range(QUICK)]
        quick = [await new_thread(record, QUICK) for _ in range(4)]
        seen: dict[str, list[Event]] = {name: [] for name in (*names, *quick)}
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for name, events in seen.items():
            group.create_task(watch(dying.url, name, events.append))
        for name in names[:SUMMING_UP]:
            await api.post(f"/v1/threads/{name}/turns", json={"prompt": "go"})
        await api.post(f"/v1/threads/{names[SUMMING_UP]}/compact", json={})
        for name, sign in zip(names, [*PHASES, "turn.started"], strict=True):
            await until_told(seen[name], sign)
        save = {"thread_id": names[0], "session_id": "saved"}
        group.create_task(ask(api, "PUT", "/v1/sessions", save))
        for name in quick:
            path = f"/v1/threads/{name}/turns"
            group.create_task(ask(api, "POST", path, {"prompt": "go"}))
        await until_told(seen[quick[0]], "turn.started")
        dying.kill()
        for name in seen:
            await settled(record, name)
            await check(record, name, seen[name])
            await go_on(other.url, name)
            await check(record, name, seen[name])
        with suppress(NotFound):  # the save came too late
            assert (await record.verify("saved")).ok
        assert (await record.verify_ledger()).ok


async def test_server_that_was_frozen_learns_that_it_is_not_the_holder(
    record_url: str, serve: Serve
) -> None:
    frozen, other = serve([SLOW]), serve([{"text": "well"}])
    async with open_database(record_url) as record, asyncio.TaskGroup() as group:
        await ready(frozen)
        await ready(other)
        name = await new_thread(record, 0)
        seen: list[Event] = []
        watching = group.create_task(watch(frozen.url, name, seen.append))
        async with RemoteThreads(frozen.url) as threads:
            turn_id = (await threads.send(name, "go"))["turn"]["id"]
        await until_told(seen, "item.delta")
        frozen.signal(signal.SIGSTOP)
        await settled(record, name)
        await go_on(other.url, name)
        frozen.signal(signal.SIGCONT)
        await go_on(frozen.url, name)
        thread = await ThreadService(record.runner).get(name)
        async with asyncio.timeout(STALL_S):
            while len(seen) < thread.seq or await holds_of(record):
                await asyncio.sleep(0.05)
        watching.cancel()
        await check(record, name, seen)
        (end,) = [
            event["payload"]
            for event in seen
            if event["event"] == "turn.completed" and event["turn_id"] == turn_id
        ]
        assert end["turn"]["error"]["code"] == "server_lost"
        assert [event["seq"] for event in seen] == list(range(1, thread.seq + 1))
        assert (await record.verify_ledger()).ok
