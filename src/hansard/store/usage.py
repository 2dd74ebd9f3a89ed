"""Usage in SQL: entries that are only added, and sums kept beside them.

    usage_entries --sum--> session_usage (session, hour, model, ...)
                  |-sum--> hourly_usage (hour, model, owner, agent, key)
                  `-sum--> hourly_usage (hour, model), as whole_usage: of the whole tenant

Sums are kept in the transaction that adds an entry. Nobody waits for another session: the
rows of a session are written under its lock, and of the rows that sessions share every
connection has its own ``lane``:

    0           imports, which move no budget
    1, 2, ...   connections; a session, which is locked, has 1
    ~lane < 0   the same of the whole tenant
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from hansard.core.actors import Actor
from hansard.core.budgets import Subjects
from hansard.core.errors import NotFound
from hansard.core.ids import is_session_id
from hansard.core.reports import HOUR_US
from hansard.core.usage import (
    PART_FIELDS,
    ChargedUsage,
    ModelUsage,
    NewUsage,
    UsageEntry,
    UsageTotals,
    add_totals,
)
from hansard.store.database import ForRows, Row, Tx, one

IMPORT_LANE: Final = 0
SESSION_LANE: Final = 1

SHARED_MAX: Final = 10**10
"""Most of a count, so $10, in a sum that owners share: a column has room for 900 million such
calls an hour. What is larger is summed by owner, so that nobody fills what others add to."""

KIND_CALL: Final = "call"
KIND_IMPORT: Final = "import"

_PARTS = slice(11, 16)  # of a NewUsage's fields
_NO_PARTS: Final = (0,) * len(PART_FIELDS)


class Known(NamedTuple):
    """An entry that is recorded.

    Attributes:
        given: As its caller gave it.
        at_us: When it counts; one of that name in another session of that name is not of then.
        told: What its caller was told of it alone, if it has no turn.
    """

    given: NewUsage
    at_us: int
    told: str | None


def entries_of(rows: Iterable[Row]) -> dict[tuple[str, str, str], Known]:
    """Build what is known of entries from rows of ``usage_find``, by tenant, session and event."""
    return {(row[0], row[1], row[2]): Known(_given(row[2:-2]), row[-2], row[-1]) for row in rows}


class PlacedCall(Struct, frozen=True):
    """A call that is to be counted: on whose account, when, and maybe in place of another."""

    charged: ChargedUsage
    account: Subjects
    at_us: int
    reversal: UsageEntry | None

    @property
    def settles(self) -> str:
        """The call whose hold ends with it: itself, or the one that it corrects."""
        if self.reversal is None:
            return self.charged.usage.event_id
        assert self.reversal.reverses is not None
        return self.reversal.reverses

    def totals(self) -> UsageTotals:
        """What it adds to totals, less what it takes back."""
        totals = self.charged.totals()
        return totals if self.reversal is None else totals.plus(self.reversal.totals())


def as_given(charged: ChargedUsage) -> NewUsage:
    """A call as ``entries_of`` gives it back."""
    usage = charged.usage
    if usage.confidence:
        return usage
    values = list(astuple(usage))
    values[16] = charged.confidence
    return _new_usage(values)


def row_of(
    tenant_id: str, call: PlacedCall, turn_id: str | None, *, receipt: str | None = None
) -> Row:
    """The row of one call; ``receipt`` is what its caller is told, if it has no turn."""
    charged, account = call.charged, call.account
    values = astuple(charged.usage)
    return (
        tenant_id,
        account.session,
        values[0],
        turn_id,
        KIND_CALL,
        None,
        account.owner or None,
        account.agent or None,
        account.key or None,
        *values[1:8],
        charged.cost_nanousd,
        *values[9:11],
        _write_parts(values[_PARTS]),
        charged.confidence,
        values[17],
        charged.price_version,
        call.at_us,
        receipt,
    )


def row_of_entry(tenant_id: str, account: Subjects, entry: UsageEntry, *, kind: str) -> Row:
    """The row of an entry that was recorded elsewhere, or that takes another back."""
    values = astuple(entry)
    return (
        tenant_id,
        account.session,
        values[0],
        entry.turn_id,
        kind,
        entry.reverses,
        account.owner or None,
        account.agent or None,
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
        self, tenant_id: str, account: Subjects, usage: NewUsage, totals: UsageTotals, at_us: int
    ) -> None:
        """Add what one entry adds to totals, in the hour in which it counts."""
        hour_us = at_us - at_us % HOUR_US
        model = (usage.provider, usage.model)
        whose = (account.owner, account.agent)
        lane = min(self._lane, SESSION_LANE) if is_session_id(account.session) else self._lane
        session = (tenant_id, account.session, hour_us, *model, *whose, lane)
        add_totals(self._by_session, session, totals)
        hour = (tenant_id, hour_us, *model)
        part = (*whose, account.key)
        whole = part if max(map(abs, totals)) > SHARED_MAX else ("", "", "")
        add_totals(self._by_hour, (*hour, *part, self._lane), totals)
        add_totals(self._by_hour, (*hour, *whole, ~self._lane), totals)

    def writes(self) -> list[ForRows]:
        """What to write.

        Two connections on one lane may lock the rows in either order; one is then tried again.
        """
        return [
            ("session_usage_add", _rows(self._by_session)),
            ("hourly_usage_add", _rows(self._by_hour)),
        ]


def list_models(tx: Tx, actor: Actor, session_id: str) -> list[ModelUsage]:
    """Return a session's sums by model."""
    rows = tx.rows("model_usage_list", tenant_id=actor.tenant_id, session_id=session_id)
    return [ModelUsage(provider=row[0], model=row[1], totals=UsageTotals(*row[2:])) for row in rows]


def get(
    tx: Tx, actor: Actor, session_id: str, event_id: str, *, anywhere: bool = False
) -> tuple[Subjects, UsageEntry]:
    """Return one entry that is no import and takes none back, and on whose account it goes.

    Args:
        tx: The transaction.
        actor: Who asks.
        session_id: The session under whose name it stands.
        event_id: The call.
        anywhere: It may be under the name that the session has since it was deleted, or under
            none.

    Raises:
        NotFound: ``usage_not_found``.
    """
    query = "usage_get_anywhere" if anywhere else "usage_get"
    row = one(tx, query, tenant_id=actor.tenant_id, session_id=session_id, event_id=event_id)
    if row is None or not actor.may_see(row[0]):
        raise not_found(event_id)
    owner, agent, found_in = row[:3]
    entry = _entry(row[3:])
    return Subjects(owner or "", agent or "", found_in, entry.key_id or ""), entry


def not_found(event_id: str) -> NotFound:
    """The error for an entry that is not there."""
    return NotFound(f"no usage entry {event_id!r}", code="usage_not_found", event_id=event_id)


def list_page(tx: Tx, actor: Actor, session_id: str, *, after: str, limit: int) -> list[UsageEntry]:
    """Return a session's entries after an event id, in the order of ids."""
    rows = tx.rows(
        "usage_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    return [_entry(row) for row in rows]


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
