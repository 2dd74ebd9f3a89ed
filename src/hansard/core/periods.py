"""Periods: stretches of the calendar that follow each other without a gap.

... | window | window | window | ...      in a time zone, or one that never ends
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

PERIODS: Final = ("total", "hour", "day", "week", "month")
ZONE_LENGTH_MAX = 64
FOREVER_US: Final = -(2**63)
"""Start of the window that never ends."""

_HOUR_US = 3_600_000_000
_QUARTER_S = 900  # every offset of a time zone in use is a multiple of a quarter hour
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NO_TIME: Final = timedelta()


class Window(NamedTuple):
    """A stretch of time, in microseconds; ``end_us`` is None if it never ends."""

    start_us: int
    end_us: int | None


def find_window(period: str, time_zone: str, at_us: int) -> Window:
    """Find the window of a moment.

    Days begin at midnight, weeks on Monday, months on the first, by the clocks of the zone. An
    hour is always an hour: where clocks are set back, it comes twice.

    >>> find_window("day", "Europe/Berlin", 1_700_000_000_000_000)
    Window(start_us=1699916400000000, end_us=1700002800000000)
    """
    return _find_window(period, time_zone, at_us // (_QUARTER_S * 1_000_000))


@lru_cache(maxsize=4_096)
def _find_window(period: str, time_zone: str, quarter: int) -> Window:
    if period == "total":
        return Window(FOREVER_US, None)
    now = datetime.fromtimestamp(quarter * _QUARTER_S, UTC).astimezone(ZoneInfo(time_zone))
    if period == "hour":
        return _find_hour(now)
    start = now.replace(hour=0, minute=0, fold=0)
    if period == "week":
        start -= timedelta(days=start.weekday())
    if period == "month":
        start = start.replace(day=1)
    days = {"day": 1, "week": 7, "month": 32}[period]
    end = start + timedelta(days=days)
    if period == "month":
        end = end.replace(day=1)
    return Window(_instant_us(start), _instant_us(end))


def _find_hour(now: datetime) -> Window:
    """Find the hour, as it is cut in winter: in some zones clocks move by other than hours."""
    winter = (now.utcoffset() or _NO_TIME) - (now.dst() or _NO_TIME)
    at_us = _instant_us(now)
    start_us = at_us - (at_us + winter // _MICROSECOND) % _HOUR_US
    return Window(start_us, start_us + _HOUR_US)


def _instant_us(moment: datetime) -> int:
    """The instant that a reading of a clock stands for, the first of two."""
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND


def is_zone(name: str) -> bool:
    """Tell whether that is the IANA name of a time zone that is known here."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
