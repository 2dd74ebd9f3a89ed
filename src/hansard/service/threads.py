"""The bridge from an event loop to the threads of a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from hansard.core.errors import Unavailable
from hansard.store.database import Database, Tx
from hansard.store.jobs import Done, Outcome
from hansard.store.turns import Append

T = TypeVar("T")


class Runner:
    """Runs transaction functions for async callers; opened once, shared by all actors."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open_database = open_database
        self._database: Database | None = None

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
        """Connect, migrate, start the threads."""
        self._database = await asyncio.to_thread(self._open_database)

    async def close(self) -> None:
        """Finish what was begun."""
        if self._database is not None:
            await asyncio.to_thread(self._database.close)
            self._database = None

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` on a snapshot."""
        result: T = await _wait(lambda done: self.database.read(fn, done))
        return result

    async def write(self, fn: Callable[[Tx], T], *, key: tuple[str, str] | None = None) -> T:
        """Run ``fn`` in a transaction of its own (or, on SQLite, behind its own savepoint)."""
        result: T = await _wait(lambda done: self.database.write(fn, done, key=key))
        return result

    async def append(self, item: Append) -> Any:
        """Run an append with the others that wait."""
        return await _wait(lambda done: self.database.append(item, done, key=item.key))

    async def read_apart(self, fn: Callable[[Tx], T]) -> T:
        """Run a long read on a connection of its own, in nobody's way."""
        return await asyncio.to_thread(self.database.read_apart, fn)


async def _wait(submit: Callable[[Done], None]) -> Any:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def done(outcome: Outcome) -> None:
        try:
            loop.call_soon_threadsafe(_settle, future, outcome)
        except RuntimeError:  # the loop is gone, and with it whoever asked
            return

    submit(done)
    return await future


def _settle(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():  # the caller was cancelled
        return
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)
