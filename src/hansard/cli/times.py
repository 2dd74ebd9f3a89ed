"""Times as people type them: a moment, a day, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from hansard.clock import now_us
from hansard.core.errors import InvalidInput
from hansard.core.ids import Clock
from hansard.core.times import parse_us

_AGO = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Moment(click.ParamType[int]):
    """A time in microseconds: RFC 3339, a day (its beginning, here), or ``90m``, ``30d``.

    Attributes:
        direction: -1 if such a length of time lies behind us, 1 if before us.
    """

    name = "time"

    def __init__(self, direction: int, clock: Clock = now_us) -> None:
        self.direction = direction
        self._clock = clock

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if length := _AGO.fullmatch(text):
            seconds = int(length[1]) * _SECONDS[length[2]]
            return self._clock() + self.direction * seconds * 1_000_000
        try:
            if _DAY.fullmatch(text):
                day = datetime.fromisoformat(text).astimezone(UTC)
                return parse_us(day.isoformat())
            return parse_us(text)
        except (InvalidInput, ValueError):
            self.fail("must be like 2026-01-31, 2026-01-31T12:00:00Z, 12h or 30d", param, ctx)


AGO: Final = Moment(-1)
AHEAD: Final = Moment(1)
