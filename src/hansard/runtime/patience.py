"""Patience: how long an answer waits for the record, where it can go on without.

A record that does not answer is waited for once, for a short while; after that nobody waits
for it for some seconds. So a database that is gone costs one client a second, and not each of
them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from hansard.core.errors import Unavailable

T = TypeVar("T")

PAUSE_S: Final = 5.0  # for which a record that did not answer is not asked again
_TOO_SLOW: Final = "the record is too slow"


class Patience:
    """Waits for a record, with a bound.

    Args:
        wait_max_s: How long to wait for one answer.
    """

    def __init__(self, wait_max_s: float) -> None:
        self._wait_max_s = wait_max_s
        self._lost_until_s = -math.inf

    @property
    def is_lost(self) -> bool:
        """Whether the record did not answer a moment ago."""
        return asyncio.get_running_loop().time() < self._lost_until_s

    def restore(self) -> None:
        """Wait again: the record answers."""
        self._lost_until_s = -math.inf

    async def wait(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and wait for the answer.

        What was asked may still happen after this has given up. ``asyncio.timeout`` does the
        same at four times the cost, and every turn comes here three times.

        Raises:
            Unavailable: If there is no answer in time, or was none a moment ago.
        """
        if self.is_lost:
            raise Unavailable("the record does not answer", code="record_unavailable")
        task = asyncio.current_task()
        assert task is not None
        alarm = task.get_loop().call_later(self._wait_max_s, task.cancel, _TOO_SLOW)
        try:
            return await ask()
        except asyncio.CancelledError as exc:
            if exc.args != (_TOO_SLOW,):
                raise
            task.uncancel()
            self._lose()
            raise Unavailable("the record is too slow", code="record_unavailable") from exc
        except Unavailable:
            self._lose()
            raise
        finally:
            alarm.cancel()

    def _lose(self) -> None:
        self._lost_until_s = asyncio.get_running_loop().time() + PAUSE_S
