"""The store's own SQLite code on a disk of ours: only the driver underneath is another."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import apsw

from hansard.clock import now_us
from hansard.service.runner import Runner
from hansard.service.sessions import DatabaseSessions
from hansard.store.batches import batch
from hansard.store.bulletin import Bulletin
from hansard.store.database import Database, Row
from hansard.store.migrate import migrate
from hansard.store.queries import Dialect
from hansard.store.sqlite import SqliteConnection
from tests.faults.appends import make_append
from tests.faults.crash_disk import Disk, DiskVfs
from tests.faults.history import History, Sent

PATH = "/record.db"
FULL = "PRAGMA synchronous = FULL"
DEADLINE_S = 10.0
CHECKPOINT_PAGES = 40  # few, so that a short run meets a checkpoint at every stage


class DiskEngine:
    """A SQLite file on a disk of ours, with one connection, as in memory.

    Args:
        disk: Where the file is.
        level: Synchronous level in place of FULL.
    """

    dialect: Dialect = "sqlite"
    readers = 0
    reads_max = 1
    writers = 1
    loners = 0
    deadline_s = DEADLINE_S

    def __init__(self, disk: Disk, level: str = "FULL") -> None:
        self.counters: Counter[str] = Counter()
        self._connection = DiskConnection(disk, level, self.counters)

    def connect(self) -> DiskConnection:
        return self._connection

    def listen(self, bulletin: Bulletin) -> None:
        """Nobody else is there."""


class DiskConnection(SqliteConnection):
    """The store's connection, with its own pragmas and transactions, on another driver."""

    def __init__(self, disk: Disk, level: str, counters: Counter[str]) -> None:
        super().__init__(PATH, DEADLINE_S, counters)
        self._vfs = DiskVfs(disk)
        self._level = level

    def _connect(self) -> sqlite3.Connection:
        return cast("sqlite3.Connection", _Driver(self._vfs, self._level))


def open_on(disk: Disk, level: str = "FULL") -> DiskConnection:
    """Connect to the record on a disk, bringing it to the newest schema."""
    connection = DiskEngine(disk, level).connect()
    migrate(connection, now_us)
    return connection


def serve_on(disk: Disk) -> DatabaseSessions:
    """Give the record on a disk; to be opened."""
    return DatabaseSessions(Runner(lambda: Database(DiskEngine(disk), batch, secret=bytes(32))))


def append_all(connection: DiskConnection, history: History, turns: list[Sent]) -> None:
    """Send turns in one transaction, and note what is answered."""
    appends = [make_append(sent) for sent in turns]
    outcomes = connection.run(
        lambda tx: batch(tx, appends, sure=False, wait=False).outcomes, read_only=False
    )
    for sent, outcome in zip(turns, outcomes, strict=True):
        assert outcome.error is None
        history.acknowledge(sent, outcome.value)


class _Driver:
    """The part of ``sqlite3.Connection`` that the store uses, on apsw."""

    def __init__(self, vfs: DiskVfs, level: str) -> None:
        self._level = level
        with _translated():
            self._bare = apsw.Connection(PATH, vfs=vfs.name)
            self._bare.execute("PRAGMA locking_mode = EXCLUSIVE")  # WAL without shared memory
            self._bare.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    @property
    def in_transaction(self) -> bool:
        return self._bare.in_transaction

    def execute(self, statement: str, parameters: Any = ()) -> _Rows:
        if statement == FULL:
            statement = f"PRAGMA synchronous = {self._level}"
        with _translated():
            return _Rows(self._bare.execute(statement, parameters).fetchall())

    def executemany(self, statement: str, rows: Any) -> None:
        with _translated():
            self._bare.executemany(statement, rows)

    def close(self) -> None:
        with _translated():
            self._bare.close()


class _Rows(list[Row]):
    """Rows of one statement, all of them fetched."""

    def fetchall(self) -> list[Row]:
        return self

    def fetchone(self) -> Row | None:
        return self[0] if self else None


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the standard driver would raise."""
    try:
        yield
    except apsw.Error as error:
        code: int = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
        if isinstance(error, apsw.ConstraintError):
            raised: sqlite3.Error = sqlite3.IntegrityError(str(error))
        elif isinstance(error, apsw.CorruptError | apsw.NotADBError):
            raised = sqlite3.DatabaseError(str(error))
        else:
            raised = sqlite3.OperationalError(str(error))
        raised.sqlite_errorcode = code
        raised.sqlite_errorname = str(apsw.mapping_extended_result_codes.get(code, "SQLITE_ERROR"))
        raise raised from error
