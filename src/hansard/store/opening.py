"""Open a database: choose the engine, migrate forward, start the threads."""

from __future__ import annotations

from pathlib import Path

from hansard.core.errors import Corrupt, Unavailable
from hansard.core.ids import Clock
from hansard.store import batches
from hansard.store.database import Database, Engine, Tx, one
from hansard.store.migrate import migrate
from hansard.store.postgres import PostgresEngine
from hansard.store.sqlite import SqliteEngine


def make_engine(place: Path | str | None, *, deadline_s: float) -> Engine:
    """Give the engine for a SQLite file, a PostgreSQL URL, or (None) memory."""
    if isinstance(place, str):
        return PostgresEngine(place, deadline_s=deadline_s)
    return SqliteEngine(place, deadline_s=deadline_s)


def open_database(place: Path | str | None, *, clock: Clock, deadline_s: float) -> Database:
    """Open a database at its newest schema.

    Raises:
        Conflict: If its schema is newer than this program, or not ours.
        Unavailable: If it cannot be reached before the deadline.
        Corrupt: If it is damaged.
    """
    if isinstance(place, Path) and not place.parent.is_dir():
        raise Unavailable(f"there is no folder {str(place.parent)!r}", code="no_folder")
    engine = make_engine(place, deadline_s=deadline_s)
    connection = engine.connect()
    try:
        migrate(connection, clock)
        secret = connection.run(_get_secret, read_only=True)
    except BaseException:
        connection.close()
        raise
    if engine.readers:
        connection.close()
    return Database(engine, batches.batch, secret=secret)


def _get_secret(tx: Tx) -> bytes:
    row = one(tx, "installation_get", name="secret")
    if row is None:
        raise Corrupt("the database has lost its secret", code="database_corrupt")
    secret: bytes = row[0]
    return secret
