"""Lists of sessions in SQL: one projection, in any order, without histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hansard.core.actors import Actor
from hansard.core.sessions import Session, SessionQuery
from hansard.store.database import Tx
from hansard.store.sessions import load_object, session_of


def list_page(
    tx: Tx, actor: Actor, query: SessionQuery, position: Sequence[Any] | None
) -> list[Session]:
    """Return up to ``limit + 1`` sessions after ``position`` in the query's order."""
    column = query.sort.removeprefix("-")
    descending = query.sort.startswith("-")
    filters = {
        "owner": query.owner if actor.sees_all else actor.owner,
        "agent": query.agent,
        "archived": query.archived,
        "created_after_us": query.created_after_us,
        "created_before_us": query.created_before_us,
        "updated_after_us": query.updated_after_us,
        "search": None if query.search is None else like(query.search),
    }
    if not actor.sees_all and query.owner not in {None, actor.owner}:
        return []
    chosen = {name: value for name, value in filters.items() if value is not None}
    options = [*chosen, f"sort_{column}" + ("_descending" if descending else "")]
    if position is not None:
        options.append(f"{'before' if descending else 'after'}_{column}")
        chosen |= {"after": position[0], "after_id": position[1]}
    rows = tx.rows(
        "session_list", options, tenant_id=actor.tenant_id, limit=query.limit + 1, **chosen
    )
    return [session_of(row) for row in rows]


def with_cost_data(tx: Tx, actor: Actor, listed: Sequence[Session]) -> list[Session]:
    """Add to sessions of a list what that leaves out: their ``cost_data``."""
    keys = [(actor.tenant_id, session.id) for session in listed]
    (rows,) = tx.look_up(("cost_data_find", keys))
    found = {row[1]: load_object(row[2]) for row in rows}
    return [replace(session, cost_data=found[session.id]) for session in listed]


def list_ids_by_prefix(tx: Tx, actor: Actor, prefix: str, limit: int) -> list[str]:
    """Return ids that begin with ``prefix``, in order."""
    owner = {} if actor.sees_all else {"owner": actor.owner}
    rows = tx.rows(
        "session_list_by_prefix",
        [*owner],
        tenant_id=actor.tenant_id,
        first=prefix,
        beyond=prefix + "\x7f",
        limit=limit,
        **owner,
    )
    return [row[0] for row in rows]


def like(text: str) -> str:
    """Make a pattern of a text that may stand anywhere, in any case (ASCII)."""
    escaped = "".join("\\" + sign if sign in "\\%_" else sign for sign in _ascii_lower(text))
    return f"%{escaped}%"


def _ascii_lower(text: str) -> str:
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)
