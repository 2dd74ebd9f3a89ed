"""Sessions in SQL: made, found, listed, changed, removed.

Every function that changes a session begins by locking its row (``lock``), which orders all
changes of one session; the owner rule is applied there and in ``get``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.digest import GENESIS
from hansard.core.errors import Conflict, Corrupt, NotFound
from hansard.core.ids import bury
from hansard.core.sessions import (
    UNSET,
    NewSession,
    Session,
    SessionChanges,
    UpdateReceipt,
    merge,
)
from hansard.core.usage import UsageTotals
from hansard.store import legal_holds
from hansard.store.database import ForRows, Row, Tx, one

Key = tuple[str, str]


# Columns of session_get.
_TITLE, _METADATA, _COST_DATA, _ARCHIVED, _COUNT, _VERSION, _UPDATED = 3, 6, 7, 8, 11, 13, 24
_LEGAL_HOLD = 25
_COLUMNS = {
    "title": _TITLE,
    "metadata": _METADATA,
    "archived": _ARCHIVED,
    "legal_hold": _LEGAL_HOLD,
    "cost_data": _COST_DATA,
}
"""Of what an update may change."""


@dataclass(slots=True)
class Head:
    """The part of a locked session that appends move forward."""

    tenant_id: str
    session_id: str
    owner: str | None
    agent: str | None
    version: int
    message_count: int
    turn_count: int
    usage: UsageTotals
    digest: bytes
    updated_at_us: int
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.tenant_id, self.session_id)


def insert(
    tx: Tx, actor: Actor, session: NewSession, *, parent: tuple[str, int] | None = None
) -> bool:
    """Make a session without messages; return False if the id is taken.

    ``parent`` is the session that it was forked from, and how many messages it took over.
    """
    key = {
        "tenant_id": actor.tenant_id,
        "session_id": session.id,
        "owner": session.owner,
        "agent": session.agent,
    }
    added = tx.rows("session_insert", (), digest=GENESIS, updated_at_us=session.at_us, **key)
    if not added:
        return False
    tx.run(
        "session_details_insert",
        title=session.title,
        model=session.model,
        system_prompt=session.system_prompt,
        metadata=session.metadata,
        cost_data=session.cost_data,
        archived=False,
        parent_session_id=parent[0] if parent else None,
        forked_at_seq=parent[1] if parent else None,
        created_at_us=session.at_us,
        **key,
    )
    tx.many(("event_insert", [_created(actor.tenant_id, session)]))
    return True


def get(tx: Tx, actor: Actor, session_id: str) -> Session:
    """Return a session.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    row = one(tx, "session_get", tenant_id=actor.tenant_id, session_id=session_id)
    if row is None or not actor.may_see(row[1]):
        raise not_found(session_id)
    return session_of(row)


def lock_many(tx: Tx, keys: Iterable[Key], *, wait: bool) -> dict[Key, Head]:
    """Lock sessions in one order; without ``wait``, those locked elsewhere are left out."""
    (rows,) = tx.look_up((lock_query(wait=wait), sorted(set(keys))))
    return heads_of(rows)


def lock_query(*, wait: bool) -> str:
    """Name the query that locks sessions, for the keys in one order."""
    return "session_lock" if wait else "session_lock_free"


def heads_of(rows: Iterable[Row]) -> dict[Key, Head]:
    """Build the heads of locked sessions."""
    heads = [
        Head(
            tenant_id=row[0],
            session_id=row[1],
            owner=row[2],
            agent=row[3],
            version=row[4],
            message_count=row[5],
            turn_count=row[6],
            usage=UsageTotals(*row[7:15]),
            digest=row[15],
            updated_at_us=row[16],
        )
        for row in rows
    ]
    return {head.key: head for head in heads}


def lock(tx: Tx, actor: Actor, session_id: str, *, expected_version: int | None = None) -> Head:
    """Lock one session.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
        Conflict: ``version_mismatch``, if its version is not the expected one.
    """
    key = (actor.tenant_id, session_id)
    head = lock_many(tx, [key], wait=True).get(key)
    if head is None or not actor.may_see(head.owner):
        raise not_found(session_id)
    if expected_version is not None and expected_version != head.version:
        raise version_mismatch(session_id, head.version)
    return head


def advance(heads: Iterable[Head]) -> ForRows:
    """Write moved heads back."""
    return (
        "session_advance",
        [
            (
                head.version,
                head.message_count,
                head.turn_count,
                *head.usage,
                head.digest,
                head.updated_at_us,
                head.tenant_id,
                head.session_id,
            )
            for head in heads
        ],
    )


def update(
    tx: Tx,
    actor: Actor,
    session_id: str,
    changes: SessionChanges,
    *,
    expected_version: int | None,
    now_us: int,
) -> UpdateReceipt:
    """Apply changes; one that changes nothing leaves the version as it is."""
    lock(tx, actor, session_id, expected_version=expected_version)
    if changes.legal_hold is True:
        legal_holds.wait_for_removals(tx)
    key = {"tenant_id": actor.tenant_id, "session_id": session_id}
    row = tx.rows("session_get", (), **key)[0]
    new = _described(row, changes)
    moved = tuple(name for name, column in _COLUMNS.items() if new[column] != row[column])
    if not moved:
        return UpdateReceipt(session=session_of(row), changes=())
    version, updated_at_us = row[_VERSION] + 1, max(now_us, row[_UPDATED])
    tx.run("session_touch", version=version, updated_at_us=updated_at_us, **key)
    tx.run(
        "session_details_update",
        title=new[_TITLE],
        archived=bool(new[_ARCHIVED]),
        metadata=new[_METADATA],
        cost_data=new[_COST_DATA],
        legal_hold=bool(new[_LEGAL_HOLD]),
        **key,
    )
    event = (*key.values(), version, "session.updated", None, None, None, row[_COUNT], now_us)
    tx.many(("event_insert", [event]))
    session = replace(session_of(new), version=version, updated_at_us=updated_at_us)
    return UpdateReceipt(session=session, changes=moved)


