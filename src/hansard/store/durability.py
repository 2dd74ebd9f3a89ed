"""What durability rests on, asked of the engine itself.

An acknowledged write is on disk only if the database was told so: SQLite with
``synchronous=FULL`` on a local file system, PostgreSQL with fsync, full pages and a
synchronous commit, also on the standby that may take over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from hansard.core.durability import Finding
from hansard.store.database import Engine
from hansard.store.postgres import VERSION_MIN, PostgresConnection
from hansard.store.sqlite import SqliteConnection

_SYNCHRONOUS_FULL = 2
_QUERIES_MAX = 100  # more than are asked on one connection here
_SAFE_COMMITS = frozenset({"on", "remote_write", "remote_apply"})
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs"}
)


def diagnose(engine: Engine) -> list[Finding]:
    """Look at everything that durability rests on, and read the whole of a SQLite file."""
    return _ask(engine, _look_into_sqlite, _look_at_postgres)


def look(engine: Engine) -> list[Finding]:
    """Look at what durability rests on, as far as that is quick: settings and place."""
    return _ask(engine, _look_at_sqlite, _look_at_postgres)


def _ask(
    engine: Engine,
    sqlite: Callable[[sqlite3.Connection], Iterator[Finding]],
    postgres: Callable[[psycopg.Connection[Any]], Iterator[Finding]],
) -> list[Finding]:
    connection = engine.connect()
    try:
        if isinstance(connection, SqliteConnection):
            return connection.script(lambda bare: list(sqlite(bare)))
        assert isinstance(connection, PostgresConnection)
        return connection.script(lambda bare: list(postgres(bare)))
    finally:
        if engine.readers:  # otherwise it is the only one there is
            connection.close()


def _look_into_sqlite(bare: sqlite3.Connection) -> Iterator[Finding]:
    yield from _look_at_sqlite(bare)
    broken = [row[0] for row in bare.execute("PRAGMA quick_check(3)") if row[0] != "ok"]
    yield _judge("integrity", not broken, "; ".join(broken) or "quick_check found nothing")


def _look_at_sqlite(bare: sqlite3.Connection) -> Iterator[Finding]:
    path = bare.execute("PRAGMA database_list").fetchone()[2]
    if not path:
        yield Finding("place", "warning", "the database is in memory and ends with the process")
        return
    journal = bare.execute("PRAGMA journal_mode").fetchone()[0]
    yield _judge("journal_mode", journal == "wal", f"journal_mode is {journal}")
    level = bare.execute("PRAGMA synchronous").fetchone()[0]
    yield _judge("synchronous", level >= _SYNCHRONOUS_FULL, f"synchronous is {level} (2 is FULL)")
    keys = bare.execute("PRAGMA foreign_keys").fetchone()[0]
    yield _judge("foreign_keys", keys == 1, f"foreign_keys is {keys}")
    kind = _file_system(Path(path), Path("/proc/self/mounts"))
    local = kind not in _NETWORK_FILE_SYSTEMS
    yield _judge("file_system", local, f"the file lies on {kind}; WAL needs a local disk")


def _look_at_postgres(bare: psycopg.Connection[Any]) -> Iterator[Finding]:
    def show(name: str) -> str:
        row = bare.execute("SELECT current_setting(%s)", (name,)).fetchone()
        return str(row[0]) if row else ""

    bare.prepare_threshold = _QUERIES_MAX  # behind a pooler, a prepared question may fail
    version = bare.info.server_version
    yield _judge("version", version >= VERSION_MIN, f"server version {show('server_version')}")
    for name in ("fsync", "full_page_writes"):
        yield _judge(name, show(name) == "on", f"{name} is {show(name)}")
    commit = show("synchronous_commit")
    yield _judge("synchronous_commit", commit in _SAFE_COMMITS, f"synchronous_commit is {commit}")
    yield from _diagnose_replication(bare, show)
    if bare.execute("SELECT FROM pg_extension WHERE extname = 'citus'").fetchone():
        yield Finding("engine", "warning", "Citus: appends work, but were not tuned for it")
    yield _probe_pooler(bare)


def _diagnose_replication(
    bare: psycopg.Connection[Any], show: Callable[[str], str]
) -> Iterator[Finding]:
    row = bare.execute("SELECT pg_is_in_recovery(), count(*) FROM pg_stat_replication").fetchone()
    in_recovery, standbys = row or (False, 0)
    yield _judge(
        "role", not in_recovery, "this is a standby" if in_recovery else "this is the primary"
    )
    names = show("synchronous_standby_names")
    if standbys and not names:
        yield Finding(
            "replication",
            "warning",
            f"{standbys} standbys and none is synchronous: a failover may lose acknowledged "
            "writes; set synchronous_standby_names",
        )
    else:
        yield Finding("replication", "ok", f"{standbys} standbys, synchronous: {names or 'none'}")


def _probe_pooler(bare: psycopg.Connection[Any]) -> Finding:
    """See whether a prepared statement outlives its transaction; behind a pooler it may not."""
    try:
        for _ in range(2):
            bare.execute("SELECT 1 WHERE %s::int = 1", (1,), prepare=True)
    except (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement):
        return Finding("pooler", "error", "prepared statements do not survive: use session pooling")
    return Finding("pooler", "ok", "prepared statements survive")


def _judge(name: str, holds: bool, detail: str) -> Finding:  # noqa: FBT001 - the verdict itself
    return Finding(name, "ok" if holds else "error", detail)


def _file_system(path: Path, mounts: Path) -> str:
    """Name the file system that a file lies on; 'unknown' where the system does not say."""
    if not mounts.exists():
        return "unknown"
    found = ("", "unknown")
    resolved = str(path.resolve())
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _device, point, kind, *_ = line.split(" ")
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]
