"""Rows: listing the newest sessions among many, against among few."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg

import hansard
from benchmarks.bench import ENGINES, Bench, Row, at_most
from benchmarks.children import Child, Sample, compare
from benchmarks.hansard_side import OpenRecord
from hansard.core.sessions import SessionQuery

PAGE = 50
PER_SECOND = 300  # lists in a burst of a second, about

SQLITE_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
SQLITE_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
POSTGRES_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
COPIED = {
    "session_id": "'session-' || i",
    "created_at_us": "created_at_us + i * 1000000",
    "updated_at_us": "updated_at_us + i * 1000000",
}


def rows(bench: Bench) -> Iterator[Row]:
    """The newest fifty, on both engines."""
    many, few = bench.amounts.sessions, bench.amounts.few_sessions
    for engine in ENGINES:
        large, small = bench.database(engine), bench.database(engine)
        for place, count in ((large, many), (small, few)):
            asyncio.run(_seed(place))
            _multiply(place, count)
        with (
            Child("benchmarks.listing:Lists", url=small) as among_few,
            Child("benchmarks.listing:Lists", url=large) as among_many,
        ):
            lists = bench.amounts.seconds * PER_SECOND
            found = compare(among_few, among_many, rounds=bench.amounts.rounds, amount=lists)
        what = f"list newest {PAGE} of {many:,} sessions against {PAGE} of {few:,}, {engine}: time"
        yield at_most(2, found.ratio, what, than=f"{few:,} sessions", detail=found.detail())


class Lists(OpenRecord):
    """A side that lists the newest sessions."""

    def measure(self, amount: float) -> Sample:
        """List so many times."""
        return self.run(self._measure(round(amount)))

    async def _measure(self, count: int) -> Sample:
        start = time.perf_counter()
        for _ in range(count):
            page = await self.record.list(SessionQuery(limit=PAGE))
            assert len(page.items) == PAGE
        return Sample(count, time.perf_counter() - start)


async def _seed(url: str) -> None:
    async with hansard.open(url) as record:
        await record.create(session_id="seed", title="A session", agent="local/agent")


def _multiply(url: str, count: int) -> None:
    """Copy every row of the only session so often, each copy made a second later."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as sqlite, sqlite:
            _copy(sqlite.execute, SQLITE_TABLES, f"{SQLITE_NUMBERS} LIMIT {count}")
        return
    with psycopg.connect(url, autocommit=True) as postgres:
        series = f"SELECT generate_series(1::bigint, {count}) AS i"
        _copy(lambda text: postgres.execute(text.encode()), POSTGRES_TABLES, series)
        postgres.execute("VACUUM ANALYZE")


def _copy(execute: Callable[[str], Any], tables: str, numbers: str) -> None:
    """Copy the seed's rows, whatever columns they have; what refers to a session comes last."""
    names = sorted((name for (name,) in execute(tables).fetchall()), key=lambda n: n != "sessions")
    for table in names:
        columns = [column[0] for column in execute(f"SELECT * FROM {table} LIMIT 0").description]
        if "session_id" in columns:
            chosen = ", ".join(COPIED.get(column, column) for column in columns)
            execute(
                f"INSERT INTO {table} ({', '.join(columns)}) "
                f"SELECT {chosen} FROM {table}, ({numbers}) AS n WHERE session_id = 'seed'"
            )
