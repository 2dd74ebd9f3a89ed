"""Time: ``int`` microseconds since 1970 UTC inside, RFC 3339 in UTC outside."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from hansard.core.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LOCAL = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?"
_WITHOUT_ZONE = re.compile(_LOCAL, re.ASCII)
_RFC3339 = re.compile(_LOCAL + r"([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_us(time_us: int) -> str:
    """Write a time as RFC 3339 with six decimals.

    >>> format_us(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001Z'
    """
    seconds, microseconds = divmod(time_us, 1_000_000)
    return f"{_format_seconds(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=1024)  # times of one answer mostly lie close together
def _format_seconds(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")


def check_us(time_us: object, field: str) -> int:
    """Return a time if it is one that can be written.

    Raises:
        InvalidInput: Unless it is microseconds within the years 1 to 9999.
    """
    if type(time_us) is not int or not _EARLIEST_US <= time_us <= _LATEST_US:
        raise InvalidInput(
            f"{field} must be microseconds since 1970, within the years 1 to 9999",
            code="invalid_time",
            field=field,
        )
    return time_us


def parse_us(text: object, field: str = "time") -> int:
    """Read an RFC 3339 time; digits past the microsecond are cut.

    Raises:
        InvalidInput: If it is not RFC 3339 with a zone, or not a date.

    >>> parse_us("2023-11-14T23:13:20.000001+01:00")
    1700000000000001
    """
    if isinstance(text, str) and (match := _RFC3339.fullmatch(text)):
        fraction = match[1] or ""
        cut = text.replace(fraction, fraction[:7], 1) if fraction else text
        with suppress(ValueError):
            time_us = (datetime.fromisoformat(cut.upper()) - _EPOCH) // _MICROSECOND
            if _EARLIEST_US <= time_us <= _LATEST_US:
                return time_us
    raise InvalidInput(
        f"{field} must be an RFC 3339 time with a zone, such as 2026-01-31T12:00:00Z",
        code="invalid_time",
        field=field,
    )


def parse_utc_us(text: object, field: str = "time") -> tuple[int, bool]:
    """Read a time that may lack its zone, which is then taken as UTC; tell if it did.

    >>> parse_utc_us("2023-11-14 22:13:20.000001")
    (1700000000000001, True)
    """
    lacks_zone = isinstance(text, str) and _WITHOUT_ZONE.fullmatch(text) is not None
    return parse_us(f"{text}Z" if lacks_zone else text, field), lacks_zone
