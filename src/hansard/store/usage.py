"""Usage in SQL: entries that are only added, and sums kept beside them.

    usage_entries --sum--> session_usage (session, hour, model, ...)
                  `-sum--> hourly_usage (hour, model, owner, agent, key)

Sums are kept in the transaction that adds an entry. Nobody waits for another session: the
rows of a session are written under its lock, and of the rows that sessions share every
connection has its own ``lane``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import add
from typing import Any, Final

from msgspec.structs import astuple

from hansard.core.actors import Actor
from hansard.core.errors import NotFound
from hansard.core.reports import HOUR_US
from hansard.core.usage import (
    NO_USAGE,
    PART_FIELDS,
    RECONCILED,
    ChargedUsage,
    ModelUsage,
    NewUsage,
    UsageEntry,
    UsageTotals,
)
from hansard.store.database import ForRows, Row, Tx, one
from hansard.store.sessions import Head

IMPORT_LANE: Final = 0
"""Lane of imports, which move no budget and take long."""

KIND_CALL: Final = "call"
KIND_IMPORT: Final = "import"

_PARTS = slice(11, 16)  # of a NewUsage's fields
_NO_PARTS: Final = (0,) * len(PART_FIELDS)

Known = tuple[NewUsage, str | None]
"""A recorded entry as its caller gave it, and what its caller was told of it alone."""


def entries_of(rows: Iterable[Row]) -> dict[tuple[str, str, str], Known]:
    """Build what is known of entries from rows of ``usage_find``, by tenant, session and event."""
    return {(row[0], row[1], row[2]): (_given(row[2:-1]), row[-1]) for row in rows}


def as_given(charged: ChargedUsage) -> NewUsage:
    """A call as ``entries_of`` gives it back."""
    usage = charged.usage
    if usage.confidence:
        return usage
    values = list(astuple(usage))
    values[16] = charged.confidence
    return _new_usage(values)


def stands_for(known: NewUsage, charged: ChargedUsage) -> bool:
    """Whether a recorded call is the one given, or what somebody found out about it since."""
    given = as_given(charged)
    return known == given or (known.confidence == RECONCILED != given.confidence)


def row_of(
    head: Head,
    charged: ChargedUsage,
    turn_id: str | None,
    recorded_at_us: int,
    *,
    key_id: str | None = None,
    receipt: str | None = None,
) -> Row:
    """The row of one call; ``receipt`` is what its caller is told, if it has no turn."""
    values = astuple(charged.usage)
    return (
        *head.key,
        values[0],
        turn_id,
        KIND_CALL,
        None,
        head.owner,
        head.agent,
        key_id,
        *values[1:8],
        charged.cost_nanousd,
        *values[9:11],
        _write_parts(values[_PARTS]),
        charged.confidence,
        values[17],
        charged.price_version,
        recorded_at_us,
        receipt,
    )


def row_of_entry(head: Head, entry: UsageEntry, *, kind: str) -> Row:
    """The row of an entry that was recorded elsewhere, or that takes another back."""
    values = astuple(entry)
    return (
        *head.key,
        values[0],
        entry.turn_id,
        kind,
        entry.reverses,
        head.owner,
        head.agent,
        entry.key_id,
        *values[1:11],
        _write_parts(values[_PARTS]),
        *values[16:18],
        entry.price_version,
        entry.recorded_at_us,
        None,
    )


class Sums:
    """What is to be added to the sums by session and by hour."""

    def __init__(self, lane: int) -> None:
        self._lane = lane
        self._by_session: dict[Row, UsageTotals] = {}
        self._by_hour: dict[Row, UsageTotals] = {}

    def add(
        self,
        head: Head,
        key_id: str | None,
        usage: NewUsage,
        totals: UsageTotals,
        recorded_at_us: int,
    ) -> None:
        """Add what one entry adds to totals."""
        hour_us = recorded_at_us - recorded_at_us % HOUR_US
        call = (usage.provider, usage.model, head.owner or "", head.agent or "")
        lane = self._lane if not head.session_id else min(self._lane, 1)
        session = (*head.key, hour_us, *call, lane)
        hour = (head.tenant_id, hour_us, *call, key_id or "", self._lane)
        _add(self._by_session, session, totals)
        _add(self._by_hour, hour, totals)

    def writes(self) -> list[ForRows]:
        """What to write, in one order."""
        return [
            ("session_usage_add", _rows(self._by_session)),
            ("hourly_usage_add", _rows(self._by_hour)),
        ]


def list_models(tx: Tx, actor: Actor, session_id: str) -> list[ModelUsage]:
    """Return a session's sums by model."""
    rows = tx.rows("model_usage_list", tenant_id=actor.tenant_id, session_id=session_id)
    return [ModelUsage(provider=row[0], model=row[1], totals=UsageTotals(*row[2:])) for row in rows]


def get(tx: Tx, actor: Actor, session_id: str, event_id: str) -> UsageEntry:
    """Return one entry that is no import, and takes none back.

    Raises:
        NotFound: ``usage_not_found``.
    """
    row = one(tx, "usage_get", tenant_id=actor.tenant_id, session_id=session_id, event_id=event_id)
    if row is None:
        raise NotFound(f"no usage entry {event_id!r}", code="usage_not_found", event_id=event_id)
    return _entry(row)


def list_page(tx: Tx, actor: Actor, session_id: str, *, after: str, limit: int) -> list[UsageEntry]:
    """Return a session's entries after an event id, in the order of ids."""
    rows = tx.rows(
        "usage_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    return [_entry(row) for row in rows]


def _add(sums: dict[Row, UsageTotals], key: Row, totals: UsageTotals) -> None:
    """Add to one sum; one that no column can hold is the database's to refuse."""
    sums[key] = UsageTotals._make(map(add, sums.get(key, NO_USAGE), totals))


def _rows(sums: dict[Row, UsageTotals]) -> list[Row]:
    return [(*key, *sums[key]) for key in sorted(sums)]


def _write_parts(parts: Row) -> str | None:
    """Write the rarer counts as JSON; None if there are none."""
    if parts == _NO_PARTS:
        return None
    return json.dumps({name: n for name, n in zip(PART_FIELDS, parts, strict=True) if n})


def _read_parts(text: str | None) -> list[int]:
    parts = json.loads(text) if text else {}
    return [parts.get(name, 0) for name in PART_FIELDS]


def _given(row: Row) -> NewUsage:
    """A recorded call as its caller gave it: without the cost, if a table said it."""
    *values, price_version = row
    if price_version is not None:
        values[8] = None
    return _new_usage([*values[:11], *_read_parts(values[11]), *values[12:]])


def _new_usage(values: list[Any]) -> NewUsage:
    return NewUsage(**dict(zip(NewUsage.__struct_fields__, values, strict=True)))


def _entry(row: Row) -> UsageEntry:
    *values, price_version, turn_id, recorded_at_us, reverses, key_id = row
    usage = [*values[:11], *_read_parts(values[11]), *values[12:]]
    return UsageEntry(
        **dict(zip(NewUsage.__struct_fields__, usage, strict=True)),
        turn_id=turn_id,
        recorded_at_us=recorded_at_us,
        price_version=price_version,
        reverses=reverses,
        key_id=key_id,
    )
