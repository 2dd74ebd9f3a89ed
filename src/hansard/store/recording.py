"""Recording: appends that are decided one by one against what is there, and written together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from hansard.core import strict_json
from hansard.core.budgets import Subjects
from hansard.core.digest import chain
from hansard.core.errors import Conflict, InvalidInput
from hansard.core.sessions import merge
from hansard.core.turns import NewTurn, TurnReceipt
from hansard.core.usage import NO_USAGE, ChargedUsage, UsageEntry, UsageTotals, add_totals
from hansard.store import messages, sessions, usage
from hansard.store.budgets import Accounts, HoldKey
from hansard.store.database import ForRows, Row
from hansard.store.sessions import Head, Key
from hansard.store.turns import KIND_TURN, Append, read_receipt, row_of, write_receipt
from hansard.store.usage import Known, PlacedCall, Sums


@dataclass(slots=True)
class Found:
    """What is known of the turns, calls and sessions of a batch."""

    turns: dict[tuple[str, str, str], tuple[bytes, str]]
    usage: dict[tuple[str, str, str], Known]
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
        if turn.turn_id is not None:
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
        fresh = self._find_fresh(append, head)
        if not fresh and (turn.usage_only or not append.has_session):
            self._settle(append, fresh)
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
        known = self._found.usage.get((*head.key, charged.usage.event_id))
        if known is None or known.told is None:
            return replace(_receipt(head, turn, 0), replayed=True)
        return read_receipt(turn.turn_id or "", known.told)

    def _find_fresh(self, append: Append, head: Head) -> list[PlacedCall]:
        """Find the calls that the ledger does not have.

        Raises:
            Conflict: ``usage_conflict``, if an id is that of another call, or a call was
                corrected before; ``hold_ended``, if a call that somebody resolves has counted.
            NotFound: ``usage_not_found``, if there is no call to correct.
            InvalidInput: ``invalid_resolution``.
        """
        reversal = append.turn.reversal
        fresh = []
        for charged in append.turn.usage:
            if self._is_fresh(append, head, charged):
                place = place_of(append, head, charged.usage.event_id, self._accounts)
                fresh.append(PlacedCall(charged, *place, reversal))
        if reversal is not None:
            self._check_correction(append, head, reversal, is_fresh=bool(fresh))
        return fresh

    def _is_fresh(self, append: Append, head: Head, charged: ChargedUsage) -> bool:
        event_id = charged.usage.event_id
        known = self._found.usage.get((*head.key, event_id))
        is_same = known is not None and known.given == usage.as_given(charged)
        hold = self._accounts.find_hold((head.tenant_id, event_id))
        if hold is not None and event_id not in append.holds:
            raise _other_call(event_id)
        if hold is not None and hold.is_counted:  # maybe elsewhere, maybe as somebody found out
            if append.turn.usage_only and not is_same:
                raise Conflict(
                    "the call was counted meanwhile", code="hold_ended", state=hold.state
                )
            return False
        if known is not None and not is_same:
            raise _other_call(event_id)
        return known is None

    def _check_correction(
        self, append: Append, head: Head, reversal: UsageEntry, *, is_fresh: bool
    ) -> None:
        """Check that an entry is here still, and is taken back once: with its correction."""
        (charged,) = append.turn.usage
        corrected = reversal.reverses or ""
        known = self._found.usage.get((*head.key, corrected))
        if known is None or known.at_us != reversal.recorded_at_us:
            raise usage.not_found(corrected)
        is_taken_back = (*head.key, reversal.event_id) in self._found.usage
        if is_fresh and is_taken_back:
            raise Conflict(
                f"event_id {corrected!r} was corrected before",
                code="usage_conflict",
                event_id=corrected,
            )
        if not is_fresh and not is_taken_back:
            raise _other_call(charged.usage.event_id)
        hold = self._accounts.find_hold((head.tenant_id, corrected))
        if is_fresh and charged.cost_nanousd is None and hold is not None and hold.debits:
            raise InvalidInput("there is no price: say what it cost", code="invalid_resolution")

    def _add(self, append: Append, head: Head, fresh: list[PlacedCall]) -> TurnReceipt:
        turn = append.turn
        added = reduce(UsageTotals.plus, [call.totals() for call in fresh], NO_USAGE)
        totals = head.usage.plus(added)
        self._settle(append, fresh)
        self._count(head.tenant_id, fresh)
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
        if append.has_session:
            self._add_turn(append, head, receipt, told)
        return receipt

    def _settle(self, append: Append, fresh: list[PlacedCall]) -> None:
        """End the holds of an append's calls; a correction may be what one waits for."""
        used = {call.settles: call.charged.totals() for call in fresh}
        for call_id in append.holds:
            key: HoldKey = (append.key[0], call_id)
            self._accounts.settle(key, used.get(call_id), append.ended_at_us)

    def _count(self, tenant_id: str, fresh: list[PlacedCall]) -> None:
        """Count calls in the budgets: a held one is not held and spent at once by now."""
        for call in fresh:
            totals = call.totals()
            self._accounts.spend(tenant_id, call.account, totals, call.at_us)
            if call.reversal is None:
                add_totals(self.used, (tenant_id, call.charged.usage.model), totals)

    def _add_usage(self, append: Append, head: Head, fresh: list[PlacedCall], told: str) -> None:
        turn, tenant_id = append.turn, head.tenant_id
        alone = told if turn.usage_only or not append.has_session else None
        for call in fresh:
            given, account, at_us = call.charged.usage, call.account, call.at_us
            known = Known(usage.as_given(call.charged), at_us, alone)
            self._found.usage[(*head.key, given.event_id)] = known
            self._usage.append(usage.row_of(tenant_id, call, turn.turn_id, receipt=alone))
            self._sums.add(tenant_id, account, given, call.charged.totals(), at_us)
            back = call.reversal
            if back is not None:
                self._found.usage[(*head.key, back.event_id)] = Known(back, at_us, None)
                row = usage.row_of_entry(tenant_id, account, back, kind=usage.KIND_CALL)
                self._usage.append(row)
                self._sums.add(tenant_id, account, back, back.totals(), at_us)

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


