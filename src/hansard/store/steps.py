"""Steps: many rows cut into statements of bounded size, and kept on disk until they are run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Generic, TypeVar

T = TypeVar("T")

ROWS_MAX = 500  # of one statement
BYTES_MAX = 4 * 1024 * 1024  # and what they hold, before the last: far below a driver's limit
SPOOL_BYTES = 1024 * 1024  # a spool up to this size stays in memory


def in_steps(items: Iterable[T], size_bytes: Callable[[T], int] | None = None) -> Iterator[list[T]]:
    """Cut items, in order, into lists that one statement can take.

    >>> [len(step) for step in in_steps(range(1001))]
    [500, 500, 1]
    >>> [len(step) for step in in_steps(range(3), lambda _: BYTES_MAX)]
    [1, 1, 1]
    """
    step: list[T] = []
    total = 0
    for item in items:
        step.append(item)
        total += size_bytes(item) if size_bytes else 0
        if len(step) == ROWS_MAX or total >= BYTES_MAX:
            yield step
            step, total = [], 0
    if step:
        yield step


class Spool(Generic[T]):
    """Items in a temporary file, read back in their order, and as often as need be.

    >>> spool = Spool()
    >>> spool.put("a")
    >>> spool.put("b")
    >>> list(spool), list(spool)
    (['a', 'b'], ['a', 'b'])
    >>> spool.close()
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed by close

    def put(self, item: T) -> None:
        """Add an item; none is added once reading has begun."""
        pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)

    def __iter__(self) -> Iterator[T]:
        end = self._file.seek(0, io.SEEK_END)
        self._file.seek(0)
        while self._file.tell() < end:
            yield pickle.load(self._file)  # noqa: S301 - nobody else writes to this file

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
