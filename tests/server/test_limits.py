"""Limits: bodies that are too long, too slow, or too many at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.core.errors import InvalidInput, LimitReached, Unavailable
from hansard.runtime.histories import MESSAGES_MAX
from hansard.server import context, requests
from hansard.server.app import create_app
from hansard.server.context import LARGE_AT_ONCE
from hansard.server.requests import announced_bytes, read_body
from hansard.settings import AccessSettings, ChatSettings, LimitSettings, Settings
from tests.places import client_at
from tests.samples import dialogue
from tests.server.applications import QUIET, application, client_of, keys_of, listening

LIMIT = 2_048
LIMITS = LimitSettings(body_limit_bytes=LIMIT, history_limit_bytes=4 * LIMIT)
TURNS = "/v1/sessions/s/turns"


@pytest.fixture
def server(sqlite_url: str) -> Iterator[str]:
    settings = Settings(server=QUIET.server, limits=LIMITS)
    with listening(create_app(open_database(sqlite_url), settings)) as url:
        httpx.put(f"{url}/v1/sessions/s", json={}).raise_for_status()
        yield url


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = httpx.URL(url)
    return await asyncio.open_connection(parts.host, parts.port)


def head(path: str, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers)
    return "\r\n".join((*lines, "", "")).encode()


async def status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r")[0])
        await reader.readexactly(length)
    return int(answer.split()[1])


async def test_announced_body_is_refused_before_it_is_sent(server: str) -> None:
    reader, writer = await connect(server)
    writer.write(head(TURNS, f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
    assert await status(reader) == 413
    writer.close()


async def test_chunked_body_is_refused_as_soon_as_it_is_too_long(server: str) -> None:
    reader, writer = await connect(server)
    writer.write(head(TURNS, "Transfer-Encoding: chunked"))
    chunk = b"400\r\n" + b"x" * 0x400 + b"\r\n"
    writer.write(chunk * 3)  # and no end
    assert await status(reader) == 413
    writer.write(b"0\r\n\r\n")
    writer.write(head("/v1/sessions", "Content-Length: 2") + b"{}")
    assert await status(reader) == 201  # the connection goes on
    writer.close()


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", TURNS, LIMIT),
        ("PATCH", "/v1/sessions/s", LIMIT),
        ("PUT", "/v1/sessions/s", 4 * LIMIT),
        ("POST", "/v1/sessions/import", 4 * LIMIT),
    ],
)
async def test_each_route_has_its_limit(server: str, method: str, path: str, limit: int) -> None:
    async with client_at(server) as client:
        for size, too_long in ((limit, False), (limit + 1, True)):
            answer = await client.request(
                method, path, content=b" " * size, headers={"content-type": "application/json"}
            )
            assert (answer.status_code == 413) == too_long
        error = answer.json()["error"]
        assert (error["code"], error["details"]) == ("body_too_large", {"limit": limit})


async def test_large_histories_are_saved_and_read(sqlite_url: str) -> None:
    history = dialogue(3_000, "x" * 100)
    async with application(sqlite_url) as app, client_of(app) as api:
        saved = await api.put("/v1/sessions/s", json={"messages": history})
        assert saved.json()["message_count"] == 3_000
        assert (await api.get("/v1/sessions/s")).json()["messages"] == history


async def pieces(*messages: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for message in messages:
        yield {"type": "http.request", **message}
    await asyncio.Event().wait()


async def test_body_in_pieces_is_joined() -> None:
    coming = pieces({"body": b"a", "more_body": True}, {"more_body": True}, {"body": b"b"})
    assert await read_body(coming.__anext__, {}, 2) == b"ab"


async def test_one_byte_too_many_is_refused() -> None:
    coming = pieces({"body": b"ab", "more_body": True}, {"body": b"c"})
    with pytest.raises(LimitReached):
        await read_body(coming.__anext__, {}, 2)


async def test_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PAUSE_MAX_S", 0.0)
    coming = pieces({"body": b"a", "more_body": True})
    with pytest.raises(InvalidInput) as refused:
        await read_body(coming.__anext__, {}, 2)
    assert refused.value.code == "request_timeout"


async def test_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PAUSE_MAX_S", 0.05)

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"a", "more_body": True}

    with pytest.raises(InvalidInput) as refused:
        async with asyncio.timeout(30):
            await read_body(drip, {}, 10_000)
    assert refused.value.code == "request_timeout"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({b"content-length": b"7"}, 7),
        ({b"content-length": b"-7"}, None),
        ({b"content-length": b"x"}, None),
        ({b"transfer-encoding": b"chunked"}, None),
        ({b"transfer-encoding": b"chunked", b"content-length": b"7"}, None),
    ],
)
def test_announced_length(headers: dict[bytes, bytes], expected: int | None) -> None:
    assert announced_bytes(headers) == expected


async def test_few_large_bodies_are_held_at_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "LARGE_WAIT_MAX_S", 0.0)
    async with application(sqlite_url, limits=LIMITS) as app, AsyncExitStack() as stack:
        for _ in range(LARGE_AT_ONCE):
            await stack.enter_async_context(app.context.room_for(None, "acme"))
        async with app.context.room_for(LIMIT, "acme"):
            pass  # small ones need no room
        with pytest.raises(Unavailable):
            await stack.enter_async_context(app.context.room_for(LIMIT + 1, "acme"))
        await stack.aclose()
        async with app.context.room_for(LIMIT + 1, "acme"):
            pass


async def test_one_tenant_leaves_room_to_others(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "LARGE_WAIT_MAX_S", 0.0)
    keys = AccessSettings(auth="key")
    async with application(sqlite_url, access=keys) as app, AsyncExitStack() as stack:
        room_for = app.context.room_for
        for _ in range(LARGE_AT_ONCE // 2):
            await stack.enter_async_context(room_for(None, "acme"))
        with pytest.raises(Unavailable):
            await stack.enter_async_context(room_for(None, "acme"))
        async with room_for(None, "umbrella"):
            pass
        await stack.aclose()
        async with room_for(None, "acme"):
            pass


async def test_nobody_takes_no_places(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LARGE_WAIT_MAX_S", 0.0)
    keys = AccessSettings(auth="key")
    async with application(sqlite_url, access=keys) as app, AsyncExitStack() as stack:
        for n in range(LARGE_AT_ONCE):
            await stack.enter_async_context(app.context.room_for(None, f"tenant{n}"))
        for key, status in ((None, 401), ((await keys_of(app).create("acme", "alice"))[0], 503)):
            async with client_of(app, key) as api:
                answer = await api.post("/v1/sessions/import", content=b"{}")
                assert answer.status_code == status


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET /livez HTTP/1.1\r\nHost: h\r\nX-Long: ",
        b"POST /v1/sessions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
    ],
)
async def test_head_without_end_is_refused(server: str, start: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(server).port)
    writer.write(start)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            while not reader.at_eof():
                writer.write(b"a" * 16_384)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1_024), 0.01)
    writer.close()
    async with client_at(server) as api:
        assert (await api.get("/livez")).status_code == 200


async def test_chat_of_more_messages_than_a_model_takes_is_refused(tmp_path: Path) -> None:
    chat = ChatSettings(script="echo", spool=str(tmp_path / "spool"))
    async with application("sqlite://", chat=chat) as app, client_of(app) as api:
        body = {"messages": [{"role": "user"}] * (MESSAGES_MAX + 1)}
        refused = await api.post("/v1/chat/completions", json=body)
    assert refused.status_code == 413
    error = refused.json()["error"]
    assert (error["code"], error["details"]) == ("history_too_long", {"limit": MESSAGES_MAX})


async def test_trailers_are_not_taken_for_headers(server: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(server).port)
    writer.write(
        b"POST /v1/sessions HTTP/1.1\r\nHost: h\r\nX-Request-Id: head\r\n"
        b"Content-Type: application/json\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Request-Id: trailer\r\n\r\n"
    )
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert b"x-request-id: head\r\n" in answer
