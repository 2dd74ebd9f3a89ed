"""Chores: what a server does by itself, again and again, beside answering.

    begin -> do -> pause -> do -> pause -> ... -> the server stops

Each has a name and goes its own pace. One that fails leaves a line in the log and is done again
after its pause; nothing else fails with it. Several servers on one database each do theirs, so
a chore claims what it works on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hansard.core.errors import HansardError
from hansard.crashes import frames_of, kind_of
from hansard.server.logs import Log


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do until the server stops, with a pause of ``pause_s`` after each time."""

    name: str
    pause_s: float
    do: Callable[[], Awaitable[None]]


@asynccontextmanager
async def doing(chores: Iterable[Chore], log: Log) -> AsyncIterator[None]:
    """Do chores meanwhile; at the end those under way are broken off."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_repeat(chore, log)) for chore in chores]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _repeat(chore: Chore, log: Log) -> None:
    while True:
        (error,) = await asyncio.gather(chore.do(), return_exceptions=True)
        if error is not None:
            _tell(chore, error, log)
        await asyncio.sleep(chore.pause_s)


def _tell(chore: Chore, error: BaseException, log: Log) -> None:
    if isinstance(error, HansardError):
        log.warning("chore.failed", chore=chore.name, code=error.code, why=error.notes)
    else:
        log.error("chore.failed", chore=chore.name, code=kind_of(error), at=frames_of(error))
