"""Rows: appending a turn, against the plain driver and ``pgbench`` writing the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench, Row, at_least, sqlite_url
from benchmarks.children import Child, Comparison, compare
from benchmarks.hansard_side import create_sessions
from benchmarks.pgbench import Pgbench
from benchmarks.postgres import find_pgbench

CALLERS = 32
NO_COMPILER = "not measured: no C compiler"


def on_sqlite(bench: Bench) -> Iterator[Row]:
    """One caller on the disk as it is; many callers where a flush costs a millisecond."""
    what = "append_turn, SQLite, fsync on, 1 caller"
    found = _sqlite(bench, callers=1, preload=None)
    yield at_least(0.7, found.ratio, what, than="plain sqlite3", detail=found.detail())
    what = "the same, 32 callers, fsync costs 1 ms"
    if bench.slow_fsync is None:
        yield Row(what, NO_COMPILER, "≥ 8 x")
        return
    found = _sqlite(bench, callers=CALLERS, preload=bench.slow_fsync)
    yield at_least(8, found.ratio, what, than="plain sqlite3, 1 caller", detail=found.detail())


def on_postgres(bench: Bench) -> Iterator[Row]:
    """Many callers in one process, on a session each and all on one."""
    program = find_pgbench()
    for bar, sessions, where in ((0.8, CALLERS, "a session each"), (8, 1, "all on one session")):
        what = f"append_turn, PostgreSQL, 32 callers, {where}, fsync costs 1 ms"
        if bench.slow_fsync is None or program is None:
            missing = "no pgbench" if bench.slow_fsync else "no C compiler"
            yield Row(what, f"not measured: {missing}", f"≥ {bar:g} x")
            continue
        found = _postgres(bench, program, sessions)
        yield at_least(bar, found.ratio, what, than="pgbench", detail=found.detail())


def _sqlite(bench: Bench, *, callers: int, preload: Path | None) -> Comparison:
    folders = [bench.folder(in_memory=preload is not None) for _ in range(2)]
    ours, theirs = (sqlite_url(folder) for folder in folders)
    asyncio.run(create_sessions(ours, callers))
    asyncio.run(create_sessions(theirs, 1))
    with (
        Child(
            "benchmarks.hansard_side:Appends",
            preload=preload,
            url=ours,
            callers=callers,
            sessions=callers,
        ) as hansard,
        Child(
            "benchmarks.plain_sqlite:PlainSqlite",
            preload=preload,
            path=theirs.removeprefix("sqlite:///"),
        ) as plain,
    ):
        amounts = bench.amounts
        return compare(hansard, plain, rounds=amounts.rounds, amount=amounts.seconds)


def _postgres(bench: Bench, program: Path, sessions: int) -> Comparison:
    server = bench.postgres(slow=True)
    ours, theirs = server.ask("create_database"), server.ask("create_database")
    asyncio.run(create_sessions(ours, sessions))
    asyncio.run(create_sessions(theirs, sessions))
    pgbench = Pgbench(program, theirs, clients=CALLERS, sessions=sessions, folder=bench.folder())
    with Child(
        "benchmarks.hansard_side:Appends", url=ours, callers=CALLERS, sessions=sessions
    ) as hansard:
        amounts = bench.amounts
        return compare(hansard, pgbench, rounds=amounts.rounds, amount=amounts.seconds)
