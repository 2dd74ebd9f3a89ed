"""Usage in SQL: entries that are only added, and sums kept beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import astuple

from hansard.core.actors import Actor
from hansard.core.usage import ModelUsage, NewUsage, UsageEntry, UsageTotals
from hansard.store.database import ForRows, Row, Tx
from hansard.store.sessions import Head

_FIELDS = NewUsage.__struct_fields__

Known = tuple[NewUsage, str | None]
"""A recorded entry, and what its caller was told of it alone."""


def entries_of(rows: Iterable[Row]) -> dict[tuple[str, str, str], Known]:
    """Build what is known of entries from rows of ``usage_find``, by tenant, session and event."""
    return {(row[0], row[1], row[2]): (_new_usage(row[2:-1]), row[-1]) for row in rows}


def row_of(
    head: Head,
    entry: NewUsage,
    turn_id: str | None,
    recorded_at_us: int,
    receipt: str | None = None,
) -> Row:
    """The row of one entry; ``receipt`` is what its caller is told, if it has no turn."""
    event_id, *values = astuple(entry)[: len(_FIELDS)]
    return (*head.key, event_id, turn_id, *values, recorded_at_us, receipt)


def add_to_models(sums: Mapping[tuple[str, str, str, str], UsageTotals]) -> ForRows:
    """Add to the sums by (tenant, session, provider, model), in one order."""
    return "model_usage_add", [(*key, *sums[key]) for key in sorted(sums)]


def list_models(tx: Tx, actor: Actor, session_id: str) -> list[ModelUsage]:
    """Return a session's sums by model."""
    rows = tx.rows("model_usage_list", tenant_id=actor.tenant_id, session_id=session_id)
    return [ModelUsage(provider=row[0], model=row[1], totals=UsageTotals(*row[2:])) for row in rows]


def list_page(tx: Tx, actor: Actor, session_id: str, *, after: str, limit: int) -> list[UsageEntry]:
    """Return a session's entries after an event id, in the order of ids."""
    rows = tx.rows(
        "usage_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    names = (*_FIELDS, "turn_id", "recorded_at_us")
    return [UsageEntry(**dict(zip(names, row, strict=True))) for row in rows]


def _new_usage(values: Row) -> NewUsage:
    return NewUsage(**dict(zip(_FIELDS, values, strict=True)))
