"""The server as a process: where it listens, and how it stops."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.core.errors import InvalidInput, Unavailable
from hansard.runtime.agents.scripted import Line, Scripted
from hansard.server.app import create_app
from hansard.server.edge import Edge
from hansard.server.logs import adopt_standard_logging, make_log
from hansard.server.serve import DrainingServer, check_address, serve
from hansard.settings import AccessSettings, ChatSettings, ServerSettings, Settings
from tests.places import client_at
from tests.samples import dialogue, user
from tests.server.applications import QUIET

PROGRAM = """
import sys
from hansard.compose import open_database
from hansard.server.serve import serve
from hansard.settings import ServerSettings, Settings

settings = Settings(server=ServerSettings(port=0))
serve(open_database(sys.argv[1]), settings, notice_s=float(sys.argv[2]))
"""
LONG_S = 600.0


class Server:
    """A server process, and what it has logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = ""
        self.log: list[dict[str, Any]] = []

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for an event in the log."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        raise AssertionError(f"ended without {event}: {self.log}")


@asynccontextmanager
async def serving(url: str, *, notice_s: float = LONG_S) -> AsyncIterator[Server]:
    """Run a server as a process until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, url, str(notice_s)), stdout=DEVNULL, stderr=PIPE
    )
    async with asyncio.timeout(120):
        server = Server(process)
        try:
            server.url = (await server.logged("server.listening"))["url"]
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@contextmanager
def running(server: DrainingServer) -> Iterator[str]:
    """Run a server in a thread, from which the block returns when it has ended by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


async def test_sigterm_drains(record_url: str) -> None:
    async with serving(record_url) as server, client_at(server.url) as client:
        assert (await client.get("/readyz")).status_code == 200
        await client.put("/v1/sessions/s", json={"messages": dialogue(1)})
        async with client.stream("GET", "/v1/sessions/s/events?since=99") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            server.process.send_signal(signal.SIGTERM)
            await server.logged("server.draining")
            rest = [line async for line in lines if line]
            assert rest == ["retry: 2000"]  # the stream has ended, with a hint
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "draining")
        assert (await client.get("/livez")).status_code == 200
        written = await client.post("/v1/sessions/s/turns", json={"messages": dialogue(1)})
        assert (written.status_code, written.headers["connection"]) == (201, "close")
        server.process.send_signal(signal.SIGTERM)
        assert await server.process.wait() == 0
        with pytest.raises(httpx.ConnectError):
            await client.get("/livez")


