"""Patience: how long an answer waits for the record, where it can go on without.

A record that does not answer is waited for once, for a short while; after that nobody waits
for it for some seconds. So a database that is gone costs one client a few seconds, and not
each of them.

    no answer in time -> look: it reads      what was asked for is large, and an affair of one
                               it does not   the record is lost
    one write after another without an answer to any: likewise
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from hansard.alarms import Alarm
from hansard.core.errors import HansardError, Unavailable

T = TypeVar("T")

PAUSE_S: Final = 5.0  # for which a record that did not answer is not asked again
SILENCES_MAX: Final = 3  # writes one after another, and none of anybody was answered


class Patience:
    """Waits for a record, with a bound.

    Args:
        look: Asks the record for something of constant size.

    Attributes:
        wait_max_s: How long to wait for one answer.
    """

    def __init__(self, wait_max_s: float, look: Callable[[], Awaitable[object]]) -> None:
        self.wait_max_s = wait_max_s
        self._look = look
        self._lost_until_s = -math.inf
        self._silences = 0

    @property
    def is_lost(self) -> bool:
        """Whether the record did not answer a moment ago."""
        return asyncio.get_running_loop().time() < self._lost_until_s

    def restore(self) -> None:
        """Wait again: the record answers, and takes what is written."""
        self._lost_until_s = -math.inf
        self._silences = 0

    async def wait(self, ask: Callable[[], Awaitable[T]], *, is_write: bool = False) -> T:
        """Ask for something, and wait for the answer.

        What was asked may still happen after this has given up.

        Raises:
            Unavailable: If there is no answer in time, or was none a moment ago.
        """
        silences = self._silences
        try:
            answer = await self._ask(ask)
        except TimeoutError as exc:
            if is_write and silences == self._silences:  # those that wait together count as one
                self._silences += 1
            await self._find_out()
            raise Unavailable("the record is too slow", code="record_unavailable") from exc
        except HansardError:
            if is_write:
                self._silences = 0  # a refusal is an answer; of one that is lost there are none
            raise
        if is_write:
            self._silences = 0
        return answer

    async def look(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask for something of constant size: a record that does not answer in time is lost.

        Raises:
            Unavailable: If it does not, or did not a moment ago.
        """
        try:
            return await self._ask(ask)
        except TimeoutError as exc:
            self._lose()
            raise _lost() from exc

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        if self.is_lost:
            raise _lost()
        try:
            with Alarm(self.wait_max_s):
                return await ask()
        except Unavailable:
            self._lose()
            raise

    async def _find_out(self) -> None:
        """Tell a record that does not answer from one that was asked for much."""
        if self._silences >= SILENCES_MAX:
            self._lose()
            return
        with suppress(Unavailable):
            await self.look(self._look)

    def _lose(self) -> None:
        self._silences = 0
        self._lost_until_s = asyncio.get_running_loop().time() + PAUSE_S


def _lost() -> Unavailable:
    return Unavailable("the record does not answer", code="record_unavailable")
