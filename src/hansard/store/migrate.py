"""Migrations: numbered files, run forward under a lock when a record is opened.

All that are missing run in one transaction, so a database is at one version or the next,
never between. A database that is newer than this program, or that holds somebody else's
tables, is refused and left alone.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import psycopg

from hansard.core.errors import Conflict
from hansard.core.ids import Clock
from hansard.store.database import Connection
from hansard.store.postgres import PostgresConnection, unhurried
from hansard.store.queries import Dialect
from hansard.store.sqlite import SqliteConnection, immediate

SECRET_BYTES = 32
_LOCK = 0x68616E73617264  # "hansard": one migration at a time in a PostgreSQL database
_FILE = re.compile(r"(\d{4})_[a-z_]+\.sql")
# A large table takes longer than any call may, and is read whole.
_PATIENT = (
    "lock_timeout = 0",
    "statement_timeout = 0",
    "enable_hashjoin = on",
    "enable_mergejoin = on",
)
_BOOK = (
    "CREATE TABLE IF NOT EXISTS schema_migrations "
    "(version INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, applied_at_us BIGINT NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step forward."""

    version: int
    name: str
    statements: tuple[str, ...]


@cache
def load_migrations(dialect: Dialect) -> tuple[Migration, ...]:
    """All migrations of a dialect, in order, numbered from 1 without gaps."""
    folder = resources.files("hansard.store") / "migrations" / dialect
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if match := _FILE.fullmatch(file.name):
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), file.name[:-4], tuple(_statements(text))))
    assert [step.version for step in found] == list(range(1, len(found) + 1))
    return tuple(found)


def migrate(connection: Connection, clock: Clock, *, to_version: int | None = None) -> list[str]:
    """Bring a database to the newest version (or ``to_version``); return what was run.

    Raises:
        Conflict: ``schema_too_new`` or ``foreign_database``; nothing was changed.
    """
    if isinstance(connection, SqliteConnection):
        return connection.script(lambda bare: _migrate_sqlite(bare, clock, to_version))
    assert isinstance(connection, PostgresConnection)
    return connection.script(lambda bare: _migrate_postgres(bare, clock, to_version))


def _migrate_sqlite(bare: sqlite3.Connection, clock: Clock, to_version: int | None) -> list[str]:
    tables = {row[0] for row in bare.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    done = _done(bare, tables)
    todo = _missing("sqlite", tables, done, to_version)
    if not todo:
        return []
    with immediate(bare):
        tables = {
            row[0] for row in bare.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        return _apply(
            bare, "sqlite", "?", _missing("sqlite", tables, _done(bare, tables), to_version), clock
        )


def _migrate_postgres(
    bare: psycopg.Connection[Any], clock: Clock, to_version: int | None
) -> list[str]:
    if not _missing("postgres", tables := _postgres_tables(bare), _done(bare, tables), to_version):
        return []
    with unhurried(bare), bare.transaction():
        for setting in _PATIENT:
            bare.execute(f"SET LOCAL {setting}".encode())
        bare.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        tables = _postgres_tables(bare)
        todo = _missing("postgres", tables, _done(bare, tables), to_version)
        return _apply(bare, "postgres", "%s", todo, clock)


def _apply(
    bare: Any, dialect: Dialect, mark: str, todo: list[Migration], clock: Clock
) -> list[str]:
    bare.execute(_BOOK)
    for step in todo:
        for statement in step.statements:
            bare.execute(statement)
        bare.execute(
            f"INSERT INTO schema_migrations VALUES ({mark}, {mark}, {mark})",  # noqa: S608
            (step.version, step.name, clock()),
        )
        if step.version == 1:
            bare.execute(
                f"INSERT INTO installation VALUES ('secret', {mark})",  # noqa: S608
                (os.urandom(SECRET_BYTES),),
            )
    return [step.name for step in todo]


def _missing(
    dialect: Dialect, tables: set[str], done: int, to_version: int | None
) -> list[Migration]:
    known = load_migrations(dialect)
    if done > len(known):
        raise Conflict(
            f"the database is at schema version {done}; this program knows up to {len(known)}",
            code="schema_too_new",
            database_version=done,
            known_version=len(known),
        )
    if done == 0 and "sessions" in tables:
        raise Conflict(
            "the database has a table 'sessions' that is not ours; bring its contents into a "
            "new database with 'hansard import --from'",
            code="foreign_database",
        )
    return [step for step in known if done < step.version <= (to_version or len(known))]


def _done(bare: Any, tables: set[str]) -> int:
    if "schema_migrations" not in tables:
        return 0
    return bare.execute("SELECT max(version) FROM schema_migrations").fetchone()[0] or 0


def _postgres_tables(bare: psycopg.Connection[Any]) -> set[str]:
    found = bare.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {row[0] for row in found}


def _statements(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
