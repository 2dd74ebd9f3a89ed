"""OpenTelemetry at a server: off, wanted and absent, sent, and sent to nobody."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from hansard.compose import open_database
from hansard.core.errors import InvalidInput
from hansard.runtime.agents.scripted import Scripted
from hansard.runtime.telemetry import opening
from hansard.server.app import create_app
from hansard.server.edge import Edge
from hansard.server.telemetry import telling
from hansard.settings import ChatSettings, TelemetrySettings
from tests.server.applications import QUIET, client_of, started

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

SERVE_WITHOUT = """
import asyncio, sys
from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.settings import ChatSettings, ServerSettings, Settings
from tests.server.applications import started

settings = Settings(
    server=ServerSettings(log_level="error"),
    chat=ChatSettings(upstream="http://127.0.0.1:9/v1", spool="spool"),
)

async def main():
    async with started(create_app(open_database("sqlite://"), settings)):
        pass

asyncio.run(main())
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""


class Collector(ThreadingHTTPServer):
    """Takes what is sent to it; ``taken`` are the paths and bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[tuple[str, bytes]] = []


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        self.server.taken.append((self.path, self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def application(url: str, folder: Path) -> Edge:
    settings = replace(
        QUIET,
        chat=ChatSettings(spool=str(folder / "spool")),
        telemetry=TelemetrySettings(otel=True),
    )
    return create_app(open_database(url), settings, agent=Scripted())


async def ask(api: httpx.AsyncClient) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "Hi"}], "session_id": "s"}
    return await api.post("/v1/chat/completions", json=body)


async def test_turns_reach_a_collector_before_the_server_ends(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{collector.server_port}")
        async with started(application(sqlite_url, tmp_path)) as app, client_of(app) as api:
            answer = await ask(api)
            assert answer.status_code == 200
    sent = dict(collector.taken)
    assert b"invoke_agent scripted" in sent["/v1/traces"]
    assert bytes.fromhex(answer.headers["x-trace-id"]) in sent["/v1/traces"]
    assert b"service.name" in sent["/v1/traces"]
    assert b"gen_ai.client.token.usage" in sent["/v1/metrics"]


async def test_collector_that_does_not_answer_holds_nothing_up(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "STOP_MAX_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        async with started(application(sqlite_url, tmp_path)) as app, client_of(app) as api:
            for _ in range(3):
                assert (await ask(api)).status_code == 200
            assert (await api.get("/v1/sessions/s")).json()["turn_count"] == 3


async def test_collector_that_is_not_there_breaks_nothing(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "STOP_MAX_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{port}")
    async with started(application(sqlite_url, tmp_path)) as app, client_of(app) as api:
        assert (await ask(api)).status_code == 200


async def test_sdk_that_is_disabled_tells_nothing(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        async with started(application(sqlite_url, tmp_path)) as app, client_of(app) as api:
            answer = await ask(api)
    assert (answer.status_code, len(answer.headers["x-trace-id"])) == (200, 32)
    assert "/v1/traces" not in dict(collector.taken)


def test_nothing_of_opentelemetry_is_imported_when_it_is_off(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE_WITHOUT],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


async def wanted() -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        async with telling(TelemetrySettings(otel=True), lambda: 0):
            pass
    return caught.value


async def test_extra_that_is_wanted_and_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hansard.runtime.telemetry.opening")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    error = await wanted()
    assert (error.code, error.details["setting"]) == ("invalid_setting", "otel")
    assert "hansard[otel]" in error.message


async def test_variable_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    error = await wanted()
    assert (error.code, error.details["setting"]) == ("invalid_setting", "otel")
