"""Heads: connections that bring no HTTP, no end of it, or that are too many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.server import heads
from hansard.server.app import create_app
from hansard.settings import ServerSettings, Settings
from tests.server.applications import listening

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
CREATED = (
    b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n"
    b'Content-Type: application/json\r\nContent-Length: 18\r\n\r\n{"session_id":"s"}'
)
CHANGED = (
    b"PATCH /v1/sessions/s HTTP/1.1\r\nHost: localhost\r\n"
    b'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"title":"t"}'
)
FOLLOWED = b"GET /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
REFUSED = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"


class Connection:
    """A connection on which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Read one answer: status, headers, body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self._reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, json.loads(body)

    async def heard(self, mark: bytes) -> None:
        """Read up to a mark."""
        await self._reader.readuntil(mark)

    async def refusal(self, status: int, code: str) -> dict[str, str]:
        """Read the last answer of the connection, an error; return its headers."""
        got, headers, body = await self.answer()
        assert (got, body["error"]["code"]) == (status, code)
        assert body == {
            "error": {**body["error"], "details": {}},
            "detail": body["error"]["message"],
        }
        assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
        await self.ended()
        return headers

    async def ended(self) -> None:
        """Wait for the server to close the connection, without a word."""
        assert await self._reader.read() == b""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect to a server."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()


@contextmanager
def serving(url: str, **settings: Any) -> Iterator[str]:
    """Run a server that holds so many connections."""
    given = Settings(server=ServerSettings(log_level="error", **settings))
    with listening(create_app(open_database(url), given)) as server:
        yield server


@pytest.fixture
def server(sqlite_url: str) -> Iterator[str]:
    with serving(sqlite_url) as url:
        yield url


async def test_what_is_no_http_is_refused_in_the_same_shape(server: str) -> None:
    async with connected(server) as connection:
        await connection.send(b"hello\r\n\r\n")
        await connection.refusal(400, "malformed_request")


async def test_body_that_is_no_http_is_refused_once(server: str) -> None:
    async with connected(server) as connection:
        await connection.send(
            b"PUT /v1/sessions/s HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n"
        )
        await connection.refusal(400, "malformed_request")


async def test_what_follows_an_unanswered_request_is_not_its_answer(server: str) -> None:
    async with connected(server) as connection:
        await connection.send(LIVE + b"hello\r\n\r\n")
        await connection.ended()


async def test_endless_head_is_refused_in_the_same_shape(server: str) -> None:
    async with connected(server) as connection:
        await connection.send(LIVE)
        await connection.answer()
        await connection.send(b"GET /livez HTTP/1.1\r\nX: " + b"x" * heads.HEAD_BYTES_MAX)
        await connection.refusal(431, "head_too_long")


async def test_silent_connection_is_closed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_MAX_S", 0.0)
    async with connected(server) as connection:
        await connection.ended()


async def test_half_a_head_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(server) as connection:
        await connection.send(LIVE[:-2])
        await connection.send(LIVE[-2:] + LIVE)
        assert [(await connection.answer())[0] for _ in range(2)] == [200, 200]
        monkeypatch.setattr(heads, "HEAD_MAX_S", 0.0)
        await connection.send(LIVE[:-2])
        await connection.refusal(408, "request_timeout")


async def test_rest_of_an_answered_body_is_not_awaited_for_ever(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(server) as connection:
        await connection.send(REFUSED)
        assert (await connection.answer())[0] == 413
        monkeypatch.setattr(heads, "HEAD_MAX_S", 0.0)
        await connection.send(b"x")
        await connection.ended()


async def test_whole_requests_set_no_alarm(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(server) as connection:
        await connection.send(LIVE)
        await connection.answer()
        monkeypatch.setattr(heads, "HEAD_MAX_S", 0.0)
        for _ in range(3):
            await connection.send(LIVE)
            assert (await connection.answer())[0] == 200


@pytest.mark.parametrize("owed", [b"\r\n", LIVE[:-2]], ids=["line end", "half a head"])
async def test_answer_under_way_goes_on_whatever_is_owed(
    server: str, monkeypatch: pytest.MonkeyPatch, owed: bytes
) -> None:
    async with connected(server) as writer, connected(server) as reader:
        await writer.send(CREATED)
        assert (await writer.answer())[0] == 201
        await reader.send(FOLLOWED)
        await reader.heard(b"id: 1\n")
        monkeypatch.setattr(heads, "HEAD_MAX_S", 0.0)
        await reader.send(owed)
        await writer.send(CHANGED)
        assert (await writer.answer())[0] == 200
        await reader.heard(b"id: 2\n")


async def test_body_in_chunks_leaves_no_alarm(server: str) -> None:
    async with connected(server) as connection:
        await connection.send(
            b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for piece in (b"2", b"\r\n", b"{}\r\n", b"0\r\n", b"\r\n"):
            await connection.send(piece)
        assert (await connection.answer())[0] == 201
        await connection.send(LIVE)
        assert (await connection.answer())[0] == 200


async def test_one_connection_too_many_is_refused_unread(sqlite_url: str) -> None:
    with serving(sqlite_url, max_connections=1) as url:
        async with connected(url) as first:
            await first.send(LIVE)
            await first.answer()
            async with connected(url) as second:
                headers = await second.refusal(503, "too_many_connections")
                assert headers["retry-after"] == "1"
            await first.send(LIVE)
            assert (await first.answer())[0] == 200


async def test_refused_connections_do_not_fill_the_log(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(sqlite_url, max_connections=1) as url:
        async with connected(url) as first:
            await first.send(LIVE)
            await first.answer()
            for _ in range(3):
                async with connected(url) as other:
                    await other.refusal(503, "too_many_connections")
    assert [line for line in caplog.messages if "connections" in line] == [
        "more than 1 connections"
    ]


def test_warning_comes_again_after_a_pause() -> None:
    places = heads.Places(1)
    times = [5.0, 5.0, heads.WARNING_PAUSE_S, heads.WARNING_PAUSE_S + 5.0]
    assert [places.is_warning_due(now_s) for now_s in times] == [True, False, False, True]
