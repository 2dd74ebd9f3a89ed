"""Imports in SQL: a document becomes a session, once.

    stage:   document -> rows, in steps, on disk                        no transaction yet
    record:  find by (owner, format, key) --there--> the session it became
                                          --absent-> session, its rows, provenance

What takes long (parsing, canonical forms, digests) is done in advance: all other writers of
a SQLite file wait while a transaction is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.budgets import Subjects
from hansard.core.digest import GENESIS, chain
from hansard.core.documents import (
    Document,
    DocumentMessage,
    DocumentSession,
    DocumentTurn,
    ImportedSession,
)
from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.ids import NOISE, Clock, make_ulid
from hansard.core.messages import ROLES, NewMessage
from hansard.core.sessions import NewSession
from hansard.core.turns import TurnReceipt
from hansard.core.usage import UsageEntry, UsageTotals
from hansard.store import messages, sessions, turns, usage
from hansard.store.database import ForRows, Row, Tx, one
from hansard.store.sessions import Head, Key
from hansard.store.steps import Spool, in_steps
from hansard.store.usage import IMPORT_LANE, Sums

KEEPS_IDS = frozenset({"cleveragents-db", "fipsagents-db"})
"""Sources that are whole databases: their ids are kept where they are free."""

_KEY_COLUMNS = 2  # tenant and session lead a row; which session is decided when it is made
_OF_THE_TENANT = frozenset({"hourly_usage_add"})  # rows that belong to no session


@dataclass(slots=True)
class _Arrival:
    """A session that a document is read into.

    Attributes:
        document: The document, without its messages, turns and usage.
        head: The session as it will be, but for its id.
        steps: How many statements bring its rows.
        takes_back: Whether any of its usage entries takes another back.
    """

    document: Document
    head: Head
    steps: int = 0
    usage_entries: int = 0
    takes_back: bool = False


class Staging:
    """Documents on disk, as rows that only wait to be inserted; a context manager."""

    def __init__(self, actor: Actor, clock: Clock) -> None:
        self._actor = actor
        self._clock = clock
        self._arrivals: Spool[_Arrival] = Spool()
        self._steps: Spool[ForRows] = Spool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._arrivals.close()
        self._steps.close()

    def stage(self, document: Document) -> None:
        """Make a document's rows.

        Raises:
            Corrupt: ``digest_mismatch``, if the messages do not lead to the document's digest.
        """
        owner = _owner(self._actor, document.session)
        agent = document.session.agent
        head = Head(self._actor.tenant_id, "", owner, agent, 1, 0, 0, UsageTotals(), GENESIS, 0)
        arrival = _Arrival(replace(document, messages=(), turns=(), usage=()), head)
        for step in _rows(arrival, document, self._clock):
            self._steps.put(step)
            arrival.steps += 1
        self._arrivals.put(arrival)

    def record(self, tx: Tx) -> tuple[list[ImportedSession], list[str]]:
        """Make sessions of all documents; return what became of them, and what was lost."""
        done: list[ImportedSession] = []
        losses: list[str] = []
        ids: dict[str, str] = {}
        steps = iter(self._steps)
        for arrival in self._arrivals:
            source = arrival.document.session
            own = islice(steps, arrival.steps)
            session_id = _find(tx, arrival)
            is_known = session_id is not None
            if session_id is None:
                losses += arrival.document.losses
                parent = _parent(tx, self._actor, source, ids, losses)
                session_id = _insert(tx, self._actor, arrival, own, parent, self._clock)
            for _ in own:
                pass  # those of a session that is there already
            if source.session_id is not None:
                ids[source.session_id] = session_id
            done.append(_imported(arrival, session_id, is_known=is_known))
        return done, losses


def _rows(arrival: _Arrival, document: Document, clock: Clock) -> Iterator[ForRows]:
    """Make all rows of a document that hang on its session."""
    yield from _message_rows(arrival.head, document.messages, clock)
    if document.digest is not None and arrival.head.digest.hex() != document.digest:
        raise Corrupt("the messages do not lead to the digest", code="digest_mismatch")
    yield from _turn_rows(arrival, document.turns, clock)
    yield from _usage_rows(arrival, document.usage, clock)


def _message_rows(
    head: Head, incoming: Iterable[DocumentMessage], clock: Clock
) -> Iterator[ForRows]:
    arriving = ((_new_message(message, clock()), message.turn_id) for message in incoming)
    for step in in_steps(arriving, lambda pair: len(pair[0].canonical)):
        digests = chain(head.digest, [message.canonical for message, _ in step])
        rows = [
            messages.row_of(head, seq, message, digest, turn_id)
            for seq, ((message, turn_id), digest) in enumerate(
                zip(step, digests, strict=True), head.message_count
            )
        ]
        head.message_count += len(step)
        head.digest = digests[-1]
        yield "message_insert", rows
    if head.message_count:
        yield _events([_event(head, "messages.appended", None, 0, head.message_count - 1, clock())])


def _new_message(message: DocumentMessage, now_us: int) -> NewMessage:
    role = message.body.get("role")
    text, canonical = strict_json.write(message.body)
    return NewMessage(
        message.message_id or "msg_" + make_ulid(now_us, NOISE),
        role if isinstance(role, str) and role in ROLES else None,
        text,
        canonical,
        now_us if message.created_at_us is None else message.created_at_us,
    )


def _turn_rows(
    arrival: _Arrival, incoming: Iterable[DocumentTurn], clock: Clock
) -> Iterator[ForRows]:
    head = arrival.head
    for group in in_steps(incoming):
        rows, events = [], []
        for turn in group:
            span = (turn.first_seq, turn.last_seq)
            events.append(_event(head, turns.KIND_TURN, turn.turn_id, *span, clock()))
            receipt = TurnReceipt(
                turn_id=turn.turn_id,
                first_seq=turn.first_seq,
                last_seq=turn.last_seq,
                version=head.version,
                usage=turn.usage or UsageTotals(),
                replayed=False,
            )
            content_hash = bytes.fromhex(turn.content_hash or "")
            told = turns.write_receipt(receipt)
            rows.append(
                turns.row_of(head, receipt, told, turn.status, content_hash, turn.created_at_us)
            )
        arrival.head.turn_count += len(rows)
        yield "turn_insert", rows
        yield _events(events)


def _usage_rows(
    arrival: _Arrival, incoming: Iterable[UsageEntry], clock: Clock
) -> Iterator[ForRows]:
    head = arrival.head
    account = Subjects(head.owner or "", head.agent or "", head.session_id, "")
    for group in in_steps(incoming):
        sums = Sums(IMPORT_LANE)
        for entry in group:
            sums.add(head.tenant_id, account, entry, entry.totals(), entry.recorded_at_us)
            head.usage = head.usage.plus(entry.totals())
            arrival.takes_back = arrival.takes_back or entry.reverses is not None
        arrival.usage_entries += len(group)
        yield (
            "usage_insert",
            [
                usage.row_of_entry(head.tenant_id, account, entry, kind=usage.KIND_IMPORT)
                for entry in group
            ],
        )
        yield from sums.writes()
    if arrival.usage_entries:
        yield _events([_event(head, "usage.recorded", None, None, None, clock())])


def _events(rows: list[Row]) -> ForRows:
    return "event_insert", rows


def _event(
    head: Head, kind: str, turn_id: str | None, first: int | None, last: int | None, now_us: int
) -> Row:
    """The row of a change, which makes a new version."""
    head.version += 1
    return (*head.key, head.version, kind, turn_id, first, last, head.message_count, now_us)


def _owner(actor: Actor, source: DocumentSession) -> str | None:
    """A named importer owns what it imports; an unnamed one leaves owners as they were."""
    return actor.owner if actor.owner is not None else source.owner


def _find(tx: Tx, arrival: _Arrival) -> str | None:
    """Find the session that a document became before."""
    row = one(tx, "import_find", **_provenance(arrival))
    return row[0] if row else None


def _provenance(arrival: _Arrival) -> dict[str, str]:
    """What makes two imports the same."""
    return {
        "tenant_id": arrival.head.tenant_id,
        "owner": arrival.head.owner or "",
        "source_format": arrival.document.source_format,
        "source_key": arrival.document.source_key,
    }


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


def _insert(
    tx: Tx,
    actor: Actor,
    arrival: _Arrival,
    steps: Iterable[ForRows],
    parent: tuple[str, int] | None,
    clock: Clock,
) -> str:
    """Make the session of an arrival, with all its rows; return its id."""
    source = arrival.document.session
    session_id = _make_session(tx, actor, arrival, parent, clock)
    head = replace(arrival.head, session_id=session_id)
    for query, rows in steps:
        tx.many((query, rows if query in _OF_THE_TENANT else _under(head.key, rows)))
    if arrival.takes_back and one(tx, "usage_find_unfounded", **_key(head)):
        raise InvalidInput("an entry takes back what is not there", code="invalid_usage")
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
        **_provenance(arrival),
    )
    return session_id


def _key(head: Head) -> dict[str, str]:
    return {"tenant_id": head.tenant_id, "session_id": head.session_id}


def _under(key: Key, rows: Iterable[Row]) -> list[Row]:
    return [(*key, *row[_KEY_COLUMNS:]) for row in rows]


def _make_session(
    tx: Tx, actor: Actor, arrival: _Arrival, parent: tuple[str, int] | None, clock: Clock
) -> str:
    source = arrival.document.session
    now_us = clock()
    fresh = "sess_" + make_ulid(now_us)
    keep = arrival.document.source_format in KEEPS_IDS and source.session_id
    for session_id in [source.session_id, fresh] if keep else [fresh]:
        assert session_id is not None
        new = NewSession(
            id=session_id,
            owner=arrival.head.owner,
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


def _imported(arrival: _Arrival, session_id: str, *, is_known: bool) -> ImportedSession:
    return ImportedSession(
        source_session_id=arrival.document.session.session_id,
        session_id=session_id,
        created=not is_known,
        messages=0 if is_known else arrival.head.message_count,
        turns=0 if is_known else arrival.head.turn_count,
        usage_entries=0 if is_known else arrival.usage_entries,
    )
