"""Patience: how long an answer waits for the record, where it can go on without.

A record that does not answer is waited for once, for a short while; after that nobody waits
for it for some seconds. So a database that is gone costs one client a second, and not each of
them. What may take long for reasons of its own, as reading a history does, is not waited for
here: all would pay for one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from hansard.alarms import Alarm
from hansard.core.errors import Unavailable

T = TypeVar("T")

PAUSE_S: Final = 5.0  # for which a record that did not answer is not asked again


class Patience:
    """Waits for a record, with a bound.

    Attributes:
        wait_max_s: How long to wait for one answer.
    """

    def __init__(self, wait_max_s: float) -> None:
        self.wait_max_s = wait_max_s
        self._lost_until_s = -math.inf

    @property
    def is_lost(self) -> bool:
        """Whether the record did not answer a moment ago."""
        return asyncio.get_running_loop().time() < self._lost_until_s

    def restore(self) -> None:
        """Wait again: the record answers."""
        self._lost_until_s = -math.inf

    async def wait(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask for something of constant size, and wait for the answer.

        What was asked may still happen after this has given up.

        Raises:
            Unavailable: If there is no answer in time, or was none a moment ago.
        """
        if self.is_lost:
            raise Unavailable("the record does not answer", code="record_unavailable")
        try:
            with Alarm(self.wait_max_s):
                return await ask()
        except TimeoutError as exc:
            self._lose()
            raise Unavailable("the record is too slow", code="record_unavailable") from exc
        except Unavailable:
            self._lose()
            raise

    def _lose(self) -> None:
        self._lost_until_s = asyncio.get_running_loop().time() + PAUSE_S
