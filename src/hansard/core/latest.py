"""The latest: what is remembered of those who may come by as many names as they like."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Latest(OrderedDict[K, V]):
    """A mapping of the keys that were put last, so many at most.

    No plain dict: to remove its first entry again and again takes quadratic time.

    >>> latest = Latest[str, int](2)
    >>> for name in "abac":
    ...     latest.put(name, 1)
    >>> list(latest)
    ['a', 'c']
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: K, value: V) -> None:
        """Remember a value; the key that was put longest ago may be forgotten for it."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
