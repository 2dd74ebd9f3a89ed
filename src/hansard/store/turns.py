"""Turns in SQL: the append, written for many at once.

    lock the sessions -> look up turns and usage by id -> decide in memory -> write each table once

Each append of a batch gets its own outcome; one that is refused leaves no trace, and the
others go on. ``batch`` passes over sessions that another transaction has locked, unless it is
told to wait, so nobody waits for another session's lock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

from msgspec import Struct
from msgspec.json import Encoder

from hansard.core.actors import Actor
from hansard.core.digest import chain
from hansard.core.documents import DocumentTurn
from hansard.core.errors import Conflict, HansardError
from hansard.core.sessions import NewSession
from hansard.core.turns import NewTurn, Turn, TurnReceipt
from hansard.core.usage import NO_USAGE, NewUsage, UsageTotals
from hansard.store import messages, sessions, usage
from hansard.store.database import Row, Tx
from hansard.store.jobs import DEFERRED, Outcome
from hansard.store.sessions import Head, Key

KIND_TURN = "turn.recorded"
_RECEIPTS: Final = Encoder()


class Append(Struct, frozen=True):
    """A turn on its way into the session ``key``; ``create`` makes it if there is none."""

    actor: Actor
    key: Key
    turn: NewTurn
    create: NewSession | None = None

    @property
    def size_bytes(self) -> int:
        """About what it adds to a batch."""
        return sum([len(message.canonical) for message in self.turn.messages])


def batch(tx: Tx, appends: Sequence[Append], *, sure: bool, wait: bool) -> list[Outcome]:
    """Run appends.

    Args:
        tx: The transaction of all.
        appends: What to add.
        sure: Look all ids up; otherwise those made of the id of a new turn are taken as new.
        wait: Wait for locks; otherwise appends to sessions that are absent or locked elsewhere
            are deferred. On SQLite there is nothing to wait for.
    """
    keys = [
        (*append.key, event_id)
        for append in appends
        for event_id in (append.turn.events if sure else append.turn.named_events)
    ]
    return _Work(tx, appends, keys, wait=wait or tx.dialect == "sqlite").run()


def list_page(
    tx: Tx, actor: Actor, session_id: str, *, after: int, limit: int
) -> list[tuple[int, Turn]]:
    """Return a session's turns after an event number, each with its own."""
    rows = tx.rows(
        "turn_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    return [(row[6], _turn(row)) for row in rows]


def list_documents(
    tx: Tx, actor: Actor, session_id: str, *, after: int, limit: int
) -> list[tuple[int, DocumentTurn]]:
    """Return the same as they travel."""
    rows = tx.rows(
        "turn_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    return [
        (
            row[6],
            DocumentTurn(
                turn_id=row[0],
                status=row[1],
                first_seq=row[2],
                last_seq=row[3],
                created_at_us=row[5],
                content_hash=row[7].hex(),
                usage=_load(row[0], row[4]).usage,
            ),
        )
        for row in rows
    ]


def row_of(
    head: Head,
    receipt: TurnReceipt,
    told: str,
    status: str,
    content_hash: bytes,
    created_at_us: int,
) -> Row:
    """The row of one turn; ``told`` is its receipt as it is kept."""
    return (
        *head.key,
        receipt.turn_id,
        status,
        content_hash,
        receipt.first_seq,
        receipt.last_seq,
        told,
        created_at_us,
    )


@dataclass(slots=True)
class _Pending:
    """Rows to be written, by table."""

    messages: list[Row] = field(default_factory=list)
    turns: list[Row] = field(default_factory=list)
    usage: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    model_usage: dict[tuple[str, str, str, str], UsageTotals] = field(default_factory=dict)
    moved: dict[Key, Head] = field(default_factory=dict)


class _Work:
    """One batch: what was found, and what is to be written."""

    def __init__(
        self, tx: Tx, appends: Sequence[Append], usage_keys: Sequence[Row], *, wait: bool
    ) -> None:
        self.tx = tx
        self.appends = appends
        self.wait = wait
        self.pending = _Pending()
        if wait:
            for append in appends:
                if append.create is not None and not append.turn.expected_seq:
                    sessions.insert(tx, append.actor, append.create)
        heads, known_turns, known_usage = tx.look_up(
            (sessions.lock_query(wait=wait), sorted({append.key for append in appends})),
            ("turn_find", _turn_keys(appends)),
            ("usage_find", usage_keys),
        )
        self.heads = sessions.heads_of(heads)
        self.turns = {(row[0], row[1], row[2]): (row[3], row[4]) for row in known_turns}
        self.usage = usage.entries_of(known_usage)

    def run(self) -> list[Outcome]:
        outcomes = [self._outcome(append) for append in self.appends]
        self._write()
        return outcomes

    def _outcome(self, append: Append) -> Outcome:
        head = self.heads.get(append.key)
        if head is None and not self.wait:
            return DEFERRED
        try:
            if head is None or not append.actor.may_see(head.owner):
                raise sessions.not_found(append.key[1])
            return Outcome(self._decide(head, append.turn))
        except HansardError as error:
            return Outcome(error=error)

    def _decide(self, head: Head, turn: NewTurn) -> TurnReceipt:
        """Check a turn against what is there, then add it to what is to be written."""
        if turn.turn_id is not None:
            known = self.turns.get((*head.key, turn.turn_id))
            if known is not None:
                return _replay(turn, *known)
        if turn.expected_seq not in {None, head.message_count}:
            raise Conflict(
                f"expected_seq is {turn.expected_seq}, the next is {head.message_count}",
                code="seq_conflict",
                next_seq=head.message_count,
                version=head.version,
            )
        fresh = self._unknown_usage(head, turn)
        if turn.usage_only and not fresh:
            (entry,) = turn.usage
            _, told = self.usage[(*head.key, entry.event_id)]
            return _load("", told) if told else _receipt(head, turn, 0)
        totals = reduce(UsageTotals.plus, fresh, head.usage)
        return self._add(head, turn, fresh, totals)

    def _unknown_usage(self, head: Head, turn: NewTurn) -> list[NewUsage]:
        fresh = []
        for entry in turn.usage:
            known = self.usage.get((*head.key, entry.event_id))
            if known is None:
                fresh.append(entry)
            elif known[0] != entry:
                raise Conflict(
                    f"event_id {entry.event_id!r} names another model call",
                    code="usage_conflict",
                    event_id=entry.event_id,
                )
        return fresh

    def _add(
        self, head: Head, turn: NewTurn, fresh: list[NewUsage], totals: UsageTotals
    ) -> TurnReceipt:
        rows, key = self.pending, head.key
        digests = chain(head.digest, [message.canonical for message in turn.messages])
        for seq, (message, digest) in enumerate(
            zip(turn.messages, digests, strict=True), head.message_count
        ):
            rows.messages.append(messages.row_of(head, seq, message, digest, turn.turn_id))
        head.usage = totals
        head.version += 1
        head.message_count += len(digests)
        head.digest = digests[-1] if digests else head.digest
        head.updated_at_us = max(head.updated_at_us, turn.at_us)
        rows.moved[key] = head
        if turn.turn_id is not None:
            head.turn_count += 1
        receipt = _receipt(head, turn, len(digests))
        told = write_receipt(receipt)
        if turn.turn_id is not None:
            self.turns[(*key, turn.turn_id)] = (turn.content_hash, told)
            row = row_of(head, receipt, told, turn.status, turn.content_hash, turn.at_us)
            rows.turns.append(row)
        self._add_usage(head, turn, fresh, told if turn.usage_only else None)
        rows.events.append(_event(head, turn, receipt))
        return receipt

    def _add_usage(
        self, head: Head, turn: NewTurn, fresh: list[NewUsage], told: str | None
    ) -> None:
        rows, key = self.pending, head.key
        for entry in fresh:
            rows.usage.append(usage.row_of(head, entry, turn.turn_id, turn.at_us, told))
            self.usage[(*key, entry.event_id)] = entry, told
            model = (*key, entry.provider, entry.model)
            rows.model_usage[model] = rows.model_usage.get(model, NO_USAGE).plus(entry)

    def _write(self) -> None:
        rows = self.pending
        if not rows.moved:
            return
        self.tx.many(
            ("message_insert", rows.messages),
            ("turn_insert", rows.turns),
            ("usage_insert", rows.usage),
            ("event_insert", rows.events),
            usage.add_to_models(rows.model_usage),
            sessions.advance(rows.moved.values()),
        )


def _turn_keys(appends: Sequence[Append]) -> list[Row]:
    return [(*append.key, append.turn.turn_id) for append in appends if append.turn.is_named]


def _replay(turn: NewTurn, content_hash: bytes, told: str) -> TurnReceipt:
    if content_hash != turn.content_hash:
        raise Conflict(
            f"turn {turn.turn_id!r} was recorded with other content",
            code="turn_conflict",
            turn_id=turn.turn_id,
        )
    assert turn.turn_id is not None
    return _load(turn.turn_id, told)


def _receipt(head: Head, turn: NewTurn, added: int) -> TurnReceipt:
    return TurnReceipt(
        turn_id=turn.turn_id or "",
        first_seq=head.message_count - added if added else None,
        last_seq=head.message_count - 1 if added else None,
        version=head.version,
        usage=head.usage,
        replayed=False,
    )


def _event(head: Head, turn: NewTurn, receipt: TurnReceipt) -> Row:
    if turn.turn_id is not None:
        kind = KIND_TURN
    else:
        kind = "messages.appended" if turn.messages else "usage.recorded"
    return (
        *head.key,
        head.version,
        kind,
        turn.turn_id,
        receipt.first_seq,
        receipt.last_seq,
        head.message_count,
        turn.at_us,
    )


def write_receipt(receipt: TurnReceipt) -> str:
    """Write a receipt as it is kept, to be told again."""
    told = (receipt.first_seq, receipt.last_seq, receipt.version, receipt.usage)
    return _RECEIPTS.encode(told).decode()


def _load(turn_id: str, told: str) -> TurnReceipt:
    first_seq, last_seq, version, totals = json.loads(told)
    return TurnReceipt(
        turn_id=turn_id,
        first_seq=first_seq,
        last_seq=last_seq,
        version=version,
        usage=UsageTotals(*totals),
        replayed=True,
    )


def _turn(row: Row) -> Turn:
    receipt = _load(row[0], row[4])
    return Turn(
        turn_id=row[0],
        status=row[1],
        first_seq=row[2],
        last_seq=row[3],
        version=receipt.version,
        usage=receipt.usage,
        created_at_us=row[5],
    )
