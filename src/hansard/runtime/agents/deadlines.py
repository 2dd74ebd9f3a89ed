"""Deadlines of an answer that comes in pieces, kept with one timer instead of one a piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class TimerLoop(Protocol):
    """What of an event loop is needed here."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle: ...


class ReadDeadline:
    """Ends an answer when a read, or the whole of it, takes too long.

    A consumer that pauses between two reads is not the upstream's fault: only the whole
    counts then.

    Args:
        ends_at_s: When the whole must be over, by the loop's clock.
        end: Called once, when it is too late.
    """

    def __init__(
        self, loop: TimerLoop, *, idle_s: float, ends_at_s: float, end: Callable[[], None]
    ) -> None:
        self.has_passed = False
        self._loop = loop
        self._idle_s = idle_s
        self._ends_at_s = ends_at_s
        self._end = end
        self._since_s: float | None = None
        self._timer = self._loop.call_at(self._next_s(), self._look)

    def begin_read(self) -> None:
        """A read begins."""
        self._since_s = self._loop.time()

    def end_read(self) -> None:
        """A read has brought something."""
        self._since_s = None

    def cancel(self) -> None:
        """The answer is over."""
        self._timer.cancel()

    def _next_s(self) -> float:
        since_s = self._loop.time() if self._since_s is None else self._since_s
        return min(self._ends_at_s, since_s + self._idle_s)

    def _look(self) -> None:
        due_s = self._ends_at_s if self._since_s is None else self._next_s()
        if self._loop.time() >= due_s:
            self.has_passed = True
            self._end()
        else:
            self._timer = self._loop.call_at(self._next_s(), self._look)
