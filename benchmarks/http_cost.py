"""Rows: server CPU per request, against a bare ASGI app on the same uvicorn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import uvloop

import hansard
from benchmarks import http_client
from benchmarks.bench import Bench, Row, at_most, sqlite_url
from benchmarks.http_client import Write, request
from benchmarks.servers import Server, serve, serve_bare
from benchmarks.turns import MESSAGES, MODEL, USAGE, dialogue, session_id

CONNECTIONS = 16
HISTORY = 20


def rows(bench: Bench) -> Iterator[Row]:
    """Reading a session, recording a turn, counting a cost."""
    url = sqlite_url(bench.folder())
    asyncio.run(_fill(url))
    with ExitStack() as stack:
        ours = stack.enter_context(serve(url))
        bare = stack.enter_context(serve_bare())
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
        our = _cost(ours, write, seconds)
        pairs.append((our, _cost(bare, write, seconds)))
    counted = pairs[1:]
    ratio = median(our / their for our, their in counted)
    our, their = (1e6 * median(pair[side] for pair in counted) for side in (0, 1))
    detail = f"{our:.0f} / {their:.0f} µs of CPU"
    return at_most(bar, ratio, f"HTTP, {what}: server CPU", than="a bare ASGI app", detail=detail)


def _cost(server: Server, write: Write, seconds: float) -> float:
    """CPU seconds that a server spends on one request."""
    before = server.cpu_seconds()
    busy = http_client.run(server.port, write, connections=CONNECTIONS, seconds=seconds)
    count = uvloop.run(busy)
    return (server.cpu_seconds() - before) / count


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
