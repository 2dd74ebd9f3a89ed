"""The bridge from an event loop to the threads of a database."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from hansard.core.errors import Unavailable
from hansard.store.budgets import AdmissionJob
from hansard.store.database import Database, Tx
from hansard.store.jobs import Done, Outcome
from hansard.store.thread_logs import StepJob
from hansard.store.turns import Append

T = TypeVar("T")


class Runner:
    """Runs transaction functions for async callers; opened once, shared by all actors."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open_database = open_database
        self._database: Database | None = None
        self._last_inbox: _Inbox | None = None

    @property
    def database(self) -> Database:
        """The database behind.

        Raises:
            Unavailable: If it is not open.
        """
        if self._database is None:
            raise Unavailable("the record is not open; use 'async with'", code="closed")
        return self._database

    async def open(self) -> None:
        """Connect, migrate, start the threads; one that nobody waits for any more is closed."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_database))
        try:
            self._database = await asyncio.shield(opening)
        except asyncio.CancelledError:
            (await opening).close()
            raise

    async def close(self) -> None:
        """Finish what was begun."""
        if self._database is not None:
            await asyncio.to_thread(self._database.close)
            self._database = None

    def _inbox(self) -> _Inbox:
        loop, inbox = asyncio.get_running_loop(), self._last_inbox
        if inbox is None or inbox.loop is not loop:
            inbox = self._last_inbox = _Inbox(loop)
        return inbox

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` on a snapshot."""
        answer, done = self._inbox().expect(self.database)
        self.database.read(fn, done)
        result: T = await answer
        return result

    async def write(self, fn: Callable[[Tx], T], *, key: tuple[str, str] | None = None) -> T:
        """Run ``fn`` in a transaction of its own (or, on SQLite, behind its own savepoint)."""
        answer, done = self._inbox().expect(self.database)
        self.database.write(fn, done, key=key)
        result: T = await answer
        return result

    async def append(self, item: Append | AdmissionJob | StepJob) -> Any:
        """Run an append, an admission or a step with the others that wait."""
        answer, done = self._inbox().expect(self.database)
        self.database.append(item, done, key=item.key, size_bytes=item.size_bytes)
        return await answer

    @contextlib.contextmanager
    def hearing(self, key: tuple[str, str], wake: Callable[[], None]) -> Iterator[None]:
        """Call ``wake`` on this loop whenever a session changes; it is only a hint."""
        loop = asyncio.get_running_loop()

        def call() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone, and who listened with it
                loop.call_soon_threadsafe(wake)

        cancel = self.database.bulletin.subscribe(key, call)
        try:
            yield
        finally:
            cancel()

    async def read_alone(self, fn: Callable[[Tx], T]) -> T:
        """Run what may take longer on a snapshot, where no other read waits for its end."""
        if self.database.engine.reads_max > 1:
            return await self.read_apart(fn)
        return await self.read(fn)

    async def read_apart(self, fn: Callable[[Tx], T]) -> T:
        """Run a long read on a connection of its own, in nobody's way."""
        return await asyncio.to_thread(self.database.read_apart, fn)


class _Inbox:
    """Carries outcomes from threads to one event loop.

    Either side wakes the other once for many: the loop when it has run all that was ready,
    a thread when it has answered all that it took. Waking is what costs most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[Any], Outcome]] = deque()
        self._is_woken = False
        self._will_wake = False

    def expect(self, database: Database) -> tuple[asyncio.Future[Any], Done]:
        """Give a future for a job about to be put, and what a thread calls to settle it."""
        if not self._will_wake:
            self._will_wake = True
            self.loop.call_soon(self._wake, database)
        future: asyncio.Future[Any] = self.loop.create_future()
        return future, partial(self._arrive, future)

    def _wake(self, database: Database) -> None:
        self._will_wake = False
        database.wake()

    def _arrive(self, future: asyncio.Future[Any], outcome: Outcome) -> None:
        self._arrived.append((future, outcome))
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop is gone, and who asked with it
                self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._is_woken = False  # before looking: what arrives from now on wakes the loop again
        while self._arrived:
            future, outcome = self._arrived.popleft()
            if future.done():  # the caller was cancelled
                continue
            if outcome.error is not None:
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome.value)
