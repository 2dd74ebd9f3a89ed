"""Traces in SQL; a caller that does not see all reaches its own only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hansard.core.actors import Actor
from hansard.core.errors import NotFound
from hansard.core.traces import NewTrace, TraceQuery
from hansard.store.database import Tx


class StoredSummary(NamedTuple):
    """A trace as a list shows it: its sort position, and its summary as JSON."""

    started_at_us: int
    trace_id: str
    text: str


def save(tx: Tx, actor: Actor, trace: NewTrace, saved_at_us: int) -> None:
    """Add a trace, or replace the one of its id, whose owner stays.

    Raises:
        NotFound: If there is one that is not within the actor's reach.
    """
    saved = tx.rows(
        "trace_save",
        [] if actor.sees_all else ["owned"],
        tenant_id=actor.tenant_id,
        trace_id=trace.trace_id,
        owner=actor.owner,
        session_id=trace.session_id,
        model=trace.model,
        status=trace.status,
        started_at_us=trace.started_at_us,
        saved_at_us=saved_at_us,
        summary=trace.summary,
        body=trace.body,
    )
    if not saved:
        raise _not_found(trace.trace_id)


def get(tx: Tx, actor: Actor, trace_id: str) -> str:
    """Return a trace as JSON.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    reach = _reach(actor)
    rows = tx.rows("trace_get", [*reach], tenant_id=actor.tenant_id, trace_id=trace_id, **reach)
    if not rows:
        raise _not_found(trace_id)
    text: str = rows[0][0]
    return text


def list_page(
    tx: Tx, actor: Actor, query: TraceQuery, position: Sequence[Any] | None
) -> list[StoredSummary]:
    """Return up to ``limit + 1`` summaries after ``position``, newest start first."""
    filters = _reach(actor)
    for name in ("session_id", "model", "status", "since_us", "until_us"):
        if getattr(query, name) is not None:
            filters[name] = getattr(query, name)
    options = [*filters]
    if position is not None:
        options.append("before")
        filters |= {"before_us": position[0], "before_id": position[1]}
    rows = tx.rows(
        "trace_list",
        options,
        tenant_id=actor.tenant_id,
        limit=query.limit + 1,
        offset=query.offset,
        **filters,
    )
    return [StoredSummary(*row) for row in rows]


def purge_before(tx: Tx, tenant_id: str, before_us: int, limit: int) -> int:
    """Remove up to ``limit`` traces last saved before a moment; return how many."""
    return len(tx.rows("trace_purge", tenant_id=tenant_id, before_us=before_us, limit=limit))


def _reach(actor: Actor) -> dict[str, Any]:
    return {} if actor.sees_all else {"owner": actor.owner}


def _not_found(trace_id: str) -> NotFound:
    return NotFound(f"no trace {trace_id!r}", code="trace_not_found", trace_id=trace_id)
