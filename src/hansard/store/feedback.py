"""Feedback in SQL; a caller that does not see all reaches its own only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hansard.core.actors import Actor
from hansard.core.errors import NotFound
from hansard.core.feedback import (
    ANONYMOUS,
    COUNTS_MAX,
    ORIGIN_US,
    Feedback,
    FeedbackChanges,
    FeedbackCount,
    FeedbackQuery,
    StatsQuery,
)
from hansard.store.database import Row, Tx


def insert(tx: Tx, actor: Actor, feedback: Feedback) -> None:
    """Add feedback."""
    tx.run("feedback_insert", tenant_id=actor.tenant_id, **asdict(feedback))


def get(tx: Tx, actor: Actor, feedback_id: str) -> Feedback:
    """Return feedback.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    reach = _reach(actor)
    rows = tx.rows(
        "feedback_get", [*reach], tenant_id=actor.tenant_id, feedback_id=feedback_id, **reach
    )
    return _only(rows, feedback_id)


def update(tx: Tx, actor: Actor, feedback_id: str, changes: FeedbackChanges) -> Feedback:
    """Change feedback, and return it as it is then.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    reach = _reach(actor)
    rows = tx.rows(
        "feedback_update",
        [*reach],
        tenant_id=actor.tenant_id,
        feedback_id=feedback_id,
        **asdict(changes),
        **reach,
    )
    return _only(rows, feedback_id)


def list_page(
    tx: Tx, actor: Actor, query: FeedbackQuery, position: Sequence[Any] | None
) -> list[Feedback]:
    """Return up to ``limit + 1`` pieces of feedback after ``position``, newest first."""
    filters: dict[str, Any] = {
        name: getattr(query, name)
        for name in (
            "trace_id",
            "session_id",
            "model_id",
            "agent_type",
            "rating",
            "since_us",
            "until_us",
        )
        if getattr(query, name) is not None
    }
    filters |= _reach(actor)
    if query.user_id is not None:
        if not actor.sees_all and query.user_id != actor.owner:
            return []
        filters["anonymous" if query.user_id == ANONYMOUS else "owner"] = query.user_id
    options = [*filters]
    if position is not None:
        options.append("before")
        filters |= {"before_us": position[0], "before_id": position[1]}
    rows = tx.rows(
        "feedback_list",
        options,
        tenant_id=actor.tenant_id,
        limit=query.limit + 1,
        offset=query.offset,
        **filters,
    )
    return [Feedback(**_fields(row)) for row in rows]


def count(tx: Tx, actor: Actor, query: StatsQuery) -> list[FeedbackCount]:
    """Return thumbs by window and type of agent, oldest first, up to ``COUNTS_MAX + 1``."""
    filters = _reach(actor)
    for name in ("agent_type", "since_us", "until_us"):
        if getattr(query, name) is not None:
            filters[name] = getattr(query, name)
    rows = tx.rows(
        "feedback_count",
        [*filters],
        tenant_id=actor.tenant_id,
        origin_us=ORIGIN_US,
        length_us=query.length_us,
        limit=COUNTS_MAX + 1,
        **filters,
    )
    return [
        FeedbackCount(
            window_start_us=row[0],
            window_end_us=row[0] + query.length_us,
            agent_type=row[1],
            thumbs_up=row[2],
            thumbs_down=row[3],
        )
        for row in rows
    ]


def purge_before(tx: Tx, tenant_id: str, before_us: int, limit: int) -> int:
    """Remove up to ``limit`` pieces of feedback from before a moment; return how many."""
    return len(tx.rows("feedback_purge", tenant_id=tenant_id, before_us=before_us, limit=limit))


def _reach(actor: Actor) -> dict[str, Any]:
    return {} if actor.sees_all else {"owner": actor.owner}


def _only(rows: list[Row], feedback_id: str) -> Feedback:
    if not rows:
        raise NotFound(
            f"no feedback {feedback_id!r}", code="feedback_not_found", feedback_id=feedback_id
        )
    return Feedback(**_fields(rows[0]))


def _fields(row: Row) -> dict[str, Any]:
    return dict(zip(Feedback.__slots__, row, strict=True))
