"""Rows: threads that are read by many, many that stream at once, saved and resumed while they do.

    agent that says the time --> thread --> log on disk --> readers, over HTTP

A reader knows from the text how old it is: delays are from the agent's word to the reader.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from statistics import median, quantiles
from typing import Any, TypeVar

import uvloop

import hansard
from benchmarks.bench import ENGINES, Bench, Row, at_most
from benchmarks.event_client import Asker, Reader, reading
from benchmarks.servers import Server, free_port, resident, running
from benchmarks.turns import dialogue

T = TypeVar("T")

READERS = 64
READER_MAX_US = 15
THREADS = 200
PAUSE_S = 0.05  # between two pieces of one of many threads
START_S = 8.0  # in which all their turns begin, before the first piece
STARTERS = 8
DELAY_MAX_MS = 250
FAST_PAUSE_S = 0.005  # between two pieces of a thread alone
HISTORY = 1_000
SAVES_PER_S = 10
SAVE_MAX_MS = 20
IDLE_MAX_KIB = 50
WARM_THREADS = 50  # the first ones pay for what all share
LONG, SHORT = 10_000, 100


def rows(bench: Bench) -> Iterator[Row]:
    """Readers, threads at once, idle threads, saves, and what is resumed."""
    with _serve(bench.database("SQLite")) as server:
        yield _run(_many_readers(bench, server))
    for engine in ENGINES:
        with _serve(bench.database(engine)) as server:
            yield _run(_many_threads(bench, server, engine))
    with _serve(bench.database("PostgreSQL")) as server:  # whose pages are not ours
        yield _run(_idle_threads(bench, server))
    for engine in ENGINES:
        url = bench.database(engine)
        with _serve(url) as server:
            yield from _run(_saves(bench, server, url, engine))
    for engine in ENGINES:
        url = bench.database(engine)
        with _serve(url) as server:
            yield _run(_first_tokens(bench, server, url, engine))


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


@contextmanager
def _serve(url: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.thread_server", url, str(port)]
    with running(command, port) as server:
        yield server


async def _many_readers(bench: Bench, server: Server) -> Row:
    """What a reader adds to an event: written for one reader, and for many, in turn."""
    pairs = []
    for _ in range(bench.amounts.rounds + 1):
        alone_s = await _read_by(server, 1, bench.amounts.seconds)
        pairs.append((alone_s, await _read_by(server, READERS, bench.amounts.seconds)))
    added_us = 1e6 * median((many - one) / (READERS - 1) for one, many in pairs[1:])
    one_us, many_us = (1e6 * median(pair[side] for pair in pairs[1:]) for side in (0, 1))
    return Row(
        f"{READERS} readers of one thread that says {1 / FAST_PAUSE_S:.0f} words a second: CPU of "
        "the server for an event of a reader",
        f"{added_us:.1f} µs",
        f"≤ {READER_MAX_US} µs",
        added_us <= READER_MAX_US,
        f"an event for {READERS} readers {many_us:,.0f} µs, for one {one_us:,.0f} µs, writing it "
        "included",
    )


async def _read_by(server: Server, count: int, seconds: float) -> float:
    """CPU of the server for an event of a thread with so many readers."""
    async with Asker(server.port) as asker:
        (thread_id,) = await _make_threads(asker, 1)
        async with reading(server.port, [thread_id] * count) as readers:
            before_s = server.cpu_seconds()
            await asker.start_turn(thread_id, round(seconds / FAST_PAUSE_S), FAST_PAUSE_S)
            await _ends(readers)
            used_s = server.cpu_seconds() - before_s
    return used_s / readers[0].events


async def _many_threads(bench: Bench, server: Server, engine: str) -> Row:
    seconds = bench.amounts.seconds * bench.amounts.rounds
    async with Asker(server.port) as asker:
        thread_ids = await _make_threads(asker, THREADS)
        async with reading(server.port, thread_ids) as readers:
            at_s = time.monotonic() + START_S
            pieces = round(seconds / PAUSE_S)
            shares = [thread_ids[first::STARTERS] for first in range(STARTERS)]
            await asyncio.gather(*(_start(server, share, pieces, at_s) for share in shares))
            await asyncio.sleep(at_s - time.monotonic())
            before_s = server.cpu_seconds()
            await _ends(readers)
            cores = (server.cpu_seconds() - before_s) / (time.monotonic() - at_s)
    delays_s = [delay_s for reader in readers for delay_s in reader.delays_s]
    events, lost = (sum(getattr(reader, name) for reader in readers) for name in ("events", "lost"))
    lost += pieces * THREADS - len(delays_s)
    late_ms = 1e3 * _p99(delays_s)
    return Row(
        f"{THREADS} threads at once, {1 / PAUSE_S:.0f} tokens a second each, {engine}: from the "
        "agent to the reader, p99",
        f"{late_ms:.0f} ms, {lost} lost",
        f"≤ {DELAY_MAX_MS} ms, none lost",
        late_ms <= DELAY_MAX_MS and not lost,
        f"median {1e3 * median(delays_s):.0f} ms; {events / seconds:,.0f} events a second; "
        f"{cores:.2f} cores",
    )


async def _start(server: Server, thread_ids: Sequence[str], pieces: int, at_s: float) -> None:
    """Begin turns that all speak from one moment on, though not in time with each other."""
    async with Asker(server.port) as asker:
        for thread_id in thread_ids:
            own_s = at_s + random.uniform(0, PAUSE_S)
            await asker.start_turn(thread_id, pieces, PAUSE_S, own_s)


async def _idle_threads(bench: Bench, server: Server) -> Row:
    async with Asker(server.port) as asker:
        for thread_id in await _make_threads(asker, WARM_THREADS):
            await _take_turn(asker, server, thread_id)
        before_mb = resident(server.pid)
        for thread_id in await _make_threads(asker, THREADS):
            await _take_turn(asker, server, thread_id)
    each_kib = (resident(server.pid) - before_mb) * 1e6 / 1024 / THREADS
    return Row(
        "a thread that is loaded and idle after a turn: resident memory of the server",
        f"{each_kib:.0f} KiB",
        f"≤ {IDLE_MAX_KIB} KiB",
        each_kib <= IDLE_MAX_KIB,
        f"the mean of {THREADS}",
    )


async def _saves(bench: Bench, server: Server, url: str, engine: str) -> list[Row]:
    """Save a long thread that streams; windows with saves and without take turns."""
    rounds, seconds = bench.amounts.rounds, bench.amounts.seconds
    waits_s: list[float] = []
    beside_s: list[float] = []
    without_s: list[float] = []
    async with Asker(server.port) as asker:
        thread_id = await _resume(asker, await _make_session(url, HISTORY))
        async with reading(server.port, [thread_id]) as (reader,):
            pieces = round((2 * rounds + 3) * seconds / FAST_PAUSE_S)
            await asker.start_turn(thread_id, pieces, FAST_PAUSE_S)
            await reader.begun
            await asker.ask_bytes("PUT", "/v1/sessions", {"thread_id": thread_id})
            for _ in range(rounds):
                without_s += await _gaps(reader, asyncio.sleep(seconds))
                beside_s += await _gaps(reader, _save(asker, thread_id, seconds, waits_s))
    save_ms, beside_ms, without_ms = (1e3 * _p99(each) for each in (waits_s, beside_s, without_s))
    what = f"a thread of {HISTORY:,} messages that says {1 / FAST_PAUSE_S:.0f} words a second"
    return [
        Row(
            f"{what}, {engine}: PUT /v1/sessions, p99",
            f"{save_ms:.1f} ms",
            f"≤ {SAVE_MAX_MS} ms",
            save_ms <= SAVE_MAX_MS,
            f"median {1e3 * median(waits_s):.1f} ms of {len(waits_s)}",
        ),
        at_most(
            1.2,
            beside_ms / without_ms,
            f"the same, saved {SAVES_PER_S} times a second: between two of its events, p99",
            than="unsaved",
            detail=f"{beside_ms:.0f} / {without_ms:.0f} ms, of {len(beside_s)} times each",
        ),
    ]


async def _save(asker: Asker, thread_id: str, seconds: float, waits_s: list[float]) -> None:
    until = time.monotonic() + seconds
    while (start := time.monotonic()) < until:
        await asker.ask_bytes("PUT", "/v1/sessions", {"thread_id": thread_id})
        waits_s.append(time.monotonic() - start)
        await asyncio.sleep(max(0.0, 1 / SAVES_PER_S - waits_s[-1]))


async def _gaps(reader: Reader, work: Coroutine[Any, Any, None]) -> list[float]:
    """The times between two events while something else is done."""
    first = len(reader.arrivals_s)
    await work
    return [after - before for before, after in pairwise(reader.arrivals_s[first:])]


async def _first_tokens(bench: Bench, server: Server, url: str, engine: str) -> Row:
    long_id, short_id = [await _make_session(url, count) for count in (LONG, SHORT)]
    pairs = [
        (await _first_token(server, long_id), await _first_token(server, short_id))
        for _ in range(bench.amounts.rounds + 1)
    ][1:]
    ratio = median(long / short for long, short in pairs)
    long_ms, short_ms = (1e3 * median(pair[side] for pair in pairs) for side in (0, 1))
    return at_most(
        3,
        ratio,
        f"resume a session of {LONG:,} messages, {engine}: time to the first token",
        than=f"{SHORT} messages",
        detail=f"{long_ms:.0f} / {short_ms:.0f} ms",
    )


async def _first_token(server: Server, session_id: str) -> float:
    async with Asker(server.port) as asker:
        start_s = time.monotonic()
        thread_id = await _resume(asker, session_id)
        async with reading(server.port, [thread_id]) as (reader,):
            await asker.start_turn(thread_id, 1, 0.0)
            taken_s = await reader.begun - start_s
            await reader.ended
    return taken_s


async def _make_session(url: str, count: int) -> str:
    async with hansard.open(url) as record:
        return (await record.create(messages=dialogue(count))).id


async def _resume(asker: Asker, session_id: str) -> str:
    resumed = await asker.ask("POST", f"/v1/sessions/{session_id}/resume-thread", {})
    return str(resumed["thread_id"])


async def _make_threads(asker: Asker, count: int) -> list[str]:
    return [str((await asker.ask("POST", "/v1/threads", {}))["id"]) for _ in range(count)]


async def _take_turn(asker: Asker, server: Server, thread_id: str) -> None:
    async with reading(server.port, [thread_id]) as readers:
        await asker.start_turn(thread_id, 20, 0.0)
        await _ends(readers)


async def _ends(readers: Sequence[Reader]) -> None:
    await asyncio.gather(*(reader.ended for reader in readers))


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[-1]
