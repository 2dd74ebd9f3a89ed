"""SQLite behind the Connection seam: WAL, ``synchronous=FULL``, one writer per process.

Readers see a snapshot and never wait for the writer. Across processes the file has one
writer at a time; BEGIN IMMEDIATE waits for it, so a transaction that has begun never meets
a lock half way.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from hansard.core.errors import Conflict, Corrupt, HansardError, Unavailable
from hansard.store.bulletin import Bulletin
from hansard.store.database import ForRows, Row, Tx
from hansard.store.jobs import Outcome
from hansard.store.queries import Dialect, load

T = TypeVar("T")

BUSY_TIMEOUT_MS = 250  # of one try; tries go on until the deadline
CACHE_KIB = 16_384  # pages kept in memory by each connection
READERS = 4
READS_MAX = 16  # that share a transaction: each wakes the event loop's thread less often
MEMORY = ":memory:"  # SQLite's name for a private database without a file
_PAUSE_S = 0.005
_PRAGMAS = (
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"cache_size = -{CACHE_KIB}",
)

_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class SqliteEngine:
    """One SQLite file, or (``path`` None) one private database in memory."""

    dialect: Dialect = "sqlite"
    reads_max = READS_MAX
    loners = 0
    writers = 1

    def __init__(self, path: Path | None, *, deadline_s: float) -> None:
        self.path = path
        self.readers = READERS if path else 0
        self.counters: Counter[str] = Counter()
        self.deadline_s = deadline_s
        self._in_memory = None if path else SqliteConnection(MEMORY, deadline_s, self.counters)

    def connect(self) -> SqliteConnection:
        """Make a connection; a database in memory has only one."""
        if self._in_memory:
            return self._in_memory
        return SqliteConnection(str(self.path), self.deadline_s, self.counters)

    def listen(self, bulletin: Bulletin) -> None:
        """SQLite cannot notify other processes; readers look at the table from time to time."""


class SqliteConnection:
    """Implements ``Connection``."""

    def __init__(self, path: str, deadline_s: float, counters: Counter[str]) -> None:
        self._path = path
        self._deadline_s = deadline_s
        self._counters = counters
        self._opened: sqlite3.Connection | None = None

    def run(self, fn: Callable[[Tx], T], *, read_only: bool, deadline: float | None = None) -> T:
        """Run ``fn`` in a transaction; wait for another process's writer until the deadline."""
        begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        deadline = deadline or time.monotonic() + self._deadline_s
        with _translated():
            while True:
                try:
                    return self._run_once(fn, begin)
                except sqlite3.OperationalError as error:
                    self._pause(error, deadline)

    def run_each(self, fns: Sequence[Callable[[Tx], Any]], deadline: float) -> list[Outcome]:
        """Run functions in one transaction, each behind a savepoint."""
        try:
            return self.run(
                lambda tx: [_run_guarded(tx, fn) for fn in fns], read_only=False, deadline=deadline
            )
        except HansardError as error:
            return [Outcome(error=error)] * len(fns)

    def script(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``fn`` with the bare connection, for migrations and maintenance."""
        deadline = time.monotonic() + self._deadline_s
        with _translated():
            while True:
                try:
                    return fn(self._open())
                except sqlite3.OperationalError as error:
                    self._pause(error, deadline)

    def close(self) -> None:
        """Close; SQLite folds the WAL into the file when the last connection goes."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _run_once(self, fn: Callable[[Tx], T], begin: str) -> T:
        connection = self._open()
        connection.execute(begin)
        try:
            result = fn(_SqliteTx(connection))
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        return result

    def _pause(self, error: sqlite3.OperationalError, deadline: float) -> None:
        """Wait a little before the next try, unless that is pointless or too late."""
        if _primary_code(error) not in _BUSY or time.monotonic() > deadline:
            raise error
        self._counters["retries"] += 1
        time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - jitter

    def _open(self) -> sqlite3.Connection:
        if self._opened is None:
            connection = self._connect()
            try:
                for pragma in _PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}")
            except BaseException:
                connection.close()
                raise
            self._opened = connection
        return self._opened

    def _connect(self) -> sqlite3.Connection:
        if self._path != MEMORY:
            # A new file is its owner's alone: it holds what was said. Only a new one is opened
            # here: closing a file drops every lock that this process has on it.
            with suppress(OSError):  # SQLite says better what is wrong
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, cached_statements=256
        )


@contextmanager
def immediate(connection: sqlite3.Connection) -> Generator[None]:
    """A write transaction on a bare connection."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


class _SqliteTx:
    dialect: Dialect = "sqlite"
    lane = 1  # one writer at a time

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._queries = load("sqlite")

    def rows(self, query: str, /, options: Sequence[str] = (), **params: object) -> list[Row]:
        found = self._queries[query]
        if found.options:
            found = found.with_options(options)
        return self.connection.execute(found.text, params).fetchall()

    def run(self, query: str, /, **params: object) -> None:
        self.connection.execute(self._queries[query].text, params)

    def look_up(self, *lookups: ForRows) -> list[list[Row]]:
        return [self._each(self._queries[query].by_position, rows) for query, rows in lookups]

    def many(self, *writes: ForRows) -> None:
        for query, rows in writes:
            if rows:
                self.connection.executemany(self._queries[query].by_position, rows)

    def _each(self, text: str, rows: Sequence[Row]) -> list[Row]:
        execute = self.connection.execute
        return [found for row in rows for found in execute(text, row)]


def _run_guarded(tx: Tx, fn: Callable[[Tx], Any]) -> Outcome:
    assert isinstance(tx, _SqliteTx)
    tx.connection.execute("SAVEPOINT one")
    try:
        outcome = Outcome(fn(tx))
    except BaseException as error:
        ours: BaseException = error
        if isinstance(error, sqlite3.Error | OverflowError):
            ours = _translate(error)
            if isinstance(ours, Unavailable):
                raise  # a full disk or an I/O error is everybody's
        tx.connection.execute("ROLLBACK TO one")
        outcome = Outcome(error=ours)
    tx.connection.execute("RELEASE one")
    return outcome


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def _translated() -> Generator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        raise _translate(error) from error
    except UnicodeDecodeError as error:  # the driver fails to tell what is damaged
        raise Corrupt("SQLite: a text is not UTF-8", code="database_corrupt") from error


def _translate(error: sqlite3.Error | OverflowError) -> HansardError:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | OverflowError):
        return Conflict(f"the database refused a row: {error}", code="refused")
    code = _primary_code(error)
    if code in _CORRUPT:
        return Corrupt(f"SQLite: {error}", code="database_corrupt")
    if isinstance(error, sqlite3.OperationalError) and not code:  # it says and shows what it is
        return Corrupt("SQLite: a text is not UTF-8", code="database_corrupt")
    return Unavailable(f"SQLite: {error}", reason=_reason(error))


def _reason(error: sqlite3.Error) -> str:
    return re.sub(r"^SQLITE_", "", getattr(error, "sqlite_errorname", "") or "ERROR").lower()
