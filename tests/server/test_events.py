"""Server-sent events from a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

import hansard
from hansard.core.errors import LimitReached, NotFound, Unavailable
from hansard.server import sse
from hansard.server.sse import HEARTBEAT, RETRY, Streams, Wake, write_stream
from tests.places import client_at, serve
from tests.samples import dialogue

Block = dict[str, str]

FRAME = b"id: 1\n\n"


@pytest.fixture
def server(record_url: str) -> Iterator[str]:
    with serve(record_url) as url:
        yield url


@asynccontextmanager
async def follow(
    url: str, session_id: str = "s", query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[Block]]:
    """Open a stream, and give its blocks."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"{url}/v1/sessions/{session_id}/events{query}"
    async with (
        asyncio.timeout(30),
        client_at(timeout=30) as client,
        client.stream("GET", path, headers=named) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        yield _blocks(response)


async def _blocks(response: httpx.Response) -> AsyncIterator[Block]:
    block: Block = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            block[name] = value
        else:
            yield block
            block = {}


async def numbers(blocks: AsyncIterator[Block], count: int) -> list[int]:
    found: list[int] = []
    async for block in blocks:
        if "id" in block:
            assert json.loads(block["data"])["number"] == int(block["id"])
            found.append(int(block["id"]))
        if len(found) == count:
            return found
    return found


async def make(url: str) -> hansard.SessionService:
    record = hansard.open(url)
    async with record:
        await record.create(session_id="s", messages=dialogue(1))
        await record.append_turn("s", dialogue(2), turn_id="t1")
    return record


async def test_past_comes_first_and_then_what_happens(server: str) -> None:
    await make(server)
    async with follow(server) as blocks:
        assert await anext(blocks) == {"retry": "2000"}
        assert await numbers(blocks, 3) == [1, 2, 3]
        async with hansard.open(server) as record:
            await record.append_turn("s", dialogue(1), turn_id="t2")
        block = await anext(blocks)
        assert block["event"] == "turn.recorded"
        data = json.loads(block["data"])
        assert data.pop("created_at").endswith("Z")
        assert data == {
            "number": 4,
            "kind": "turn.recorded",
            "turn_id": "t2",
            "first_seq": 3,
            "last_seq": 3,
            "message_count": 4,
        }


async def test_changes_by_another_process_arrive(server: str, record_url: str) -> None:
    await make(server)
    async with follow(server, query="?since=3") as blocks:
        assert await anext(blocks) == {"retry": "2000"}
        async with hansard.open(record_url) as record:
            await record.update("s", title="T")
        assert await numbers(blocks, 1) == [4]


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("?since=1", {}, [2, 3]),
        ("", {"Last_Event_ID": "2"}, [3]),
        ("?since=0", {"Last_Event_ID": "2"}, [3]),
    ],
)
async def test_reader_resumes(
    server: str, query: str, headers: dict[str, str], expected: list[int]
) -> None:
    await make(server)
    async with follow(server, query=query, **headers) as blocks:
        assert await numbers(blocks, len(expected)) == expected


async def test_unknown_session_is_404(server: str) -> None:
    async with client_at() as client:
        answer = await client.get(f"{server}/v1/sessions/nobody/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")


async def test_number_that_no_event_has_is_refused(server: str) -> None:
    await make(server)
    path = f"{server}/v1/sessions/s/events"
    async with client_at() as client:
        asked = await client.get(path, params={"since": 2**53})
        resumed = await client.get(path, headers={"Last-Event-ID": str(2**53)})
    assert (asked.status_code, resumed.status_code) == (422, 422)


async def test_head_opens_no_stream(server: str) -> None:
    await make(server)
    async with client_at() as client:
        answer = await client.head(f"{server}/v1/sessions/s/events")
        assert (answer.status_code, answer.content) == (200, b"")
        assert "hansard_streams 0.0" in (await client.get(f"{server}/metrics")).text


async def test_stream_ends_when_the_session_is_deleted(server: str) -> None:
    await make(server)
    async with follow(server) as blocks:
        assert await numbers(blocks, 3) == [1, 2, 3]
        async with hansard.open(server) as record:
            await record.delete("s")
        assert [block async for block in blocks] == []


