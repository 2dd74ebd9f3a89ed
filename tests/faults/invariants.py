"""What must hold after every fault, whatever it was.

A  no acknowledged turn is lost: its messages stand where its receipt said
B  no turn, message or usage entry stands twice, and what was refused does not stand at all
C  seq is 0..n-1 in every session, and events are numbered 1..version
D  totals are the sums of the entries: of the session, by model, over the acknowledged turns
E  whoever read "after n", or followed the events, saw all of it, once and in order
F  a snapshot and what came after it are the whole, and its digest chain is unbroken

G, that the record works again without being opened anew, is how a run ends; see ``harness``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from hansard import Actor, Message, Session, TurnReceipt
from hansard.core.digest import chain
from hansard.core.events import Event
from hansard.core.sessions import Verification
from hansard.core.strict_json import canonicalize
from hansard.core.usage import NewUsage, UsageEntry, UsageTotals, charge, unpriced
from hansard.service.sessions import DatabaseSessions
from hansard.service.verification import verify
from hansard.store import events, messages, sessions, turns, usage
from hansard.store.database import Tx
from tests.faults.history import History, Sent, Snapshot
from tests.samples import Body

ALL = 10**9  # more rows than any session of a test has


@dataclass(frozen=True)
class Found:
    """All that the record holds of one session."""

    session: Session
    messages: list[Message]
    events: list[Event]
    turn_ids: list[str]
    entries: list[UsageEntry]
    models: dict[str, UsageTotals]
    verification: Verification


async def check_invariants(record: DatabaseSessions, history: History) -> None:
    """Compare the record with what its callers and readers were told."""
    await record.runner.read(lambda tx: check_snapshot(tx, history))


def check_snapshot(tx: Tx, history: History) -> None:
    """Compare what one transaction sees with what callers and readers were told."""
    for session_id in sorted({session_id for session_id, _ in history.acknowledged}):
        found = _find(tx, Actor(), session_id)
        told = [pair for key, pair in history.acknowledged.items() if key[0] == session_id]
        refused = {turn_id for name, turn_id in history.refused if name == session_id}
        _check_turns(found, told, refused)
        _check_order(found)
        _check_totals(found, told)
        _check_readers(found, history)
        _check_replay(found, [one for one in history.snapshots if one.session_id == session_id])


def _find(tx: Tx, actor: Actor, session_id: str) -> Found:
    session = sessions.get(tx, actor, session_id)
    where = (tx, actor, session_id)
    return Found(
        session=session,
        messages=[one.parsed() for one in messages.list_page(*where, limit=ALL)],
        events=events.list_page(*where, after=0, limit=ALL),
        turn_ids=[turn.turn_id for _, turn in turns.list_page(*where, after=0, limit=ALL)],
        entries=usage.list_page(*where, after="", limit=ALL),
        models={one.model: one.totals for one in usage.list_models(*where)},
        verification=verify(tx, actor, session),
    )


def _check_turns(found: Found, told: list[tuple[Sent, TurnReceipt]], refused: set[str]) -> None:
    expected: dict[int, tuple[str | None, Body]] = {}
    for sent, receipt in told:
        for seq, body in enumerate(sent.messages, receipt.first_seq or 0):
            assert seq not in expected, f"A: two turns were told to stand at {seq}"
            expected[seq] = (sent.turn_id, body)
    stored = {message.seq: (message.turn_id, message.body) for message in found.messages}
    for seq, message in expected.items():
        assert stored.get(seq) == message, f"A: {message[0]} is not at {seq}"
    extra = {turn_id for seq, (turn_id, _) in stored.items() if seq not in expected}
    assert not extra, f"B: {extra} stand twice, or were never acknowledged"
    assert sorted(found.turn_ids) == sorted(sent.turn_id for sent, _ in told), "A, B: turns"
    assert refused.isdisjoint(found.turn_ids), "B: a refused turn"
    ids = Counter(message.message_id for message in found.messages)
    assert set(ids.values()) <= {1}, "B: messages"


def _check_order(found: Found) -> None:
    count = found.session.message_count
    assert [message.seq for message in found.messages] == list(range(count)), "C: seq"
    numbers = [event.number for event in found.events]
    assert numbers == list(range(1, found.session.version + 1)), "C: events"
    spans = [(event.first_seq, event.last_seq) for event in found.events if event.turn_id]
    assert _positions(spans) == list(range(count)), "C: spans of events"


def _check_totals(found: Found, told: list[tuple[Sent, TurnReceipt]]) -> None:
    sent = [entry for turn, _ in told for entry in turn.usage]
    assert _calls(found.entries) == _calls(sent), "D: entries"
    by_model: dict[str, list[NewUsage]] = defaultdict(list)
    for entry in sent:
        by_model[entry.model].append(entry)
    assert found.models == {model: _sum(entries) for model, entries in by_model.items()}, (
        "D: models"
    )
    assert found.session.usage == _sum(sent), "D: session"
    assert found.session.turn_count == len(told), "D: turns"
    last = max((receipt for _, receipt in told), key=lambda receipt: receipt.version)
    assert last.usage == found.session.usage, "D: receipt"


def _check_readers(found: Found, history: History) -> None:
    session_id = found.session.id
    if session_id in history.polled:
        assert history.polled[session_id] == [one.seq for one in found.messages], "E: polled"
    if session_id in history.followed:
        followed = history.followed[session_id]
        assert [told.number for told in followed] == [one.number for one in found.events], "E"
        spans = [(told.first_seq, told.last_seq) for told in followed if told.turn_id]
        assert _positions(spans) == [one.seq for one in found.messages], "E: followed"


def _check_replay(found: Found, snapshots: Iterable[Snapshot]) -> None:
    assert found.verification.ok, "F: verify"
    canonicals = [canonicalize(message.body) for message in found.messages]
    for snapshot in snapshots:
        count = len(snapshot.bodies)
        assert snapshot.bodies == [one.body for one in found.messages[:count]], "F: snapshot"
        tail = chain(bytes.fromhex(snapshot.digest), canonicals[count:])
        assert (tail[-1].hex() if tail else snapshot.digest) == found.session.digest, "F: tail"
        later = [one for one in found.events if one.number > snapshot.version]
        spans = [(one.first_seq, one.last_seq) for one in later]
        assert _positions(spans) == list(range(count, len(canonicals))), "F: events of the tail"


def _positions(spans: Iterable[tuple[int | None, int | None]]) -> list[int]:
    return [
        seq
        for first, last in spans
        if first is not None and last is not None
        for seq in range(first, last + 1)
    ]


def _calls(entries: Iterable[NewUsage]) -> list[tuple[object, ...]]:
    """What was said of each call, without what the record adds."""
    said = [name for name in NewUsage.__struct_fields__ if name != "confidence"]
    return sorted(tuple(getattr(entry, name) for name in said) for entry in entries)


def _sum(entries: Iterable[NewUsage]) -> UsageTotals:
    totals = [charge(entry, 0, unpriced).totals() for entry in entries]
    return reduce(UsageTotals.plus, totals, UsageTotals())
