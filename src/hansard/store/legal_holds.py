"""Legal holds in SQL: what nobody may remove until they are lifted.

One is on a session, or on a whole tenant. Whatever removes content asks here first, in the
same transaction, and whoever places a hold waits for the removals under way: once that is
acknowledged, nothing goes any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from hansard.core.errors import Conflict
from hansard.core.retention import HELD
from hansard.store.database import Tx, one
from hansard.store.jobs import Key


def list_held(tx: Tx, keys: Iterable[Key]) -> set[Key]:
    """Return those of some locked sessions that are under legal hold."""
    (rows,) = tx.look_up(("legal_hold_find", sorted(set(keys))))
    return {(row[0], row[1]) for row in rows}


def check_free(tx: Tx, key: Key) -> None:
    """Refuse to remove anything of a locked session that is under legal hold.

    Raises:
        Conflict: ``legal_hold``.
    """
    if list_held(tx, [key]):
        raise Conflict(f"session {key[1]!r} is under legal hold", code=HELD, session_id=key[1])


def find(tx: Tx, tenant_id: str) -> int | None:
    """Return since when a whole tenant is under legal hold, in microseconds, or None."""
    row = one(tx, "legal_hold_get", tenant_id=tenant_id)
    return row[0] if row else None


def wait_for_removals(tx: Tx) -> None:
    """Wait for the removals under way; others begin after this transaction."""
    tx.run("legal_hold_close")


def place(tx: Tx, tenant_id: str, now_us: int) -> None:
    """Put a tenant under legal hold; one that is stays so since when it was."""
    wait_for_removals(tx)
    tx.run("legal_hold_insert", tenant_id=tenant_id, since_us=now_us)


def lift(tx: Tx, tenant_id: str) -> None:
    """Lift a tenant's legal hold; those of its sessions stay."""
    tx.run("legal_hold_delete", tenant_id=tenant_id)