def places_of(append: Append, head: Head, accounts: Accounts) -> set[tuple[Subjects, int]]:
    """On whose accounts the calls of an append go, and when they count."""
    return {place_of(append, head, event_id, accounts) for event_id in append.turn.event_ids}


def place_of(append: Append, head: Head, event_id: str, accounts: Accounts) -> tuple[Subjects, int]:
    """On whose account a call goes, and when it counts: as its hold says, if it has one."""
    is_held = event_id in append.holds
    hold = accounts.find_hold((head.tenant_id, event_id)) if is_held else None
    if hold is not None:
        return hold.account._replace(session=head.session_id), hold.at_us
    if append.account is not None:
        return append.account, append.turn.at_us
    agent, key_id = append.agent or head.agent, append.actor.key_id
    account = Subjects(head.owner or "", agent or "", head.session_id, key_id or "")
    return account, append.turn.at_us


def turn_keys(appends: Sequence[Append]) -> list[Row]:
    """Parameters of ``turn_find`` for turns that may have been recorded before."""
    return [(*append.key, append.turn.turn_id) for append in appends if append.turn.is_named]


def usage_keys(appends: Sequence[Append], *, sure: bool) -> list[Row]:
    """Parameters of ``usage_find``: for all calls, or those that may have been recorded."""
    return [
        (*append.key, event_id)
        for append in appends
        for event_id in append.turn.named_events | set(append.turn.event_ids if sure else ())
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
    return read_receipt(turn.turn_id, told)


def _other_call(event_id: str) -> Conflict:
    return Conflict(
        f"event_id {event_id!r} names another model call", code="usage_conflict", event_id=event_id
    )


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
