"""Columns of foreign tables: what must be there, and what their values say."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from hansard.core.documents import DocumentSession
from hansard.core.errors import InvalidInput
from hansard.core.ids import check_id
from hansard.core.strict_json import DEPTH_MAX, canonicalize, loads
from hansard.core.times import parse_utc_us
from hansard.core.usage import TOKEN_FIELDS, UsageEntry
from hansard.store.foreign.places import Place, is_plain

T = TypeVar("T")

NATIVE = frozenset(
    {
        "created_at",
        "updated_at",
        "timestamp",
        "sequence",
        "input_tokens",
        "output_tokens",
        "estimated_cost",
    }
)
"""Columns whose values are taken as the driver gives them; others are read as text."""

WITHOUT_ZONE = "times without a zone were taken as UTC"
FRESH_ID = "an id that the record does not take was kept in the metadata; the session has a new one"


def require(place: Place, table: str, needed: frozenset[str]) -> list[str]:
    """Return a table's columns that can be read, if those needed are among them.

    Raises:
        InvalidInput: ``unknown_schema``, naming what is missing.
    """
    columns = [column for column in place.columns(table) if is_plain(column)]
    missing = sorted(needed.difference(columns))
    if missing:
        raise InvalidInput(
            f"table {table} has no column {', '.join(missing)}",
            code="unknown_schema",
            table=table,
            missing=missing,
        )
    return columns


def read_time(value: object, losses: list[str]) -> int:
    """Read a time, given as text or by the driver; note it if the zone is missing."""
    text = value.isoformat() if isinstance(value, datetime) else value
    time_us, lacked_zone = parse_utc_us(text)
    if lacked_zone and WITHOUT_ZONE not in losses:
        losses.append(WITHOUT_ZONE)
    return time_us


def read_json(text: str | None, kind: type[T], field: str, *, around: int = 0) -> T:
    """Read a JSON value of a kind; NULL, ``null`` and the empty text are an empty one.

    ``around`` levels wrap what the record holds.
    """
    value = loads(text, depth_max=DEPTH_MAX + around) if text else None
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise InvalidInput(f"{field} is not the JSON that belongs there", code="invalid_field")
    return value


def read_id(value: str | None, noun: str) -> str | None:
    """Return an id if the record can hold it, else None."""
    try:
        return check_id(value, noun)
    except InvalidInput:
        return None


@contextmanager
def naming(session_id: object) -> Generator[None]:
    """Say of which session an error is."""
    try:
        yield
    except InvalidInput as exc:
        raise InvalidInput(
            f"session {session_id}: {exc.message}", code=exc.code, **exc.details
        ) from exc


def make_key(session: DocumentSession, usage: Sequence[UsageEntry], *content: Any) -> str:
    """Make a document's key: the same as long as the session stays what it is."""
    entries = [_keyed(entry) for entry in usage]
    parts = [dataclasses.asdict(session), entries, *content]
    return f"sha256:{hashlib.sha256(canonicalize(parts)).hexdigest()}"


def _keyed(entry: UsageEntry) -> dict[str, Any]:
    """What of an entry is part of a key: always the same, or what was imported comes again."""
    fields = ("event_id", "provider", "model", *TOKEN_FIELDS, "turn_id", "recorded_at_us")
    return {
        **{field: getattr(entry, field) for field in fields},
        "cost_nanousd": entry.cost_nanousd or 0,
    }
