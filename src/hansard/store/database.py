"""The seam to a SQL database: transactions are plain functions of a ``Tx``.

    caller --append--> writer --gather--> one transaction, one COMMIT --> all answered
    caller --write---> the writer too (SQLite), or a loner (PostgreSQL): a thread for one session
    caller --read----> readers; a read never waits for a write

Each thread owns one connection. A function is run whole, so a caller that goes away cannot
leave half a transaction behind. What failed without having happened is run again, whole,
until its deadline; see ``Connection.run``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, cast

from hansard.core.errors import Conflict, HansardError, Unavailable
from hansard.store.bulletin import Bulletin
from hansard.store.jobs import DEFERRED, Done, Gathered, Job, Key, Lanes, Outcome
from hansard.store.queries import Dialect
from hansard.store.tallies import Tally, UsageTally

T = TypeVar("T")
Row = tuple[Any, ...]
ForRows = tuple[str, Sequence[Row]]
"""Name of a query, and rows of its parameters."""

BATCH_MAX = 256  # appends in one transaction: keeps a failing batch cheap to repeat
BATCH_BYTES = 4 * 1024 * 1024  # and what they bring, before the last: keeps a statement small
CLOSE_TIMEOUT_S = 30.0  # longest wait for what is under way when a database is closed


class Tx(Protocol):
    """One open transaction; ``query`` is a name from ``store/sql``."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL is spoken."""
        ...

    @property
    def lane(self) -> int:
        """Which of the rows that connections share is this one's own."""
        ...

    def rows(self, query: str, /, options: Sequence[str] = (), **params: object) -> list[Row]:
        """Execute, with the optional lines asked for; return all rows."""
        ...

    def run(self, query: str, /, **params: object) -> None:
        """Execute, without a result."""
        ...

    def look_up(self, *lookups: ForRows) -> list[list[Row]]:
        """Execute queries, each for many rows of parameters, in one round trip.

        Returns one list of rows for each query, in the order that the queries came in: a
        query that locks comes first, and the others see what it waited for.
        """
        ...

    def many(self, *writes: ForRows) -> None:
        """Execute queries, each for many rows of parameters, without a result.

        Where several come together, none may touch a table that another touches.
        """
        ...


def one(tx: Tx, query: str, /, **params: str | int) -> Row | None:
    """Execute; return the only row, or None."""
    found = tx.rows(query, (), **params)
    return found[0] if found else None


def join_halves(halves: Row) -> list[int]:
    """Put sums together, each of which came in two: of its columns' high bits, and of the low 32.

    A sum of 64-bit columns may need more bits than a database's integers have.

    >>> join_halves((1, 5, -1, 2**32 - 1))
    [4294967301, -1]
    """
    return [(high << 32) + low for high, low in zip(halves[::2], halves[1::2], strict=True)]


