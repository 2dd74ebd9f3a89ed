"""Steps: many rows cut into statements of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

ROWS_MAX = 500  # of one statement
BYTES_MAX = 4 * 1024 * 1024  # and what they hold, before the last: far below a driver's limit


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
