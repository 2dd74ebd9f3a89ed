"""Hansard's side: a record, opened in this process, that callers append turns to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import hansard
from benchmarks.children import Sample
from benchmarks.turns import MESSAGES, USAGE, session_id
from hansard.compose import open_database

T = TypeVar("T")


class OpenRecord:
    """An open record and an event loop: what every side of ours has."""

    def __init__(self, *, url: str) -> None:
        self._runner = asyncio.Runner()
        self.record = open_database(url)

    def __enter__(self) -> Self:
        self.run(self.record.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self.record.__aexit__(kind, error, trace))
        self._runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call on this side's loop."""
        return self._runner.run(call)


class Appends(OpenRecord):
    """``append_turn`` by so many callers at once, on so many sessions."""

    def __init__(self, *, url: str, callers: int, sessions: int) -> None:
        super().__init__(url=url)
        self._callers = callers
        self._sessions = sessions

    def measure(self, amount: float) -> Sample:
        """Append for so many seconds."""
        return self.run(self._measure(amount))

    async def _measure(self, seconds: float) -> Sample:
        cpu, start = time.process_time(), time.perf_counter()
        callers = (self._call(number, start + seconds) for number in range(self._callers))
        counts = await asyncio.gather(*callers)
        return Sample(sum(counts), time.perf_counter() - start, time.process_time() - cpu)

    async def _call(self, number: int, until: float) -> int:
        """Append to the caller's own sessions in turn; where there are fewer, callers share."""
        numbers = range(number % self._sessions, self._sessions, self._callers)
        targets = [session_id(target) for target in numbers]
        first = time.time_ns()
        done = 0
        while time.perf_counter() < until:
            await self.append(targets[done % len(targets)], f"turn-{number}-{first + done}")
            done += 1
        return done

    async def append(self, session_id: str, turn_id: str) -> None:
        """Record one turn."""
        await self.record.append_turn(session_id, MESSAGES, usage=[USAGE], turn_id=turn_id)


async def create_sessions(url: str, count: int) -> None:
    """Make the sessions that callers append to."""
    async with hansard.open(url) as record:
        for number in range(count):
            await record.create(session_id=session_id(number))
