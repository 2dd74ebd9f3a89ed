"""Rows: what a turn costs on a long history, in time and in bytes written."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any, Self

import psycopg

from benchmarks.bench import ENGINES, Bench, Row, at_most
from benchmarks.children import Child
from benchmarks.hansard_side import OpenRecord
from benchmarks.turns import MESSAGES, USAGE, dialogue

SHORT = 10
CHUNK = 1_000  # messages in one append, while a long history is made
TURNS = 40  # in one burst; a short history is still short after it
SAVES = 12  # of a whole list: each checks all of it, which takes seconds when it is long
BYTES_MAX = 64 * 1024
FLAT = 1.2

Found = tuple[float, float]
"""Seconds and bytes of one operation."""


def rows(bench: Bench) -> Iterator[Row]:
    """Turns and whole-list saves, on a long history and on a short one."""
    long = bench.amounts.history
    for engine in ENGINES:
        url = bench.database(engine)
        with Child("benchmarks.history:Histories", url=url, length=long) as child:
            turns = child.ask("turns", rounds=5 * bench.amounts.rounds)
            saves = child.ask("saves")
        what = f"append_turn, {engine}, history of {long:,} messages against {SHORT}"
        times = f"{1000 * turns['long'][0]:.2f} / {1000 * turns['short'][0]:.2f} ms"
        yield at_most(FLAT, turns["ratio"], f"{what}: time", than=f"{SHORT} messages", detail=times)
        yield _bytes_row(f"{what}: bytes written per turn", turns)
        yield _bytes_row(f"the same by save_messages (PUT) of the whole list, {engine}", saves)


def _bytes_row(what: str, found: dict[str, Any]) -> Row:
    long, short = found["long"][1], found["short"][1]
    return Row(
        what,
        f"{long / 1024:.1f} KiB, {long / short:.2f} x {SHORT} messages",
        "≤ 64 KiB, flat",
        long <= BYTES_MAX and long <= FLAT * short,
        f"{long / 1024:.1f} / {short / 1024:.1f} KiB",
    )


class Histories(OpenRecord):
    """A side with one long session, and new short ones to compare it with."""

    def __init__(self, *, url: str, length: int) -> None:
        super().__init__(url=url)
        self._written = _counter(url)
        self._length = length

    def __enter__(self) -> Self:
        super().__enter__()
        self._long = self.run(self._fill(self._length))
        return self

    def turns(self, rounds: int) -> dict[str, Any]:
        """Append turns in bursts, to a short history and to the long one in turn."""
        pairs = []
        for _ in range(rounds + 1):
            short = self.run(self._fill(SHORT))
            pairs.append((self._burst(short), self._burst(self._long)))
        return _told(pairs[1:])

    def saves(self) -> dict[str, Any]:
        """Save whole lists that extend what is stored by one exchange."""
        short = self.run(self._fill(SHORT))
        return _told([(self._save(short), self._save(self._long)) for _ in range(SAVES)])

    async def _fill(self, count: int) -> str:
        session = await self.record.create()
        for first in range(0, count, CHUNK):
            size = min(CHUNK, count - first)
            await self.record.append_messages(session.id, dialogue(size))
        return session.id

    def _burst(self, session_id: str) -> Found:
        async def append() -> None:
            for _ in range(TURNS):
                await self.record.append_turn(session_id, MESSAGES, usage=[USAGE])

        seconds, written = self._cost(append())
        return seconds / TURNS, written / TURNS

    def _save(self, session_id: str) -> Found:
        count = self.run(self.record.get(session_id)).message_count
        return self._cost(self.record.save_messages(session_id, dialogue(count + 2)))

    def _cost(self, work: Coroutine[Any, Any, Any]) -> Found:
        written, start = self._written(), time.perf_counter()
        self.run(work)
        return time.perf_counter() - start, self._written() - written


def _told(pairs: list[tuple[Found, Found]]) -> dict[str, Any]:
    return {
        "ratio": median(long[0] / short[0] for short, long in pairs),
        "short": [median(short[0] for short, _ in pairs), fmean(short[1] for short, _ in pairs)],
        "long": [median(long[0] for _, long in pairs), fmean(long[1] for _, long in pairs)],
    }


def _counter(url: str) -> Callable[[], int]:
    """Count bytes written: by this process, or to the write-ahead log of a server."""
    if url.startswith("sqlite"):
        return _bytes_written_here
    connection = psycopg.connect(url, autocommit=True)

    def bytes_logged() -> int:
        row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row
        return int(row[0])

    return bytes_logged


def _bytes_written_here() -> int:
    """What this process passed to ``write`` and its kin: log, checkpoints and all."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/self/io does not count writes")
