"""Queues: the turns of one session go one after another, in the order in which they came.

Sessions do not wait for each other, and a session without turns takes no memory. The order
holds within a process: servers that share a database order their turns by its commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hansard.core.errors import Conflict


@dataclass(slots=True)
class _Line:
    """One turn, and those that wait behind it.

    Attributes:
        called_for: Told when one more begins to wait.
    """

    called_for: Callable[[], None]
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class SessionQueues:
    """The places in front of every session.

    Args:
        waiting_max: Turns that may wait for one session.
        wait_max_s: How long one of them may.
    """

    def __init__(self, *, waiting_max: int, wait_max_s: float) -> None:
        self._waiting_max = waiting_max
        self._wait_max_s = wait_max_s
        self._lines: dict[Hashable, _Line] = {}

    def __len__(self) -> int:
        """How many sessions have a turn under way."""
        return len(self._lines)

    def waiting(self, key: Hashable) -> int:
        """How many turns wait for a session."""
        line = self._lines.get(key)
        return 0 if line is None else len(line.waiting)

    @asynccontextmanager
    async def place(self, key: Hashable, called_for: Callable[[], None]) -> AsyncIterator[None]:
        """Wait until the turns that came before have ended; those that come later wait.

        ``called_for`` is called, while the place is taken, whenever one begins to wait for it.

        Raises:
            Conflict: ``session_busy``, if too many wait already, or it takes too long.
        """
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = _Line(called_for)
        else:
            await self._wait(key, line)
            line.called_for = called_for
        try:
            yield
        finally:
            self._pass_on(key)

    async def _wait(self, key: Hashable, line: _Line) -> None:
        if self.waiting(key) >= self._waiting_max:
            raise _busy(f"{self._waiting_max} turns wait for this session already")
        called = asyncio.get_running_loop().create_future()
        line.waiting.append(called)
        line.called_for()
        try:
            async with asyncio.timeout(self._wait_max_s):
                await called
        except (TimeoutError, asyncio.CancelledError) as exc:
            if called.done() and not called.cancelled():
                self._pass_on(key)  # called, and gone before it could come
            elif called in line.waiting:
                line.waiting.remove(called)
            if isinstance(exc, TimeoutError):
                raise _busy("earlier turns of this session take too long") from exc
            raise

    def _pass_on(self, key: Hashable) -> None:
        line = self._lines[key]
        while line.waiting:
            called = line.waiting.popleft()
            if not called.done():  # has not given up
                called.set_result(None)
                return
        del self._lines[key]


def _busy(message: str) -> Conflict:
    return Conflict(message, code="session_busy")
