"""Rows: a report of usage by day and model, over many calls against over few.

Both ledgers cover the same days, models and owners; their sessions of 20 calls are deleted
ones, which a ledger keeps. Entries and sums are written by SQL, as the migrations write them;
``verify_ledger`` proves the smaller ledger.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks.bench import ENGINES, Bench, Row, at_most
from benchmarks.children import Child, Sample, compare
from benchmarks.hansard_side import OpenRecord
from benchmarks.turns import COST_NANOUSD
from hansard.compose import open_database

BAR = 5
DAYS, MODELS, OWNERS = 90, 6, 20
CALLS = 20  # of a session
BEGIN_US = 1_767_225_600_000_000  # 2026-01-01
SPAN_US = DAYS * 86_400_000_000 - 3_600_000_000  # so that the last session ends in time
PAUSE_US = 10_000_000  # between two calls of a session
PER_SECOND = 20  # reports in a burst of a second, about

SQLITE_NUMBERS = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
    "SELECT i FROM n"
)
POSTGRES_NUMBERS = "SELECT generate_series(0::bigint, {last}) AS i"
STATEMENTS: Final = Path(__file__).with_suffix(".sql")


def rows(bench: Bench) -> Iterator[Row]:
    """All that a tenant ever used, on both engines."""
    many, few = bench.amounts.entries, bench.amounts.few_entries
    for engine in ENGINES:
        large, small = bench.database(engine), bench.database(engine)
        for place, count in ((large, many), (small, few)):
            asyncio.run(_make(place))
            _fill(place, count)
        asyncio.run(_verify(small))
        with (
            Child("benchmarks.reports:Reports", url=small) as over_few,
            Child("benchmarks.reports:Reports", url=large) as over_many,
        ):
            reports = bench.amounts.seconds * PER_SECOND
            found = compare(over_few, over_many, rounds=bench.amounts.rounds, amount=reports)
        what = f"usage by day and model, {many:,} calls of {OWNERS} owners, {engine}: time"
        yield at_most(BAR, found.ratio, what, than=f"{few:,} calls", detail=found.detail())


class Reports(OpenRecord):
    """A side that reports on everything there is."""

    def measure(self, amount: float) -> Sample:
        """Report so many times."""
        return self.run(self._measure(max(1, round(amount))))

    async def _measure(self, count: int) -> Sample:
        start = time.perf_counter()
        for _ in range(count):
            report = await self.record.usage_report(group_by=("day", "model"))
            assert len(report.buckets) == DAYS * MODELS
        return Sample(count, time.perf_counter() - start)


async def _make(url: str) -> None:
    async with open_database(url):
        pass


async def _verify(url: str) -> None:
    async with open_database(url) as record:
        report = await record.verify_ledger()
    assert report.ok, report


def _fill(url: str, count: int) -> None:
    """Write so many entries, and their sums."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as sqlite, sqlite:
            _write(sqlite.execute, SQLITE_NUMBERS, count)
        return
    with psycopg.connect(url, autocommit=True) as postgres:
        _write(lambda text: postgres.execute(text.encode()), POSTGRES_NUMBERS, count)
        postgres.execute("VACUUM ANALYZE")


def _write(execute: Callable[[str], Any], numbers: str, count: int) -> None:
    statements = STATEMENTS.read_text(encoding="utf-8").format(
        numbers=numbers.format(last=count - 1),
        calls=CALLS,
        owners=OWNERS,
        models=MODELS,
        cost=COST_NANOUSD,
        begin=BEGIN_US,
        step=SPAN_US * CALLS // count,
        pause=PAUSE_US,
    )
    for statement in statements.split(";\n\n"):
        execute(statement)