async def test_writes_under_way_finish(record_url: str) -> None:
    async with serving(record_url, notice_s=0.0) as server:
        parts = httpx.URL(server.url)
        reader, writer = await asyncio.open_connection(parts.host, parts.port)
        body = json.dumps({"messages": dialogue(2)}).encode()
        head = (
            "PUT /v1/sessions/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body[:10])
        await writer.drain()
        async with client_at(server.url) as client:
            await client.get("/livez")  # the request above has been read by now
        server.process.send_signal(signal.SIGTERM)
        await server.logged("server.stopping")
        writer.write(body[10:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert await server.process.wait() == 0
        assert server.log[-1]["event"] == "server.stopping"


async def test_doubtful_durability_is_said_at_the_start() -> None:
    async with serving("sqlite://") as server:
        told = [line for line in server.log if line["event"] == "durability"]
        assert [(line["name"], line["level"]) for line in told] == [("place", "warning")]


async def test_second_signal_stops_at_once(sqlite_url: str) -> None:
    async with serving(sqlite_url) as server, client_at(server.url) as client:
        parts = httpx.URL(server.url)
        _, writer = await asyncio.open_connection(parts.host, parts.port)
        writer.write(b"PUT /v1/sessions/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        await writer.drain()
        await client.get("/livez")  # the server has started, and the request above was read
        server.process.send_signal(signal.SIGINT)
        await server.logged("server.draining")
        server.process.send_signal(signal.SIGINT)
        assert await server.process.wait() == 0
        writer.close()


def test_signal_before_the_first_tick_drains(sqlite_url: str) -> None:
    app = create_app(open_database(sqlite_url), QUIET)
    server = DrainingServer(app, QUIET, notice_s=LONG_S)
    server.handle_exit(signal.SIGTERM, None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.run([listener])
    assert app.context.draining


async def test_second_signal_bills_what_is_under_way(record_url: str, tmp_path: Path) -> None:
    agent = Scripted([Line(text="one two", pause_s=LONG_S)])
    settings = replace(QUIET, chat=ChatSettings(spool=str(tmp_path / "spool")))
    app = create_app(open_database(record_url), settings, agent=agent)
    server = DrainingServer(app, settings)
    question = {"messages": [user("hi")], "session_id": "s", "stream": True}
    with running(server) as url:
        async with (
            client_at(url, timeout=60) as client,
            client.stream("POST", "/v1/chat/completions", json=question) as answer,
        ):
            lines = answer.aiter_lines()
            assert "one" in await anext(lines)
            for _ in range(2):
                server.handle_exit(signal.SIGTERM, None)
            with pytest.raises(httpx.RemoteProtocolError):
                while await anext(lines) is not None:
                    pass
    async with open_database(record_url) as record:
        (turn,) = (await record.list_turns("s")).items
        assert (turn.status, turn.usage.calls) == ("interrupted", 1)


def test_server_ends_with_the_work_that_it_lives_on(sqlite_url: str) -> None:
    app = create_app(open_database(sqlite_url), QUIET)
    may_crash = threading.Event()

    async def crash() -> None:
        await asyncio.to_thread(may_crash.wait)
        raise ZeroDivisionError

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(crash())
            yield

    edge = Edge(app, app.context, lifespan)
    with running(DrainingServer(edge, QUIET, notice_s=0.0)) as url:
        assert httpx.get(f"{url}/livez", timeout=60).is_success
        may_crash.set()
    assert edge.failure is not None


def test_record_that_cannot_be_opened_is_said_once(
    root_logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unavailable):
        serve(open_database("sqlite:////nowhere/at/all.db"), Settings())
    assert capfd.readouterr().err == ""  # the caller says it


def test_address_that_is_taken_is_said(root_logger: logging.Logger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable) as refused:
            serve(open_database("sqlite://"), Settings(server=ServerSettings(port=port)))
    assert refused.value.code == "cannot_listen"


def at(host: str, **access: Any) -> Settings:
    return Settings(server=ServerSettings(host=host), access=AccessSettings(**access))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_everybody_may_be_let_in_on_this_machine(host: str) -> None:
    check_address(at(host))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.1", "example.org", "127.0.0.1.nip.io"]
)
def test_other_machines_need_credentials(host: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_address(at(host))
    assert refused.value.details["setting"] == "host"
    check_address(at(host, insecure=True))
    check_address(at(host, auth="key"))


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)


def test_logs_of_other_packages_become_events(root_logger: logging.Logger) -> None:
    written = BytesIO()
    adopt_standard_logging(make_log(ServerSettings(), written))
    try:
        raise ValueError("what the user said")
    except ValueError:
        logging.getLogger("some.package").exception("it failed")
    logging.getLogger("some.package").info("not worth a line")
    (event,) = [json.loads(line) for line in written.getvalue().splitlines()]
    del event["time"]
    assert event == {
        "level": "error",
        "event": "library",
        "source": "some.package",
        "message": "it failed",
        "error": "ValueError",
    }


def test_log_can_be_read_by_people() -> None:
    written = BytesIO()
    log = make_log(replace(ServerSettings(), log_format="text"), written)
    log.info("request", status=200)
    assert b"request" in written.getvalue()
    assert b"status=200" in written.getvalue()


def test_log_that_nobody_reads_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        make_log(ServerSettings()).info("request")
