"""Where a foreign database lives: SQLite or PostgreSQL, opened to be read only.

The only place that opens them, and that turns what their drivers raise into our errors.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

import psycopg
from psycopg.rows import dict_row

from hansard.core.errors import InvalidInput, Unavailable
from hansard.store.queries import Query

CONNECT_TIMEOUT_S: Final = 10
BUSY_TIMEOUT_S: Final = 2  # for a writer of the other system to finish
FETCH_ROWS: Final = 500  # of a server-side cursor at a time
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

Row = dict[str, Any]


class Place(Protocol):
    """One snapshot of a database."""

    def columns(self, table: str) -> list[str]:
        """Names of a table's columns, in order; none if there is no such table."""
        ...

    def rows(self, query: str, **params: object) -> Iterator[Row]:
        """Iterate over the rows of a query with ``:name`` parameters, as they come."""
        ...


@contextmanager
def open_place(url: str) -> Generator[Place]:
    """Open a database at one snapshot.

    Raises:
        InvalidInput: ``source_unreadable``.
        Unavailable: If it does not answer.
    """
    try:
        if url.startswith(("postgresql://", "postgres://")):
            with closing(_open_postgres(url)) as connection:
                yield _PostgresPlace(connection)
        else:
            with closing(_open_sqlite(url)) as connection:
                yield _SqlitePlace(connection)
    except (sqlite3.Error, psycopg.Error) as exc:
        raise _translate(exc) from exc


def select(table: str, columns: list[str], native: frozenset[str]) -> str:
    """Write the start of a query that gives columns as text, but for the native ones.

    >>> select("t", ["a", "b"], frozenset({"b"}))
    'SELECT CAST("a" AS text) AS "a", "b" FROM t'
    """
    names = [
        f'"{name}"' if name in native else f'CAST("{name}" AS text) AS "{name}"' for name in columns
    ]
    return f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608 - names as is_plain lets pass


def is_plain(column: str) -> bool:
    """Tell whether a column's name can stand in a query as it is."""
    return _PLAIN_NAME.fullmatch(column) is not None


def _open_sqlite(url: str) -> sqlite3.Connection:
    path = unquote(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else url
    # A generator may be finished by another thread than began it; never by two at once.
    connection = sqlite3.connect(
        f"file:{quote(str(Path(path).absolute()))}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("BEGIN")
    return connection


def _open_postgres(url: str) -> psycopg.Connection[Row]:
    connection = psycopg.connect(
        url,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="hansard-import",
        row_factory=dict_row,
    )
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return connection


class _SqlitePlace:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def columns(self, table: str) -> list[str]:
        rows = self.rows("SELECT name FROM pragma_table_info(:table) ORDER BY cid", table=table)
        return [row["name"] for row in rows]

    def rows(self, query: str, **params: object) -> Iterator[Row]:
        cursor = self._connection.execute(query, params)
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))


class _PostgresPlace:
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._numbers = count(1)

    def columns(self, table: str) -> list[str]:
        rows = self.rows(
            "SELECT attname AS name FROM pg_catalog.pg_attribute"
            " WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum",
            table=table,
        )
        return [row["name"] for row in rows]

    def rows(self, query: str, **params: object) -> Iterator[Row]:
        asked = Query("foreign", query, "postgres")
        name = f"hansard_{next(self._numbers)}"
        with psycopg.RawServerCursor(self._connection, name) as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(asked.by_number, [params[name] for name in asked.arguments])
            yield from cursor


def _translate(error: sqlite3.Error | psycopg.Error) -> InvalidInput | Unavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY or isinstance(error, psycopg.OperationalError):
        return Unavailable(f"the database to be read does not answer: {error}")
    return InvalidInput(f"the database cannot be read: {error}", code="source_unreadable")