class Told:
    """A source by hand; see ``Source`` and ``Reader``."""

    def __init__(self) -> None:
        self._news: list[bytes | BaseException] = []
        self._wake: Wake | None = None

    @property
    def is_open(self) -> bool:
        return self._wake is not None

    def give(self, item: bytes | BaseException) -> None:
        self._news.append(item)
        if self._wake is not None:
            self._wake()

    @contextmanager
    def open(self, wake: Wake) -> Iterator[Told]:
        self._wake = wake
        try:
            yield self
        finally:
            self._wake = None

    async def read(self) -> bytes:
        item = self._news.pop(0) if self._news else b""
        if isinstance(item, BaseException):
            raise item
        return item


def silent(streams: Streams, tenant: str = "acme") -> AsyncGenerator[bytes, None]:
    return write_stream(Told().open, streams, tenant)


async def test_silence_is_broken_by_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.0)
    told = Told()
    stream = write_stream(told.open, Streams(1, 1), "acme")
    assert [await anext(stream) for _ in range(3)] == [RETRY, HEARTBEAT, HEARTBEAT]
    told.give(FRAME)
    assert [await anext(stream) for _ in range(2)] == [FRAME, HEARTBEAT]


async def test_stream_looks_by_itself_when_nobody_wakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "PULSE_S", 0.0)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.001)
    stream = silent(Streams(1, 1))
    assert [await anext(stream) for _ in range(3)] == [RETRY, HEARTBEAT, HEARTBEAT]


async def test_stream_that_waits_is_woken() -> None:
    told = Told()
    stream = write_stream(told.open, Streams(1, 1), "acme")
    assert await anext(stream) == RETRY
    coming = asyncio.ensure_future(anext(stream))
    while not told.is_open:
        await asyncio.sleep(0)
    told.give(FRAME)
    assert await coming == FRAME
    await stream.aclose()
    assert not told.is_open


async def test_drain_ends_streams_with_a_hint_and_opens_none() -> None:
    streams = Streams(2, 2)
    told = Told()
    told.give(FRAME)
    stream = write_stream(told.open, streams, "acme")
    assert [await anext(stream) for _ in range(2)] == [RETRY, FRAME]
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    streams.close()
    assert [await coming, *[chunk async for chunk in stream]] == [RETRY]
    assert streams.count == 0
    with pytest.raises(Unavailable):
        await anext(silent(streams))


async def test_drain_ends_streams_that_have_more_to_say() -> None:
    streams = Streams(1, 1)
    told = Told()
    for _ in range(9):
        told.give(FRAME)
    stream = write_stream(told.open, streams, "acme")
    assert [await anext(stream) for _ in range(2)] == [RETRY, FRAME]
    streams.close()
    assert [chunk async for chunk in stream] == [RETRY]


async def test_old_stream_ends_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "AGE_MAX_S", 0.0)
    assert [chunk async for chunk in silent(Streams(1, 1))] == [RETRY, RETRY]


async def test_one_stream_too_many_is_refused() -> None:
    streams = Streams(1, 1)
    first = silent(streams)
    await anext(first)
    with pytest.raises(LimitReached):
        await anext(silent(streams))
    await first.aclose()
    assert await anext(silent(streams)) == RETRY


async def test_one_tenant_leaves_places_to_others() -> None:
    streams = Streams(3, 2)
    open_ = [silent(streams, tenant) for tenant in ("acme", "acme", "umbrella")]
    for stream in open_[:2]:
        await anext(stream)
    with pytest.raises(LimitReached) as refused:
        await anext(silent(streams))
    assert refused.value.details == {"limit": 2}
    assert await anext(open_[2]) == RETRY
    await open_[2].aclose()
    await open_[0].aclose()
    assert await anext(silent(streams)) == RETRY


async def test_stream_whose_session_goes_ends_cleanly() -> None:
    told = Told()
    told.give(NotFound("gone"))
    assert [chunk async for chunk in write_stream(told.open, Streams(1, 1), "acme")] == [RETRY]


async def test_stream_passes_other_errors_on() -> None:
    told = Told()
    told.give(Unavailable("later"))
    stream = write_stream(told.open, Streams(1, 1), "acme")
    assert await anext(stream) == RETRY
    with pytest.raises(Unavailable):
        await anext(stream)


async def test_many_followers_see_the_same(server: str) -> None:
    await make(server)

    async def see() -> list[int]:
        async with follow(server) as blocks:
            return await numbers(blocks, 8)

    async def write() -> None:
        async with hansard.open(server) as record:
            for n in range(5):
                await record.append_turn("s", dialogue(1), turn_id=f"more{n}")

    seen: list[Any] = await asyncio.gather(*(see() for _ in range(8)), write())
    assert seen[:-1] == [[1, 2, 3, 4, 5, 6, 7, 8]] * 8
