"""Turns in SQL: appended to a locked session, with their calls in the ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from msgspec import Struct
from msgspec.json import Encoder

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.budgets import Subjects
from hansard.core.digest import chain
from hansard.core.documents import DocumentTurn
from hansard.core.errors import Conflict
from hansard.core.sessions import NewSession, merge
from hansard.core.turns import NewTurn, Turn, TurnReceipt
from hansard.core.usage import NO_USAGE, ChargedUsage, UsageEntry, UsageTotals
from hansard.store import messages, sessions, usage
from hansard.store.budgets import Accounts
from hansard.store.database import ForRows, Row, Tx
from hansard.store.sessions import Head, Key
from hansard.store.tallies import add_totals
from hansard.store.usage import Sums

KIND_TURN = "turn.recorded"
_RECEIPTS: Final = Encoder()


class Append(Struct, frozen=True):
    """A turn on its way into the session ``key``; ``create`` makes it if there is none.

    Attributes:
        key: Tenant and session; a session ``''`` is none, and only usage is recorded.
        agent: Who made the calls, where no session says so.
        holds: Calls of the turn whose holds end with it, at ``ended_at_us``.
        tells_cost_data: Whether ``cost_data`` gets the session's running totals.
    """

    actor: Actor
    key: Key
    turn: NewTurn
    create: NewSession | None = None
    agent: str | None = None
    holds: tuple[str, ...] = ()
    ended_at_us: int = 0
    tells_cost_data: bool = False

    @property
    def key_id(self) -> str | None:
        """The API key on whose account it goes: of a correction, that of the first call."""
        reversal = self.turn.reversal
        return self.actor.key_id if reversal is None else reversal.key_id

    @property
    def size_bytes(self) -> int:
        """About what it adds to a batch."""
        return sum([len(message.canonical) for message in self.turn.messages])


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
class Found:
    """What is known of the turns, calls and sessions of a batch."""

    turns: dict[tuple[str, str, str], tuple[bytes, str]]
    usage: dict[tuple[str, str, str], usage.Known]
    cost_data: dict[Key, str]


class Recording:
    """The appends of a batch: decided one by one, written together.

    Attributes:
        used: What calls used that were not known, corrections apart, by tenant and model.
    """

    def __init__(self, found: Found, accounts: Accounts, *, lane: int) -> None:
        self._found = found
        self._accounts = accounts
        self.used: dict[tuple[str, str], UsageTotals] = {}
        self._sums = Sums(lane)
        self._messages: list[Row] = []
        self._turns: list[Row] = []
        self._usage: list[Row] = []
        self._events: list[Row] = []
        self._moved: dict[Key, Head] = {}
        self._cost_data: dict[Key, str] = {}

    def record(self, append: Append, head: Head) -> TurnReceipt:
        """Check a turn against what is there, then add it to what is to be written.

        Raises:
            Conflict: If it cannot follow what is there.
            LimitReached: If totals would be full.
        """
        turn = append.turn
        if turn.turn_id is not None and head.session_id:
            known = self._found.turns.get((*head.key, turn.turn_id))
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
        if not fresh and (turn.usage_only or not head.session_id):
            return self._told_before(head, turn)
        return self._add(append, head, fresh)

    def writes(self) -> list[ForRows]:
        """What to write."""
        return [
            ("message_insert", self._messages),
            ("turn_insert", self._turns),
            ("usage_insert", self._usage),
            ("event_insert", self._events),
            *self._sums.writes(),
            sessions.advance(self._moved.values()),
            ("cost_data_put", [(text, *key) for key, text in self._cost_data.items()]),
        ]

    def _told_before(self, head: Head, turn: NewTurn) -> TurnReceipt:
        (charged, *_) = turn.usage
        _, told = self._found.usage[(*head.key, charged.usage.event_id)]
        return _load(turn.turn_id or "", told) if told else _receipt(head, turn, 0)

    def _unknown_usage(self, head: Head, turn: NewTurn) -> list[ChargedUsage]:
        fresh = []
        for charged in turn.usage:
            event_id = charged.usage.event_id
            known = self._found.usage.get((*head.key, event_id))
            if known is None:
                fresh.append(charged)
            elif not usage.stands_for(known[0], charged):
                raise Conflict(
                    f"event_id {event_id!r} names another model call",
                    code="usage_conflict",
                    event_id=event_id,
                )
        return fresh

    def _add(self, append: Append, head: Head, fresh: list[ChargedUsage]) -> TurnReceipt:
        turn = append.turn
        added = reduce(UsageTotals.plus, [charged.totals() for charged in fresh], NO_USAGE)
        if turn.reversal is not None:
            added = added.plus(self._check_reversal(head, turn.reversal).totals())
        totals = head.usage.plus(added)
        self._settle(append, head, fresh, added)
        if turn.reversal is None:
            for charged in fresh:
                key = (head.tenant_id, charged.usage.model)
                add_totals(self.used, key, charged.totals())
        digests = chain(head.digest, [message.canonical for message in turn.messages])
        for seq, (message, digest) in enumerate(
            zip(turn.messages, digests, strict=True), head.message_count
        ):
            self._messages.append(messages.row_of(head, seq, message, digest, turn.turn_id))
        head.usage = totals
        head.version += 1
        head.message_count += len(digests)
        head.digest = digests[-1] if digests else head.digest
        head.updated_at_us = max(head.updated_at_us, turn.at_us)
        if turn.turn_id is not None:
            head.turn_count += 1
        receipt = _receipt(head, turn, len(digests))
        told = write_receipt(receipt)
        self._add_usage(append, head, fresh, told)
        if head.session_id:
            self._add_turn(append, head, receipt, told)
        return receipt

    def _check_reversal(self, head: Head, reversal: UsageEntry) -> UsageEntry:
        """Return what takes an entry back, unless something did before."""
        if (*head.key, reversal.event_id) in self._found.usage:
            raise Conflict(
                f"event_id {reversal.reverses!r} was corrected before",
                code="usage_conflict",
                event_id=reversal.reverses,
            )
        return reversal

    def _settle(
        self, append: Append, head: Head, fresh: list[ChargedUsage], added: UsageTotals
    ) -> None:
        """Count the calls in the budgets, and let go of their holds."""
        tenant_id, turn = head.tenant_id, append.turn
        account = (tenant_id, subjects_of(append, head))
        if fresh:
            self._accounts.check_room(*account, added, turn.at_us)
        used = {charged.usage.event_id: charged.totals() for charged in fresh}
        for call_id in append.holds:
            self._accounts.end(
                (tenant_id, call_id), "settled", append.ended_at_us, used.get(call_id, NO_USAGE)
            )
        if fresh:  # now: a call is not held and spent at once, which would cross thresholds
            self._accounts.spend(*account, added, turn.at_us)

    def _add_usage(self, append: Append, head: Head, fresh: list[ChargedUsage], told: str) -> None:
        turn, key_id = append.turn, append.key_id
        alone = told if turn.usage_only or not head.session_id else None
        for charged in fresh:
            self._usage.append(
                usage.row_of(head, charged, turn.turn_id, turn.at_us, key_id=key_id, receipt=alone)
            )
            entry = (*head.key, charged.usage.event_id)
            self._found.usage[entry] = usage.as_given(charged), alone
            self._sums.add(head, key_id, charged.usage, charged.totals(), turn.at_us)
        if turn.reversal is not None:
            self._found.usage[(*head.key, turn.reversal.event_id)] = turn.reversal, None
            self._usage.append(usage.row_of_entry(head, turn.reversal, kind=usage.KIND_CALL))
            self._sums.add(head, key_id, turn.reversal, turn.reversal.totals(), turn.at_us)

    def _add_turn(self, append: Append, head: Head, receipt: TurnReceipt, told: str) -> None:
        turn = append.turn
        self._moved[head.key] = head
        if turn.turn_id is not None:
            self._found.turns[(*head.key, turn.turn_id)] = (turn.content_hash, told)
            self._turns.append(
                row_of(head, receipt, told, turn.status, turn.content_hash, turn.at_us)
            )
        if append.tells_cost_data:
            self._tell_cost_data(head, turn)
        self._events.append(_event(head, turn, receipt))

    def _tell_cost_data(self, head: Head, turn: NewTurn) -> None:
        """Put the session's running totals beside the clients' own keys."""
        before = self._cost_data.get(head.key) or self._found.cost_data[head.key]
        totals: dict[str, int | str] = {
            "input_tokens": head.usage.input_tokens,
            "output_tokens": head.usage.output_tokens,
            "cached_tokens": head.usage.cached_tokens,
            "turn_count": head.turn_count,
        }
        if turn.usage:
            totals["model"] = turn.usage[-1].usage.model
        self._cost_data[head.key] = strict_json.dumps(merge(json.loads(before), totals))


def subjects_of(append: Append, head: Head) -> Subjects:
    """On whose account an append goes."""
    return Subjects(head.owner or "", head.agent or "", head.session_id, append.key_id or "")


def turn_keys(appends: Sequence[Append]) -> list[Row]:
    """Parameters of ``turn_find`` for turns that may have been recorded before."""
    return [(*append.key, append.turn.turn_id) for append in appends if append.turn.is_named]


def usage_keys(appends: Sequence[Append], *, sure: bool) -> list[Row]:
    """Parameters of ``usage_find``: for all calls, or those that may have been recorded."""
    return [
        (*append.key, event_id)
        for append in appends
        for event_id in (append.turn.event_ids if sure else append.turn.named_events)
    ]


def turns_of(rows: Sequence[Row]) -> dict[tuple[str, str, str], tuple[bytes, str]]:
    """Build what is known of turns from rows of ``turn_find``."""
    return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}


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
