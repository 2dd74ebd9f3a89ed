"""The clock: where the record takes the time from, unless it is given another."""

from __future__ import annotations

import time


def now_us() -> int:
    """Return the present time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000