class Connection(Protocol):
    """One connection, owned by one thread; reconnects by itself."""

    def run(self, fn: Callable[[Tx], T], *, read_only: bool, deadline: float | None = None) -> T:
        """Run ``fn`` in a transaction.

        What failed without having happened (busy, deadlock, serialization, lost connection)
        is run again with jitter until the deadline (a moment of the monotonic clock; by default
        that of the engine, from now). After a commit whose answer was lost, the outcome is
        looked up first.

        Raises:
            Unavailable: After the deadline; with code ``outcome_unknown`` if the commit may
                have happened.
        """
        ...

    def run_each(self, fns: Sequence[Callable[[Tx], Any]], deadline: float) -> list[Outcome]:
        """Run functions in one transaction, a failing one alone being undone."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Engine(Protocol):
    """How to reach one database, and how many connections it wants.

    Attributes:
        reads_max: How many reads share a transaction where several wait.
    """

    dialect: Dialect
    readers: int
    reads_max: int
    writers: int
    loners: int
    deadline_s: float
    counters: Counter[str]

    def connect(self) -> Connection:
        """Make a connection for a new thread; it connects when first used."""
        ...

    def listen(self, bulletin: Bulletin) -> Callable[[float], None] | None:
        """Pass on what other processes announce; return how to stop, None if they cannot.

        Stopping waits until a moment of the monotonic clock, no longer.
        """
        ...


class Batch(Protocol):
    """A function that runs many items (appends, admissions) in one transaction."""

    def __call__(self, tx: Tx, items: Sequence[Any], *, sure: bool, wait: bool) -> Gathered:
        """Run all items; unless it may ``wait``, it may defer some."""
        ...


class Database:
    """Runs transaction functions on threads; ``batch`` says how items are gathered.

    Args:
        engine: Where.
        batch: Runs many items in one transaction.
        secret: Random bytes that belong to this database; signs cursors.
    """

    def __init__(self, engine: Engine, batch: Batch, *, secret: bytes) -> None:
        self.engine = engine
        self.secret = secret
        self.bulletin = Bulletin()
        self._usage = UsageTally()
        self._batch = batch
        self._lock = threading.Lock()
        self._closed = False
        self._readers = Lanes(most=engine.reads_max)
        self._loners = Lanes()
        self._writers = Lanes(most=BATCH_MAX, most_bytes=BATCH_BYTES)
        self._threads = [
            *(self._start(self._serve_gathered) for _ in range(engine.writers)),
            *(self._start(self._serve_loners) for _ in range(engine.loners)),
            *(self._start(self._serve_readers) for _ in range(engine.readers)),
        ]
        self._stop_listening = engine.listen(self.bulletin)

    def read(self, fn: Callable[[Tx], Any], done: Done) -> None:
        """Run ``fn`` on a snapshot; ``done`` is called on the thread that ran it.

        Like the two below, it waits until the threads are woken.
        """
        lanes = self._readers if self.engine.readers else self._writers
        lanes.put(Job(fn, None, done, self._deadline()))

    def read_apart(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` on a snapshot and wait for it, on a connection made for it.

        For long reads: it is in nobody's way, except of a database in memory, which has one
        connection.
        """
        if not self.engine.readers:
            answer: SimpleQueue[Outcome] = SimpleQueue()
            self.read(fn, answer.put)
            self.wake()
            outcome = answer.get()
            if outcome.error is not None:
                raise outcome.error
            return cast("T", outcome.value)
        connection = self.engine.connect()
        try:
            return connection.run(fn, read_only=True)
        finally:
            connection.close()

    def write(self, fn: Callable[[Tx], Any], done: Done, *, key: Key | None = None) -> None:
        """Run ``fn``, which changes session ``key``, in a transaction."""
        lanes = self._loners if self.engine.loners else self._writers
        lanes.put(Job(fn, None, done, self._deadline(), key))

    def append(self, item: Any, done: Done, *, key: Key | None, size_bytes: int) -> None:
        """Add one item, which changes session ``key`` or none, to the next batch."""
        self._writers.put(Job(None, item, done, self._deadline(), key, size_bytes))

    def wake(self) -> None:
        """Wake the threads for what was asked since."""
        for lanes in (self._readers, self._loners, self._writers):
            lanes.wake()

    def counters(self) -> Mapping[str, int]:
        """How many appends, batches, retries and conflicts there have been, and what they did."""
        return dict(self.engine.counters)

    def usage(self) -> Tally:
        """What the model calls used that were recorded, by tenant and model."""
        return self._usage.read()

    def close(self) -> None:
        """Finish what was begun, then stop the threads.

        Those that a frozen database keeps are left behind after ``CLOSE_TIMEOUT_S``.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        writers = self.engine.writers
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        self._writers.close()
        for thread in self._threads[:writers]:  # they may still hand something to the loners
            thread.join(max(0.0, deadline - time.monotonic()))
        self._loners.close()
        self._readers.close()
        for thread in self._threads[writers:]:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._stop_listening:
            self._stop_listening(deadline)

    def _deadline(self) -> float:
        return time.monotonic() + self.engine.deadline_s

    def _start(self, serve: Callable[[Connection], None]) -> threading.Thread:
        connection = self.engine.connect()
        thread = threading.Thread(target=serve, args=(connection,), name="hansard", daemon=True)
        thread.start()
        return thread

    def _serve_readers(self, connection: Connection) -> None:
        while jobs := self._readers.take():
            for job, outcome in _read_together(connection, jobs):
                self._finish(job, outcome)
            self._readers.finish(jobs)
        connection.close()

    def _serve_loners(self, connection: Connection) -> None:
        """Run jobs one by one, each in a transaction of its own, waiting for locks."""
        while jobs := self._loners.take():
            for job in jobs:
                self._finish(job, self._run_alone(connection, job))
            self._loners.finish(jobs)
        connection.close()

    def _serve_gathered(self, connection: Connection) -> None:
        """Take all jobs that wait, run them in one transaction, then answer all."""
        while jobs := self._writers.take():
            appends = [job for job in jobs if job.fn is None]
            for job, outcome in self._run_appends(connection, appends):
                if outcome is DEFERRED:
                    self._loners.pass_on(job)
                else:
                    self._finish(job, outcome)
            singles = [job for job in jobs if job.fn is not None]
            for job, outcome in _run_singles(connection, singles):
                self._finish(job, outcome)
            self._writers.finish(jobs)
        connection.close()

    def _run_appends(self, connection: Connection, jobs: list[Job]) -> list[tuple[Job, Outcome]]:
        if not jobs:
            return []
        self.engine.counters["batches"] += 1
        deadline = max(job.deadline for job in jobs)
        for sure in (False, True):
            items = [job.item for job in jobs]
            fn = partial(self._batch, items=items, sure=sure, wait=False)
            whole = _attempt(connection, fn, deadline, read_only=False)
            if whole.error is None:
                return list(zip(jobs, self._count(whole.value), strict=True))
            if isinstance(whole.error, Unavailable):
                return [(job, whole) for job in jobs]
        # Something in the batch is poison that no look-up shows: each on its own.
        if self.engine.loners:
            return [(job, DEFERRED) for job in jobs]
        return [(job, self._run_alone(connection, job)) for job in jobs]

    def _run_alone(self, connection: Connection, job: Job) -> Outcome:
        fn = job.fn or partial(self._batch, items=[job.item], sure=True, wait=True)
        outcome = _attempt(connection, fn, job.deadline, read_only=False)
        if job.fn is None and outcome.error is None:
            (outcome,) = self._count(outcome.value)
        return outcome

    def _count(self, gathered: Gathered) -> list[Outcome]:
        """Count what happened in a batch; return the outcomes."""
        with self._lock:
            self.engine.counters.update(gathered.tally)
            self._usage.add(gathered.usage)
        return gathered.outcomes

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if job.key is not None:
            if job.fn is None:
                self.engine.counters["appends"] += 1
            if outcome.error is None:
                self.bulletin.announce(job.key)
            elif isinstance(outcome.error, Conflict):
                self.engine.counters["conflicts"] += 1
        job.done(outcome)


def _read_together(connection: Connection, jobs: list[Job]) -> list[tuple[Job, Outcome]]:
    """Read on one snapshot for all, or each alone where the database refuses one."""

    def read_all(tx: Tx) -> list[Outcome]:
        return [_read_one(tx, job) for job in jobs]

    if len(jobs) > 1:
        whole = _attempt(connection, read_all, jobs[0].deadline, read_only=True)
        if whole.error is None:
            return list(zip(jobs, cast("list[Outcome]", whole.value), strict=True))
    return [(job, _attempt(connection, job.fn, job.deadline, read_only=True)) for job in jobs]


def _read_one(tx: Tx, job: Job) -> Outcome:
    assert job.fn is not None
    try:
        return Outcome(job.fn(tx))
    except HansardError as error:
        return Outcome(error=error)


def _run_singles(connection: Connection, jobs: list[Job]) -> list[tuple[Job, Outcome]]:
    if len(jobs) <= 1:  # one alone needs no savepoint
        return [(job, _attempt(connection, job.fn, job.deadline, read_only=False)) for job in jobs]
    try:
        outcomes = connection.run_each(
            [job.fn for job in jobs if job.fn], max(job.deadline for job in jobs)
        )
    except BaseException as error:  # noqa: BLE001 - handed to the callers, who raise it
        outcomes = [Outcome(error=error)] * len(jobs)
    return list(zip(jobs, outcomes, strict=True))


def _attempt(
    connection: Connection, fn: Callable[[Tx], Any] | None, deadline: float, *, read_only: bool
) -> Outcome:
    assert fn is not None
    if time.monotonic() > deadline:
        return Outcome(error=Unavailable("the record is overloaded", code="overloaded"))
    try:
        return Outcome(connection.run(fn, read_only=read_only, deadline=deadline))
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
        return Outcome(error=error)
