"""Imports in SQL: a document becomes a session, once.

find by (owner, format, key) --there--> the session it became
                             --absent-> session, messages in steps, turns, usage, provenance
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.digest import chain
from hansard.core.documents import (
    Document,
    DocumentMessage,
    DocumentSession,
    DocumentTurn,
    ImportedSession,
)
from hansard.core.errors import Corrupt
from hansard.core.ids import Clock, make_ulid
from hansard.core.messages import ROLES, NewMessage
from hansard.core.sessions import NewSession
from hansard.core.turns import TurnReceipt
from hansard.core.usage import UsageEntry, UsageTotals
from hansard.store import messages, sessions, turns, usage
from hansard.store.database import Tx, one
from hansard.store.sessions import Head
from hansard.store.steps import in_steps

KEEPS_IDS = frozenset({"cleveragents-db", "fipsagents-db"})
"""Sources that are whole databases: their ids are kept where they are free."""

T = TypeVar("T")


@dataclass(slots=True)
class _Arrival:
    """A session while a document is being read into it."""

    tx: Tx
    head: Head
    clock: Clock
    turns: int = 0
    usage_entries: int = 0


def insert(
    tx: Tx, actor: Actor, document: Document, *, ids: Mapping[str, str], clock: Clock
) -> tuple[ImportedSession, list[str]]:
    """Make a session of a document; return what became of it, and what was lost.

    Args:
        tx: The transaction of the whole import.
        actor: Whose session it becomes.
        document: What to read in.
        ids: Sessions of the same import by their source ids, to find a parent.
        clock: The present time.

    Raises:
        Corrupt: ``digest_mismatch``, if the messages do not lead to the document's digest.
    """
    source = document.session
    owner = _owner(actor, source)
    key = {
        "tenant_id": actor.tenant_id,
        "owner": owner or "",
        "source_format": document.source_format,
        "source_key": document.source_key,
    }
    known = one(tx, "import_find", **key)
    if known is not None:
        return _there_already(source, known[0]), []
    losses = list(document.losses)
    parent = _parent(tx, actor, source, ids, losses)
    session_id = _make_session(tx, actor, document, owner, parent, clock)
    head = sessions.lock_many(tx, [(actor.tenant_id, session_id)], wait=True)[
        (actor.tenant_id, session_id)
    ]
    arrival = _Arrival(tx, head, clock)
    _add_messages(arrival, document.messages)
    if document.digest is not None and head.digest.hex() != document.digest:
        raise Corrupt("the messages do not lead to the digest", code="digest_mismatch")
    _add_turns(arrival, document.turns)
    _add_usage(arrival, document.usage)
    now_us = clock()
    created_at_us = now_us if source.created_at_us is None else source.created_at_us
    head.updated_at_us = created_at_us if source.updated_at_us is None else source.updated_at_us
    tx.many(sessions.advance([head]))
    tx.run(
        "session_details_stamp",
        tenant_id=actor.tenant_id,
        session_id=session_id,
        archived=source.archived,
        created_at_us=created_at_us,
    )
    tx.run(
        "import_insert",
        session_id=session_id,
        source_session_id=source.session_id,
        imported_at_us=now_us,
        **key,
    )
    return _arrived(arrival, source), losses


def _owner(actor: Actor, source: DocumentSession) -> str | None:
    """A named importer owns what it imports; an unnamed one leaves owners as they were."""
    return actor.owner if actor.owner is not None else source.owner


def _parent(
    tx: Tx, actor: Actor, source: DocumentSession, ids: Mapping[str, str], losses: list[str]
) -> tuple[str, int] | None:
    if source.parent_session_id is None:
        return None
    parent_id = ids.get(source.parent_session_id, source.parent_session_id)
    row = one(tx, "session_get", tenant_id=actor.tenant_id, session_id=parent_id)
    if row is None or not actor.may_see(row[1]):
        losses.append(f"parent {source.parent_session_id} of {source.session_id} is not here")
        return None
    return parent_id, source.forked_at_seq or 0


def _make_session(
    tx: Tx,
    actor: Actor,
    document: Document,
    owner: str | None,
    parent: tuple[str, int] | None,
    clock: Clock,
) -> str:
    source = document.session
    now_us = clock()
    fresh = "sess_" + make_ulid(now_us)
    keep = document.source_format in KEEPS_IDS and source.session_id
    for session_id in [source.session_id, fresh] if keep else [fresh]:
        assert session_id is not None
        new = NewSession(
            id=session_id,
            owner=owner,
            agent=source.agent,
            title=source.title,
            model=source.model,
            system_prompt=source.system_prompt,
            metadata=strict_json.dumps(source.metadata),
            cost_data=strict_json.dumps(source.cost_data),
            messages=[],
            at_us=now_us,
        )
        if sessions.insert(tx, actor, new, parent=parent):
            return session_id
    raise AssertionError("a fresh id was taken")


def _add_messages(arrival: _Arrival, incoming: Iterable[DocumentMessage]) -> None:
    head = arrival.head
    arriving = ((_new_message(message, arrival.clock()), message.turn_id) for message in incoming)
    for step in in_steps(arriving, lambda pair: len(pair[0].canonical)):
        digests = chain(head.digest, [message.canonical for message, _ in step])
        rows = [
            messages.row_of(head, seq, message, digest, turn_id)
            for seq, ((message, turn_id), digest) in enumerate(
                zip(step, digests, strict=True), head.message_count
            )
        ]
        arrival.tx.many(("message_insert", rows))
        head.message_count += len(step)
        head.digest = digests[-1]
    if head.message_count:
        _add_event(arrival, "messages.appended", None, 0, head.message_count - 1)


def _new_message(message: DocumentMessage, now_us: int) -> NewMessage:
    role = message.body.get("role")
    return NewMessage(
        message.message_id or "msg_" + make_ulid(now_us),
        role if isinstance(role, str) and role in ROLES else None,
        strict_json.dumps(message.body),
        strict_json.canonicalize(message.body),
        now_us if message.created_at_us is None else message.created_at_us,
    )


def _add_turns(arrival: _Arrival, incoming: Iterable[DocumentTurn]) -> None:
    head = arrival.head
    for group in in_steps(incoming):
        rows = []
        for turn in group:
            _add_event(arrival, turns.KIND_TURN, turn.turn_id, turn.first_seq, turn.last_seq)
            receipt = TurnReceipt(
                turn_id=turn.turn_id,
                first_seq=turn.first_seq,
                last_seq=turn.last_seq,
                version=head.version,
                usage=turn.usage or UsageTotals(),
                replayed=False,
            )
            content_hash = bytes.fromhex(turn.content_hash or "")
            rows.append(
                turns.row_of(
                    head,
                    receipt,
                    turns.write_receipt(receipt),
                    turn.status,
                    content_hash,
                    turn.created_at_us,
                )
            )
        arrival.tx.many(("turn_insert", rows))
        arrival.turns += len(rows)
        head.turn_count += len(rows)


def _add_usage(arrival: _Arrival, incoming: Iterable[UsageEntry]) -> None:
    head = arrival.head
    for group in in_steps(incoming):
        sums: dict[tuple[str, str, str, str], UsageTotals] = {}
        for entry in group:
            model = (*head.key, entry.provider, entry.model)
            sums[model] = sums.get(model, UsageTotals()).plus(entry)
            head.usage = head.usage.plus(entry)
        rows = [usage.row_of(head, entry, entry.turn_id, entry.recorded_at_us) for entry in group]
        arrival.tx.many(("usage_insert", rows), usage.add_to_models(sums))
        arrival.usage_entries += len(rows)
    if arrival.usage_entries:
        _add_event(arrival, "usage.recorded", None, None, None)


def _add_event(
    arrival: _Arrival, kind: str, turn_id: str | None, first: int | None, last: int | None
) -> None:
    head = arrival.head
    head.version += 1
    row = (*head.key, head.version, kind, turn_id, first, last, head.message_count, arrival.clock())
    arrival.tx.many(("event_insert", [row]))


def _there_already(source: DocumentSession, session_id: str) -> ImportedSession:
    return ImportedSession(
        source_session_id=source.session_id,
        session_id=session_id,
        created=False,
        messages=0,
        turns=0,
        usage_entries=0,
    )


def _arrived(arrival: _Arrival, source: DocumentSession) -> ImportedSession:
    return ImportedSession(
        source_session_id=source.session_id,
        session_id=arrival.head.session_id,
        created=True,
        messages=arrival.head.message_count,
        turns=arrival.turns,
        usage_entries=arrival.usage_entries,
    )