def describe(
    tx: Tx,
    actor: Actor,
    session_id: str,
    *,
    title: str | None,
    model: str | None,
    system_prompt: str | None,
    cost_data: Mapping[str, Any] | None = None,
    now_us: int,
) -> Session:
    """Write what a session says of itself, unless it says so already; return it.

    ``cost_data`` is merged per key.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    lock(tx, actor, session_id)
    key = {"tenant_id": actor.tenant_id, "session_id": session_id}
    (row,) = tx.rows("session_get", (), **key)
    changes = SessionChanges(title=title, cost_data=None if cost_data is None else {**cost_data})
    described = _described(row, changes)
    new = (*described[: _TITLE + 1], model, system_prompt, *described[_TITLE + 3 :])
    if new == row:
        return session_of(row)
    version, updated_at_us = row[_VERSION] + 1, max(now_us, row[_UPDATED])
    tx.run("session_touch", version=version, updated_at_us=updated_at_us, **key)
    tx.run(
        "session_describe",
        title=title,
        model=model,
        system_prompt=system_prompt,
        cost_data=new[_COST_DATA],
        **key,
    )
    event = (*key.values(), version, "session.updated", None, None, None, row[_COUNT], now_us)
    tx.many(("event_insert", [event]))
    return replace(session_of(new), version=version, updated_at_us=updated_at_us)


def delete(tx: Tx, head: Head, now_us: int) -> None:
    """Remove a locked session and all that hangs on it; what it cost stays in the ledger.

    Raises:
        Conflict: ``legal_hold``.
    """
    legal_holds.check_free(tx, head.key)
    remove(tx, head, now_us)


def remove(tx: Tx, head: Head, now_us: int) -> None:
    """Do the same with a session that is known to be under no legal hold.

    Its entries go on under a name that no session can have, so that a new session of the
    same name begins with nothing. Threads that were saved as it are saved as none.
    """
    key = {"tenant_id": head.tenant_id, "session_id": head.session_id}
    tombstone = bury(head.session_id, now_us)
    tx.run("thread_unlink", **key)
    tx.run("usage_bury", tombstone=tombstone, **key)
    tx.run("session_usage_bury", tombstone=tombstone, **key)
    tx.run("session_delete", **key)


def not_found(session_id: str) -> NotFound:
    """The error for a session that is not there, or not the caller's."""
    return NotFound(f"no session {session_id!r}", code="session_not_found", session_id=session_id)


def version_mismatch(session_id: str, version: int) -> Conflict:
    """The error for a writer that demanded that nothing changed."""
    return Conflict(
        f"session {session_id!r} is at version {version}",
        code="version_mismatch",
        session_id=session_id,
        version=version,
    )


def _created(tenant_id: str, session: NewSession) -> Row:
    return (tenant_id, session.id, 1, "session.created", None, None, None, 0, session.at_us)


def _described(row: Row, changes: SessionChanges) -> Row:
    """Apply changes to a row of ``session_get``, whose documents are texts."""
    new = list(row)
    if changes.title is not UNSET:
        new[_TITLE] = changes.title
    if changes.archived is not UNSET:
        new[_ARCHIVED] = type(row[_ARCHIVED])(changes.archived)
    if changes.legal_hold is not UNSET:
        new[_LEGAL_HOLD] = type(row[_LEGAL_HOLD])(changes.legal_hold)
    if changes.metadata is not UNSET:
        new[_METADATA] = strict_json.dumps(changes.metadata)
    if changes.cost_data:
        merged = merge(load_object(row[_COST_DATA]), changes.cost_data)
        new[_COST_DATA] = strict_json.dumps(merged)
    return tuple(new)


def load_object(document: str) -> dict[str, Any]:
    """Parse an object that the record holds; the empty one is the most common.

    Raises:
        Corrupt: ``session_corrupt``.
    """
    if document == "{}":
        return {}
    try:
        return msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        message = "a document of a stored session cannot be read"
        raise Corrupt(message, code="session_corrupt") from exc


def session_of(row: Row) -> Session:
    """Build a session of a row of ``session_get`` or ``session_list``."""
    return Session(
        id=row[0],
        owner=row[1],
        agent=row[2],
        title=row[3],
        model=row[4],
        system_prompt=row[5],
        metadata=load_object(row[6]),
        cost_data=load_object(row[7]),
        archived=bool(row[8]),
        parent_session_id=row[9],
        forked_at_seq=row[10],
        message_count=row[11],
        turn_count=row[12],
        version=row[13],
        usage=UsageTotals(*row[14:22]),
        digest=row[22].hex(),
        created_at_us=row[23],
        updated_at_us=row[24],
        legal_hold=bool(row[25]),
    )
