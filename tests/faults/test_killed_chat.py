"""``kill -9`` of the chat server at each step of a turn.

Whatever the step, afterwards each call that was made is in the ledger once, or its hold says
that nobody knows; and what a client was told to the end is recorded.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from hansard.clock import now_us
from hansard.compose import open_database
from hansard.core.errors import NotFound
from hansard.service.sessions import DatabaseSessions
from tests.faults.served import Service
from tests.places import client_at
from tests.runtime.upstreams import (
    DONE,
    STREAM_END,
    STREAM_HEAD,
    FakeUpstream,
    event,
    hang,
    piece,
    serving,
    usage_event,
)
from tests.samples import assistant, user

MODEL = "gpt-4o-mini"
BEGINNING = STREAM_HEAD + piece(event("Hello", model=MODEL))
END = (
    b"".join(map(piece, (event(finish_reason="stop", model=MODEL), usage_event(), DONE)))
    + STREAM_END
)
CLIENTS = 8
HOUR_US = 3_600_000_000


@asynccontextmanager
async def service(
    record_url: str, folder: Path, upstream: FakeUpstream, record_wait_s: float = 60.0
) -> AsyncIterator[Service]:
    """The chat server as a process, on an upstream in this one."""
    async with serving(upstream):
        environment = {
            "HANSARD_UPSTREAM": upstream.url,
            "HANSARD_PROVIDER": "openai",
            "HANSARD_SPOOL": str(folder / "spool"),
            "HANSARD_RECORD_WAIT_S": str(record_wait_s),
        }
        service = Service(record_url, folder, environment)
        service.start()
        try:
            await ready(service)
            yield service
        finally:
            service.kill()


async def ready(service: Service) -> None:
    """Wait until a service answers."""
    async with client_at(service.url) as client, asyncio.timeout(120):
        while True:
            try:
                if (await client.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def shows(service: Service, line: str) -> None:
    """Wait until the metrics of a service have a line."""
    async with client_at(service.url) as client, asyncio.timeout(60):
        while line not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.01)


async def ask(service: Service, session_id: str, heard: bytearray | None = None) -> bytes:
    """Ask once; return what came (and put it into ``heard``) until the server died."""
    heard = bytearray() if heard is None else heard
    body = {"model": MODEL, "messages": [user(session_id)], "stream": True}
    try:
        async with (
            client_at(service.url, timeout=120) as client,
            client.stream(
                "POST",
                "/v1/chat/completions",
                json=body,
                headers={"X-Session-Id": session_id},
            ) as response,
        ):
            async for part in response.aiter_bytes():
                heard += part
    except httpx.TransportError:
        pass
    return bytes(heard)


async def holds_of(record: DatabaseSessions, state: str = "open") -> set[str | None]:
    """Sessions of the calls whose holds are in a state."""
    held: set[str | None] = set()
    cursor = None
    while True:
        page = await record.list_holds(state=state, limit=1_000, cursor=cursor)
        held |= {hold.session_id for hold in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return held


async def calls_of(record: DatabaseSessions, session_id: str) -> int:
    """How many calls of a session are in the ledger."""
    try:
        return (await record.get(session_id)).usage.calls
    except NotFound:
        return 0


@contextmanager
def locked(record_url: str) -> Iterator[None]:
    """Let nobody write to a database."""
    if record_url.startswith("sqlite"):
        path = record_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
            sqlite.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(record_url) as postgres:
        postgres.execute("LOCK TABLE sessions, usage_entries, holds IN SHARE MODE")
        yield
        postgres.rollback()


async def test_killed_before_the_call_asks_nothing(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(BEGINNING, END)
    async with (
        open_database(record_url) as record,
        service(record_url, tmp_path, upstream) as chat,
        asyncio.TaskGroup() as group,
    ):
        with locked(record_url):
            asking = group.create_task(ask(chat, "s"))
            await shows(chat, "hansard_turns 1.0")
            chat.kill()
            assert await asking == b""
        assert not upstream.asked
        assert await calls_of(record, "s") == 0


async def test_killed_in_mid_stream_leaves_its_hold(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(BEGINNING, behaviour=hang)
    async with (
        open_database(record_url) as record,
        service(record_url, tmp_path, upstream) as chat,
        asyncio.TaskGroup() as group,
    ):
        asking = group.create_task(ask(chat, "s"))
        while not upstream.asked:
            await asyncio.sleep(0.01)
        chat.kill()
        assert DONE not in await asking
        chat.start()
        await ready(chat)
        assert await holds_of(record) == {"s"}
        later = DatabaseSessions(record.runner, clock=lambda: now_us() + HOUR_US)
        await later.expire_holds()
        assert await holds_of(record, "unknown") == {"s"}
        assert await calls_of(record, "s") == 0


async def test_killed_before_the_commit_tells_no_end(record_url: str, tmp_path: Path) -> None:
    """All tokens are there, and the record does not take the turn."""
    may_end = asyncio.Event()

    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_end.wait()
        writer.write(END)
        await writer.drain()

    upstream = FakeUpstream(BEGINNING, behaviour=end)
    async with (
        open_database(record_url) as record,
        service(record_url, tmp_path, upstream) as chat,
        asyncio.TaskGroup() as group,
    ):
        heard = bytearray()
        asking = group.create_task(ask(chat, "s", heard))
        while not upstream.asked:
            await asyncio.sleep(0.01)
        with locked(record_url):
            may_end.set()
            while b'"stop"' not in heard:
                await asyncio.sleep(0.01)
            chat.kill()
            await asking
        assert DONE not in heard
        assert await calls_of(record, "s") + len(await holds_of(record)) == 1


async def test_killed_with_a_turn_in_the_spool_lands_it_once(
    record_url: str, tmp_path: Path
) -> None:
    upstream = FakeUpstream(BEGINNING, END)
    async with (
        open_database(record_url) as record,
        service(record_url, tmp_path, upstream, record_wait_s=0.1) as chat,
    ):
        with locked(record_url):
            assert DONE in await ask(chat, "s")
            chat.kill()
        assert list((tmp_path / "spool").glob("*/*.json"))
        for _ in range(2):
            chat.start()
            await ready(chat)
            while list((tmp_path / "spool").glob("*/*.json")):
                await asyncio.sleep(0.05)
            chat.kill()
        messages = [message.body async for message in record.messages("s")]
        assert messages == [user("s"), assistant("Hello")]
        assert await calls_of(record, "s") == 1
        assert not await holds_of(record)


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.faults)])
async def test_every_call_is_accounted_for_wherever_the_server_dies(
    record_url: str, tmp_path: Path, kills: int
) -> None:
    rng = random.Random(kills)
    upstream = FakeUpstream(BEGINNING, END)
    ended: dict[str, bool] = {}
    is_over = False

    async def converse(client: int) -> None:
        number = 0
        while not is_over:
            number += 1
            session_id = f"{client}-{number}"
            ended[session_id] = DONE in await ask(chat, session_id)
            if not ended[session_id]:
                await asyncio.sleep(0.05)

    async with (
        open_database(record_url) as record,
        service(record_url, tmp_path, upstream) as chat,
        asyncio.TaskGroup() as group,
    ):
        for client in range(CLIENTS):
            group.create_task(converse(client))
        for _ in range(kills):
            goal = len(upstream.asked) + rng.randint(1, 3 * CLIENTS)
            while len(upstream.asked) < goal:
                await asyncio.sleep(rng.random() * 0.02)
            chat.kill()
            chat.start()
            await ready(chat)
        is_over = True
    asked = [json.dumps(each.body["messages"]) for each in upstream.asked]
    async with open_database(record_url) as record:
        held = await holds_of(record)
        for session_id, has_ended in ended.items():
            times = asked.count(json.dumps([user(session_id)]))
            calls = await calls_of(record, session_id)
            assert times <= 1
            assert calls <= times
            assert calls == 1 or not has_ended
            assert calls == 1 or not times or session_id in held
        assert (await record.verify_ledger()).ok
