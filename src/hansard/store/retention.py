"""Retention in SQL: rules, and what is older than they allow counted and removed.

A removal takes a bounded number of rows. Removals wait for each other, which spares the
database; two at once would do no harm.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hansard.core.actors import Actor
from hansard.core.retention import RetentionRule
from hansard.store import feedback, legal_holds, sessions, traces
from hansard.store.database import Tx, one
from hansard.store.sessions import Key

REMOVED_MAX: Final = 200  # rows of one kind removed in one transaction
REMOVED_ROWS_MAX: Final = 2_000  # messages and calls of its sessions, before the last
_TURN: Final = 0x72657461696E  # "retain": the lock of PostgreSQL that removals wait for
_COUNTS: Final = {
    "sessions": "session_count_untouched",
    "traces": "trace_count_old",
    "feedback": "feedback_count_old",
    "holds": "hold_count_old",
    "alerts": "alert_count_old",
}


class Purged(NamedTuple):
    """Sessions, and the messages that they held."""

    sessions: int
    messages: int


def list_rules(tx: Tx, tenant_id: str) -> list[RetentionRule]:
    """Return a tenant's rules and those of every tenant."""
    rows = tx.rows("retention_find", tenant_id=tenant_id)
    return [RetentionRule(tenant_id=row[0], kind=row[1], keep_days=row[2]) for row in rows]


def put(tx: Tx, tenant_id: str, kind: str, keep_days: int | None, now_us: int) -> None:
    """Make or change a rule."""
    tx.run(
        "retention_put", tenant_id=tenant_id, kind=kind, keep_days=keep_days, updated_at_us=now_us
    )


def delete(tx: Tx, tenant_id: str, kind: str) -> bool:
    """Remove a rule; return False if there is none."""
    return bool(tx.rows("retention_delete", tenant_id=tenant_id, kind=kind))


def find_next_tenant(tx: Tx, tenant_id: str) -> str | None:
    """Return the first tenant after another of which anything is kept that rules are about."""
    row = one(tx, "retention_next_tenant", tenant_id=tenant_id)
    return row[0] if row else None


def count_sessions(tx: Tx, actor: Actor, before_us: int) -> Purged:
    """Count the sessions within reach that nobody touched since and that may be removed."""
    owner = _reach(actor)
    rows = tx.rows(
        "session_count_untouched",
        [*owner],
        tenant_id=actor.tenant_id,
        before_us=before_us,
        **owner,
    )
    return Purged(*rows[0])


def remove_sessions(tx: Tx, actor: Actor, before_us: int, now_us: int) -> Purged:
    """Remove the oldest of them; those that somebody has locked are in use, and stay."""
    owner = _reach(actor)
    found = tx.rows(
        "session_list_untouched",
        [*owner],
        tenant_id=actor.tenant_id,
        before_us=before_us,
        limit=REMOVED_MAX,
        **owner,
    )
    keys: list[Key] = []
    size = 0
    for session_id, messages, calls in found:
        keys.append((actor.tenant_id, session_id))
        size += messages + calls
        if size >= REMOVED_ROWS_MAX:
            break
    heads = sessions.lock_many(tx, keys, wait=False)
    held = legal_holds.list_held(tx, heads)
    gone = [
        head for key, head in heads.items() if key not in held and head.updated_at_us < before_us
    ]
    for head in gone:
        sessions.remove(tx, head, now_us)
    return Purged(len(gone), sum(head.message_count for head in gone))


def count(tx: Tx, tenant_id: str, kind: str, before_us: int) -> int:
    """Count what a removal would remove."""
    if legal_holds.find(tx, tenant_id) is not None:
        return 0
    row = one(tx, _COUNTS[kind], tenant_id=tenant_id, before_us=before_us)
    return row[0] if row else 0


def remove(tx: Tx, tenant_id: str, kind: str, before_us: int, now_us: int) -> int:
    """Remove the oldest of a kind from before a moment; return how many went, 0 at the end."""
    tx.run("retention_turn", key=_TURN)
    if legal_holds.find(tx, tenant_id) is not None:
        return 0
    match kind:
        case "sessions":
            return remove_sessions(tx, Actor(tenant_id), before_us, now_us).sessions
        case "traces":
            return traces.purge_before(tx, tenant_id, before_us, REMOVED_MAX)
        case "feedback":
            return feedback.purge_before(tx, tenant_id, before_us, REMOVED_MAX)
        case "holds":
            return _remove(tx, "hold_purge", tenant_id, before_us)
        case _:
            return _remove(tx, "alert_purge", tenant_id, before_us)


def _remove(tx: Tx, query: str, tenant_id: str, before_us: int) -> int:
    return len(tx.rows(query, tenant_id=tenant_id, before_us=before_us, limit=REMOVED_MAX))


def _reach(actor: Actor) -> dict[str, str | None]:
    return {} if actor.sees_all else {"owner": actor.owner}
