"""Rows: server CPU per request, against a bare ASGI app on the same uvicorn."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

import hansard
from benchmarks import http_client
from benchmarks.bench import Bench, Row, at_most, sqlite_url
from benchmarks.http_client import Write, request
from benchmarks.turns import MESSAGES, MODEL, USAGE, dialogue, session_id

CONNECTIONS = 16
HISTORY = 20
START_MAX_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server process."""

    pid: int
    port: int

    def cost(self, write: Write, seconds: float) -> float:
        """CPU seconds that the server spends on one request."""
        before = self._cpu_seconds()
        count = uvloop.run(
            http_client.run(self.port, write, connections=CONNECTIONS, seconds=seconds)
        )
        return (self._cpu_seconds() - before) / count

    def _cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rows(bench: Bench) -> Iterator[Row]:
    """Reading a session, recording a turn, counting a cost."""
    url = sqlite_url(bench.folder())
    asyncio.run(_fill(url))
    with ExitStack() as stack:
        ours = stack.enter_context(_hansard(url))
        bare = stack.enter_context(_bare())
        for bar, what, write in (
            (5, f"GET session of {HISTORY} messages", _get),
            (9, "POST turn", _post_turn),
            (8, "PATCH cost_data, Prefer: return=minimal", _patch_cost_data),
        ):
            yield _row(bench, what, bar, ours=ours, bare=bare, write=write)


def _row(bench: Bench, what: str, bar: float, *, ours: Server, bare: Server, write: Write) -> Row:
    seconds = bench.amounts.seconds
    pairs = []
    for _ in range(bench.amounts.rounds + 1):
        our = ours.cost(write, seconds)
        pairs.append((our, bare.cost(write, seconds)))
    counted = pairs[1:]
    ratio = median(our / their for our, their in counted)
    our, their = (1e6 * median(pair[side] for pair in counted) for side in (0, 1))
    detail = f"{our:.0f} / {their:.0f} µs of CPU"
    return at_most(bar, ratio, f"HTTP, {what}: server CPU", than="a bare ASGI app", detail=detail)


def _get(connection: int, number: int) -> bytes:
    return request("GET", f"/v1/sessions/{session_id(connection)}")


def _post_turn(connection: int, number: int) -> bytes:
    body = {"turn_id": f"turn-{time.time_ns()}", "messages": MESSAGES, "usage": [USAGE]}
    return request("POST", f"/v1/sessions/{session_id(CONNECTIONS + connection)}/turns", body)


def _patch_cost_data(connection: int, number: int) -> bytes:
    costs = {
        "input_tokens": 1200 * number,
        "output_tokens": 180 * number,
        "cached_tokens": 800 * number,
        "model": MODEL,
        "turn_count": number,
    }
    path = f"/v1/sessions/{session_id(connection)}"
    return request("PATCH", path, {"cost_data": costs}, {"prefer": "return=minimal"})


async def _fill(url: str) -> None:
    async with hansard.open(url) as record:
        for number in range(2 * CONNECTIONS):
            await record.create(session_id=session_id(number), messages=dialogue(HISTORY))


@contextmanager
def _hansard(url: str) -> Iterator[Server]:
    port = _free_port()
    command = ["-m", "hansard.cli", "serve", "--database", url, "--port", str(port)]
    with _running([sys.executable, *command], port) as server:
        yield server


@contextmanager
def _bare() -> Iterator[Server]:
    port = _free_port()
    command = ["-m", "uvicorn", "benchmarks.bare_asgi:app", "--port", str(port)]
    how = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-server-header"]
    quiet = ["--no-access-log", "--no-proxy-headers", "--log-level", "error"]
    with _running([sys.executable, *command, *how, *quiet], port) as server:
        yield server


@contextmanager
def _running(command: list[str], port: int) -> Iterator[Server]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_MAX_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start: {command}")
            time.sleep(0.05)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez"):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
