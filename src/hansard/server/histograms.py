"""Histograms of durations, in plain lists: the client library's own take locks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Durations:
    """How long things of one kind took.

    Args:
        bounds_s: Upper bounds of the buckets, in seconds, ascending.
    """

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds, and how many took at most so long."""
        names = [*map(str, self._bounds_s), "+Inf"]
        total, found = 0, []
        for name, count in zip(names, self._counts, strict=True):
            total += count
            found.append((name, float(total)))
        return found
