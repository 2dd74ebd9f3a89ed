"""The edge: ids, errors that nobody foresaw, answers that break off, clients that leave."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.routing import Route, Router
from starlette.types import Message

from hansard.compose import open_database
from hansard.core.errors import Corrupt, Unavailable
from hansard.server import context, responder
from hansard.server.app import create_app
from hansard.server.auth import Everybody
from hansard.server.calls import Call, Handler, Reply, Stream
from hansard.server.context import Context
from hansard.server.edge import Edge
from hansard.server.endpoint import Endpoint
from hansard.server.logs import make_log
from hansard.server.operation import Resource
from hansard.settings import ServerSettings, Settings
from tests.places import client_at
from tests.server.applications import client_of, listening

Log = list[dict[str, Any]]


class Bench:
    """An application with one route, ``GET /it``, and its log."""

    def __init__(self, handler: Handler) -> None:
        self._written = io.BytesIO()
        settings = Settings(server=ServerSettings(log_level="debug"))
        log = make_log(settings.server, self._written)
        whole = create_app(open_database("sqlite://"), settings, log=log)
        endpoint = Endpoint(
            method="GET", path="/it", name="it", summary="", handler=handler, open=True
        )
        resource = Resource([endpoint], whole.context)
        self.context: Context = whole.context
        routes = [Route("/it", resource, methods=resource.methods)]
        self.app = Edge(Router(routes), self.context, nothing)

    @property
    def log(self) -> Log:
        """The events logged so far."""
        return [json.loads(line) for line in self._written.getvalue().splitlines()]


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def hello(call: Call[Any, Any]) -> Reply:
    return Reply(b"hello", media_type=b"text/plain")


async def test_unforeseen_error_is_500_in_the_same_shape() -> None:
    secret = "what the user said"

    async def fail(call: Call[Any, Any]) -> Reply:
        raise ZeroDivisionError(secret)

    bench = Bench(fail)
    async with client_of(bench.app) as client:
        answer = await client.get("/it", headers={"X-Request-Id": "r-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert secret not in answer.text
    failed, request = bench.log
    assert (failed["event"], failed["code"], failed["request_id"]) == (
        "request.failed",
        "ZeroDivisionError",
        "r-1",
    )
    assert failed["at"][0].startswith("test_edge.py:")
    assert (request["event"], request["status"]) == ("request", 500)
    assert secret not in json.dumps(bench.log)


async def test_unforeseen_error_keeps_the_connection() -> None:
    peers = set()

    async def fail(call: Call[Any, Any]) -> Reply:
        raise ZeroDivisionError

    with listening(Bench(fail).app) as url:
        async with client_at() as client:
            for _ in range(3):
                answer = await client.get(f"{url}/it")
                assert answer.status_code == 500
                stream = answer.extensions["network_stream"]
                peers.add(stream.get_extra_info("client_addr"))
    assert len(peers) == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Corrupt("a gap", code="gap"), 500, "gap"),
        (Unavailable("later", code="busy"), 503, "busy"),
    ],
)
async def test_our_own_failures_are_logged_and_told(
    error: Exception, status: int, code: str
) -> None:
    async def fail(call: Call[Any, Any]) -> Reply:
        raise error

    bench = Bench(fail)
    async with client_of(bench.app) as client:
        answer = await client.get("/it")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert bench.log[0]["event"] == "request.failed"


async def test_request_id_comes_back() -> None:
    async with client_of(Bench(hello).app) as client:
        answer = await client.get("/it", headers={"X-Request-Id": "abc-1.2:3_4"})
        assert answer.headers["x-request-id"] == "abc-1.2:3_4"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é", '"a"'])
async def test_insane_request_id_is_replaced(given: str) -> None:
    async with client_of(Bench(hello).app) as client:
        answer = await client.get("/it", headers={b"X-Request-Id": given.encode()})
        assert answer.headers["x-request-id"] != given
        assert len(answer.headers["x-request-id"]) == 24


async def test_data_is_not_to_be_stored() -> None:
    async with client_of(Bench(hello).app) as client:
        answer = await client.get("/it")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_request_is_logged_without_content() -> None:
    bench = Bench(hello)
    async with client_of(bench.app) as client:
        await client.get("/it?secret=1", headers={"Authorization": "Bearer secret"})
        await client.get("/elsewhere/secret")
    event, unknown = bench.log
    assert (unknown["level"], unknown["route"], unknown["status"]) == ("info", "other", 404)
    assert "secret" not in json.dumps(bench.log)
    assert event.pop("time").endswith("Z")
    assert event.pop("duration_ms") >= 0
    assert len(event.pop("request_id")) == 24
    assert event == {
        "level": "debug",  # what changes nothing and went well
        "event": "request",
        "method": "GET",
        "route": "/it",
        "status": 200,
        "received_bytes": 0,
        "sent_bytes": 5,
    }


async def test_head_of_a_get_has_its_headers_and_no_body() -> None:
    async with client_of(Bench(hello).app) as client:
        answer = await client.head("/it")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "5"


async def test_draining_server_closes_connections() -> None:
    bench = Bench(hello)
    bench.context.drain()
    async with client_of(bench.app) as client:
        assert (await client.get("/it")).headers["connection"] == "close"


async def test_answer_that_fails_half_way_breaks_off() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"the first half"
        raise Unavailable("the database went away")

    async def handler(call: Call[Any, Any]) -> Stream:
        return Stream(chunks(), b"text/plain")

    bench = Bench(handler)
    with listening(bench.app) as url:
        async with client_at() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"{url}/it")
            assert (await client.head(f"{url}/it")).status_code == 200
    assert [event["event"] for event in bench.log].count("request.failed") == 1


async def test_stream_that_fails_before_its_first_piece_is_an_error() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        if threading.active_count():
            raise Unavailable("not now")
        yield b""

    async def handler(call: Call[Any, Any]) -> Stream:
        return Stream(chunks(), b"text/plain")

    async with client_of(Bench(handler).app) as client:
        assert (await client.get("/it")).status_code == 503


async def test_stream_ends_when_the_client_leaves() -> None:
    ended = threading.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(call: Call[Any, Any]) -> Stream:
        return Stream(chunks(), b"text/plain")

    with listening(Bench(handler).app) as url:
        async with client_at() as client, client.stream("GET", f"{url}/it") as response:
            assert await anext(response.aiter_bytes()) == b"one"
        assert await asyncio.to_thread(ended.wait, 30)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_client_that_reads_nothing_is_left(
    is_stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(2**20)
            await asyncio.sleep(0)

    async def handler(call: Call[Any, Any]) -> Reply | Stream:
        return Stream(chunks(), b"text/plain") if is_stream else Reply(bytes(2**26))

    monkeypatch.setattr(responder, "STALL_S", 0.1)
    bench = Bench(handler)
    with listening(bench.app) as url, socket.socket() as client:
        client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        client.sendall(b"GET /it HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(60):
            while not (answered := [event for event in bench.log if "status" in event]):
                await asyncio.sleep(0.01)
    assert [event["status"] for event in answered] == [499]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_client_that_does_not_even_take_the_head_is_left(
    is_stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that reads nothing of an earlier answer on the same connection."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one"

    async def handler(call: Call[Any, Any]) -> Reply | Stream:
        return Stream(chunks(), b"text/plain") if is_stream else Reply(bytes(2**26))

    async def never(_message: object) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    monkeypatch.setattr(responder, "STALL_S", 0.1)
    bench = Bench(handler)
    scope = {"type": "http", "method": "GET", "path": "/it", "query_string": b"", "headers": []}
    await bench.app(scope, receive, never)
    assert [event["status"] for event in bench.log if "status" in event] == [499]


async def test_answers_that_nobody_reads_take_no_more_than_their_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def handler(call: Call[Any, Any]) -> Reply:
        return Reply(bytes(2**21))

    monkeypatch.setattr(context, "ANSWERS_BYTES", 3 * 2**20)
    bench = Bench(handler)
    async with client_of(bench.app) as client:
        with bench.context.answers.taken("somebody", 2**20):
            assert (await client.get("/it")).content == bytes(2**21)
        with bench.context.answers.taken("somebody", 2**20 + 1):
            refused = await client.get("/it")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_bytes")


async def test_client_that_leaves_while_it_sends_is_not_answered() -> None:
    bench = Bench(hello)
    whole = create_app(bench.context.record, bench.context.settings, log=bench.context.log)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/sessions",
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    whole.context.authenticator = Everybody(bench.context.record.actor)
    await whole(scope, receive, send)
    assert sent == []
    assert bench.log[-1]["status"] == 499
