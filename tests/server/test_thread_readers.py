"""Readers of threads, down to the messages that a server would pass on to their connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.runtime import feeds
from hansard.server import sse
from hansard.server.edge import Edge
from hansard.server.sse import HEARTBEAT, RETRY
from hansard.settings import ChatSettings
from tests.runtime.logs import read_frames
from tests.server.applications import application, client_of


class Connection:
    """A client's end of a stream.

    Attributes:
        takes: Set while the client reads what it is sent.
        pieces: What it has read.
    """

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.takes.set()
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent = 0
        self._begin: list[dict[str, Any]] = [{"type": "http.request", "body": b""}]
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._begin:
            return self._begin.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent += 1
        await self.takes.wait()
        if message.get("body"):
            self.pieces.put_nowait(message["body"])

    async def numbers(self, count: int) -> list[int]:
        """Take so many events."""
        found: list[int] = []
        while len(found) < count:
            piece = await self.pieces.get()
            found += [event["seq"] for event in read_frames(piece)] if piece[:2] == b"id" else []
        return found


@asynccontextmanager
async def reading(
    app: Edge, thread_id: str, query: str = "", **headers: str
) -> AsyncIterator[Connection]:
    """Read a thread's events, and leave."""
    connection = Connection()
    given = {"host": "localhost", **headers}
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/v1/threads/{thread_id}/events",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), at.encode()) for name, at in given.items()],
    }
    async with asyncio.TaskGroup() as group:
        group.create_task(app(scope, connection.receive, connection.send))
        assert await connection.pieces.get() == RETRY
        yield connection
        connection.left.set()


@pytest.fixture
async def app(record_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    chat = ChatSettings(script="echo", spool=str(tmp_path / "spool"))
    async with application(record_url, chat=chat) as app:
        yield app


@pytest.fixture
async def api(app: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as api:
        yield api


async def make_thread(api: httpx.AsyncClient, titles: int = 0) -> str:
    made = await api.post("/v1/threads", json={})
    thread_id: str = made.json()["id"]
    await change(api, thread_id, titles)
    return thread_id


async def change(api: httpx.AsyncClient, thread_id: str, times: int) -> None:
    """Let so many events happen."""
    for number in range(times):
        answer = await api.patch(f"/v1/threads/{thread_id}", json={"title": f"{number}"})
        assert answer.status_code == 200


async def test_reader_goes_on_after_the_last_event_that_it_saw(
    app: Edge, api: httpx.AsyncClient
) -> None:
    thread_id = await make_thread(api, titles=4)
    async with reading(app, thread_id, "since_seq=1", last_event_id="3") as connection:
        assert await connection.numbers(2) == [4, 5]
        await change(api, thread_id, 1)
        assert await connection.numbers(1) == [6]


@pytest.mark.parametrize(("query", "first"), [("replay_limit=0", 6), ("replay_limit=2", 4)])
async def test_reader_begins_with_the_newest(
    app: Edge, api: httpx.AsyncClient, query: str, first: int
) -> None:
    thread_id = await make_thread(api, titles=4)
    async with reading(app, thread_id, query) as connection:
        await change(api, thread_id, 1)
        assert await connection.numbers(7 - first) == list(range(first, 7))


async def test_reader_of_a_silent_thread_hears_that_it_is_there(
    app: Edge, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_id = await make_thread(api)
    monkeypatch.setattr(sse, "PULSE_S", 0.0)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.001)
    async with reading(app, thread_id, "replay_limit=0") as connection:
        assert [await connection.pieces.get() for _ in range(2)] == [HEARTBEAT] * 2


async def test_reader_that_takes_nothing_costs_nothing_and_misses_nothing(
    app: Edge, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "TAIL_MAX", 4)
    monkeypatch.setattr(feeds, "PAGE", 8)
    thread_id = await make_thread(api)
    async with reading(app, thread_id) as slow, reading(app, thread_id) as quick:
        assert await slow.numbers(1) == await quick.numbers(1) == [1]
        slow.takes.clear()
        await change(api, thread_id, 30)
        assert await quick.numbers(30) == list(range(2, 32))
        assert slow.sent == 4  # head, retry, the first event, and the piece that it does not take
        assert app.context.runtime is not None
        feed = app.context.runtime.feeds.open(("default", thread_id), 0)
        assert feed.since(31 - 4) is not None
        assert feed.since(31 - 5) is None
        slow.takes.set()
        assert await slow.numbers(30) == list(range(2, 32))


async def test_feed_is_forgotten_when_its_readers_leave(app: Edge, api: httpx.AsyncClient) -> None:
    thread_id = await make_thread(api)
    async with reading(app, thread_id) as connection:
        assert await connection.numbers(1) == [1]
        assert app.context.streams.count == 1
    assert app.context.streams.count == 0
    assert app.context.runtime is not None
    assert app.context.runtime.feeds.open(("default", thread_id), 7).last == 7
