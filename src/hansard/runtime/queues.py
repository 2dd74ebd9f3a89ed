"""Queues: the turns of one session go one after another, in the order in which they came.

Sessions do not wait for each other, and a session without turns takes no memory. The order
holds within a process: servers that share a database order their turns by its commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from hansard.core.errors import Conflict


class SessionQueues:
    """The places in front of every session.

    Args:
        waiting_max: Turns that may wait for one session.
        wait_max_s: How long one of them may.
    """

    def __init__(self, *, waiting_max: int, wait_max_s: float) -> None:
        self._waiting_max = waiting_max
        self._wait_max_s = wait_max_s
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """How many sessions have a turn under way."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, key: Hashable) -> AsyncIterator[None]:
        """Wait until the turns that came before have ended; those that come later wait.

        Raises:
            Conflict: ``session_busy``, if too many wait already, or it takes too long.
        """
        line = self._waiting.get(key)
        if line is None:
            self._waiting[key] = deque()
        else:
            await self._wait(key, line)
        try:
            yield
        finally:
            self._pass_on(key)

    async def _wait(self, key: Hashable, line: deque[asyncio.Future[None]]) -> None:
        if sum(not called.done() for called in line) >= self._waiting_max:
            raise _busy(f"{self._waiting_max} turns wait for this session already")
        called = asyncio.get_running_loop().create_future()
        line.append(called)
        try:
            async with asyncio.timeout(self._wait_max_s):
                await called
        except (TimeoutError, asyncio.CancelledError) as exc:
            if called.done() and not called.cancelled():
                self._pass_on(key)  # called, and gone before it could come
            if isinstance(exc, TimeoutError):
                raise _busy("earlier turns of this session take too long") from exc
            raise

    def _pass_on(self, key: Hashable) -> None:
        line = self._waiting[key]
        while line:
            called = line.popleft()
            if not called.done():  # has not given up
                called.set_result(None)
                return
        del self._waiting[key]


def _busy(message: str) -> Conflict:
    return Conflict(message, code="session_busy")
