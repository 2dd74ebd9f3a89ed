"""Maintenance: what an operator asks of a database beside using it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from hansard.core.errors import InvalidInput
from hansard.store.database import Connection, Tx
from hansard.store.migrate import load_migrations
from hansard.store.queries import Dialect
from hansard.store.sqlite import SqliteConnection


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How far a database was migrated; version 0 is an empty one."""

    version: int
    newest: int


def read_schema_state(connection: Connection, dialect: Dialect) -> SchemaState:
    """Look at the schema without touching it."""
    version = connection.run(_version, read_only=True)
    return SchemaState(version, len(load_migrations(dialect)))


def back_up(connection: Connection, path: Path) -> None:
    """Copy a SQLite database into an empty or new file, while others use it.

    Raises:
        InvalidInput: With code ``use_pg_dump``, if the database is PostgreSQL.
    """
    if not isinstance(connection, SqliteConnection):
        raise InvalidInput(
            "PostgreSQL is backed up with pg_dump, or continuously with its write-ahead log",
            code="use_pg_dump",
        )

    def copy(bare: sqlite3.Connection) -> None:
        bare.execute("VACUUM INTO ?", (str(path),))

    connection.script(copy)


def _version(tx: Tx) -> int:
    if not tx.rows("schema_book_count")[0][0]:
        return 0
    return tx.rows("schema_version")[0][0] or 0
