"""A deterministic world: a database with row locks, processes that use it, and a seed.

    callers --a turn--> process: queue --some of it--> one transaction --> answers or failures
                                          |
          the scheduler lets one transaction go on at a time, up to its next statement

The store's own functions run in transactions whose statements interleave as those of
PostgreSQL do at READ COMMITTED: a statement sees what is committed when it begins, locks are
held to the end, and writes become visible together. Underneath is a SQLite in memory. The
seed decides who goes on, what is lost, and when: nothing else does.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from hansard import Unavailable
from hansard.store.database import ForRows, Row, Tx
from hansard.store.queries import Dialect
from hansard.store.sessions import Key
from hansard.store.sqlite import _SqliteTx, immediate

T = TypeVar("T")

PAUSES = 0.6  # share of statements before which others may go on
LOCKS = {"session_lock": True, "session_lock_free": False}
"""Queries that lock sessions, and whether they wait."""


class ConnectionLost(Exception):
    """The connection broke; nothing of the transaction has happened."""


class Stuck(Exception):
    """Everybody waits for somebody else: locks were not taken in one order."""


class Scheduler:
    """Runs functions on threads, one at a time, each up to its next ``pause``."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._tasks: list[_Task] = []
        self._running: _Task
        self._at_end = _taken_lock()
        self._error: BaseException | None = None

    def run(self, threads: Executor, *fns: Callable[[], None]) -> None:
        """Run functions to their ends; raise what one of them raised."""
        self._tasks = [_Task(fn) for fn in fns]
        for task in self._tasks:
            threads.submit(self._run, task)
        self._choose().signal.release()
        self._at_end.acquire()
        if self._error:
            raise self._error

    def pause(self, until: Callable[[], bool] = lambda: True) -> None:
        """Let others go on; come back when ``until`` holds.

        Raises:
            Stuck: If nobody can go on.
        """
        task = self._running
        task.may_go_on = until
        if self._choose() is not task:
            self._running.signal.release()
            task.signal.acquire()
        if not until():
            raise Stuck

    def _choose(self) -> _Task:
        """Choose who goes on; whoever else was running must do nothing more but wait."""
        ready = [task for task in self._tasks if task.may_go_on()]
        self._running = self.rng.choice(ready or self._tasks)
        return self._running

    def _run(self, task: _Task) -> None:
        task.signal.acquire()
        try:
            task.fn()
        except BaseException as error:  # noqa: BLE001 - raised by run
            self._error = self._error or error
        self._tasks.remove(task)
        if self._tasks:
            self._choose().signal.release()
        else:
            self._at_end.release()


class _Task:
    def __init__(self, fn: Callable[[], None]) -> None:
        self.fn = fn
        self.may_go_on: Callable[[], bool] = lambda: True
        self.signal = _taken_lock()


def _taken_lock() -> threading.Lock:
    """A lock to be waited on: who releases it lets one waiter go."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class World:
    """The database: committed rows, who holds which lock, and how often things go wrong.

    Attributes:
        tx: Reads what is committed.
        trouble: How often something goes wrong where it can.
        holders: Which transaction has locked a session.
        commits: How many there were.
    """

    def __init__(self, bare: sqlite3.Connection, scheduler: Scheduler) -> None:
        self.tx: Tx = _SqliteTx(bare)
        self.scheduler = scheduler
        self.trouble = 0.1
        self.holders: dict[Key, SimulatedTx] = {}
        self.commits = 0
        self._bare = bare

    def transact(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` in a transaction, often again if the connection was lost before COMMIT.

        Raises:
            Unavailable: If the connection was lost for good, maybe after the commit.
        """
        while True:
            breaks_at = self.scheduler.rng.randint(0, 9) if self._is_troubled() else None
            tx = SimulatedTx(self, breaks_at)
            try:
                result = fn(tx)
                tx.step()
                tx.commit()
            except ConnectionLost:
                tx.roll_back()
                if self._is_troubled():
                    raise Unavailable("the server was not found again") from None
                continue
            except BaseException:
                tx.roll_back()
                raise
            self.scheduler.pause()
            if self._is_troubled():
                raise Unavailable("the answer was lost", code="outcome_unknown")
            return result

    def write(self, fns: Sequence[Callable[[Tx], object]]) -> None:
        """Make writes visible together."""
        with immediate(self._bare):
            for fn in fns:
                fn(self.tx)

    def is_being_made(self, key: Key) -> bool:
        """Tell whether a session exists for that transaction alone which makes it."""
        return key in self.holders and key in self.holders[key].made

    def _is_troubled(self) -> bool:
        return self.scheduler.rng.random() < self.trouble


class SimulatedTx:
    """Implements ``Tx``: reads at once, writes when it commits."""

    dialect: Dialect = "postgres"  # whose ways are simulated; the text is SQLite's
    lane = 1

    def __init__(self, world: World, breaks_at: int | None) -> None:
        self.made: list[Key] = []
        self._world = world
        self._breaks_at = breaks_at
        self._steps = 0
        self._held: list[Key] = []
        self._writes: list[Callable[[Tx], object]] = []

    def rows(self, query: str, /, options: Sequence[str] = (), **params: Any) -> list[Row]:
        self.step()
        making = query == "session_insert"
        key = (params["tenant_id"], params["session_id"])
        if making:
            self._lock(key)
        found = self._world.tx.rows(query, options, **params)
        if making and found:
            self.made.append(key)
        return found

    def run(self, query: str, /, **params: object) -> None:
        self._writes.append(lambda tx: tx.run(query, **params))

    def look_up(self, *lookups: ForRows) -> list[list[Row]]:
        return [self._look_up(query, rows) for query, rows in lookups]

    def many(self, *writes: ForRows) -> None:
        self._writes.append(lambda tx: tx.many(*writes))

    def step(self) -> None:
        """Maybe let others go on, and maybe lose the connection."""
        if self._world.scheduler.rng.random() < PAUSES:
            self._world.scheduler.pause()
        if self._steps == self._breaks_at:
            raise ConnectionLost
        self._steps += 1

    def commit(self) -> None:
        """Make the writes visible, and let go of the locks."""
        self._world.write(self._writes)
        self._world.commits += 1
        self._release()

    def roll_back(self) -> None:
        """Undo what is visible already, and let go of the locks."""
        for tenant_id, session_id in self.made:
            self._world.tx.run("session_delete", tenant_id=tenant_id, session_id=session_id)
        self._release()

    def _look_up(self, query: str, rows: Sequence[Row]) -> list[Row]:
        self.step()
        if query not in LOCKS:
            return self._world.tx.look_up((query, rows))[0]
        found: list[Row] = []
        for row in rows:
            key = (row[0], row[1])
            if self._is_free(key) or (LOCKS[query] and not self._world.is_being_made(key)):
                self._lock(key)
                found += self._world.tx.look_up((query, [row]))[0]
        return found

    def _is_free(self, key: Key) -> bool:
        return self._world.holders.get(key) in {None, self}

    def _lock(self, key: Key) -> None:
        if not self._is_free(key):
            self._world.scheduler.pause(lambda: self._is_free(key))
        if key not in self._held:
            self._world.holders[key] = self
            self._held.append(key)

    def _release(self) -> None:
        for key in self._held:
            del self._world.holders[key]
        self._held.clear()
        self.made.clear()
