"""Crashes: errors that nobody foresaw, told to the log and kept from going further."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from structlog.typing import FilteringBoundLogger

_FRAMES_MAX: Final = 8


def kind_of(error: BaseException) -> str:
    """The type of an error; never its text, which may quote content."""
    return type(_innermost(error)).__qualname__


def frames_of(error: BaseException) -> list[str]:
    """Where an error came from, the last calls first."""
    frames = traceback.extract_tb(_innermost(error).__traceback__)[-_FRAMES_MAX:]
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    ]


class Guard:
    """Ends in its block what goes wrong there; awaits may be in the block.

    Args:
        event: What the log calls it; ``ids`` go with it.

    Attributes:
        error: What went wrong.
    """

    __slots__ = ("_event", "_ids", "_log", "error")

    def __init__(self, log: FilteringBoundLogger, event: str, **ids: str) -> None:
        self.error: Exception | None = None
        self._log = log
        self._event = event
        self._ids = ids

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        self._log.error(self._event, **self._ids, error=kind_of(error), at=frames_of(error))
        return True


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
