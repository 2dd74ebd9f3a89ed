"""Mailboxes: operations on their way to one engine, in their order, each answered or refused."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

from hansard.core.errors import LimitReached, Unavailable
from hansard.runtime.operations import Operation, Shutdown

T = TypeVar("T")

MAILBOX_MAX: Final = 32  # operations that wait for one engine


class Mailbox:
    """The mailbox of one engine."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Operation[Any]] = asyncio.Queue()
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._waiting.empty()

    async def ask(self, operation: Operation[T]) -> T:
        """Put an operation in, and wait for the answer.

        Raises:
            LimitReached: ``mailbox_full``.
            Unavailable: ``engine_stopped``.
        """
        if self._is_closed:
            raise stopped()
        if self._waiting.qsize() >= MAILBOX_MAX and not isinstance(operation, Shutdown):
            raise LimitReached(f"{MAILBOX_MAX} operations wait for the thread", code="mailbox_full")
        self._waiting.put_nowait(operation)
        return await operation.answer

    async def take(self) -> Operation[Any]:
        """Wait for the next operation."""
        return await self._waiting.get()

    def close(self) -> None:
        """Refuse what waits, and all that is to come."""
        self._is_closed = True
        while not self._waiting.empty():
            answer = self._waiting.get_nowait().answer
            if not answer.done():
                answer.set_exception(stopped())


def stopped() -> Unavailable:
    """The error for who asks an engine that does nothing any more."""
    return Unavailable("the engine has stopped", code="engine_stopped")
