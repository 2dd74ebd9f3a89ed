"""Events in SQL: one row for each version of a session."""

from __future__ import annotations

from hansard.core.actors import Actor
from hansard.core.events import Event
from hansard.store.database import Tx


def list_page(tx: Tx, actor: Actor, session_id: str, *, after: int, limit: int) -> list[Event]:
    """Return a session's events after a number, in order."""
    rows = tx.rows(
        "event_list",
        tenant_id=actor.tenant_id,
        session_id=session_id,
        after=after,
        limit=limit,
    )
    return [
        Event(
            number=row[0],
            kind=row[1],
            turn_id=row[2],
            first_seq=row[3],
            last_seq=row[4],
            message_count=row[5],
            created_at_us=row[6],
        )
        for row in rows
    ]
