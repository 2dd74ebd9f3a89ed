"""Alarms: waits that end in time."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Alarm:
    """Ends a block with ``TimeoutError`` when its time is over.

    ``asyncio.timeout`` does the same at four times the cost, and every request waits for its
    body, every turn three times for the record.
    """

    __slots__ = ("_cancels", "_delay_s", "_handle", "_has_rung", "_task")

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._has_rung = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancels = task.cancelling()
        self._handle = task.get_loop().call_later(self._delay_s, self._ring)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        if not self._has_rung:
            return
        is_alone = self._task.uncancel() <= self._cancels
        if is_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _ring(self) -> None:
        self._has_rung = True
        self._task.cancel()
