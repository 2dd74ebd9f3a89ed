"""Turns: one exchange with a model, recorded whole and once.

The caller names the turn; the same name with the same content is the same turn, and with
other content a conflict. ``content_hash`` decides which.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Encoder
from msgspec.structs import astuple

from hansard.core.errors import InvalidInput
from hansard.core.ids import ID_MAX, NOISE, Clock, check_id, make_ulid
from hansard.core.messages import NewMessage, check_messages
from hansard.core.strict_json import exact
from hansard.core.usage import (
    ENTRIES_MAX,
    ChargedUsage,
    NewUsage,
    Pricing,
    UsageEntry,
    UsageTotals,
    charge,
    check_usage,
    reversed_id,
    take_back,
    unpriced,
)

STATUSES: Final = ("in_progress", "completed", "failed", "interrupted")
SEQ_MAX = 2**53 - 1
_CALLS: Final = Encoder()
_CHAT_TURN: Final = re.compile("chat_[0-9A-Z]{26}")
_KEY_CHARACTERS: Final = 8
_NO_REST: Final = astuple(NewUsage(event_id=""))[9:]


class NewTurn(Struct, frozen=True, kw_only=True):
    """A checked turn, or (``turn_id`` None) messages or usage that belong to no turn.

    Attributes:
        is_named: Whether the caller chose ``turn_id``, so that it may have been recorded.
        named_events: Usage ids that the caller chose, and that may have been recorded.
        reversal: What takes an entry back that ``usage`` corrects.
    """

    turn_id: str | None
    is_named: bool
    named_events: AbstractSet[str]
    status: str
    messages: list[NewMessage]
    usage: list[ChargedUsage]
    content_hash: bytes
    expected_seq: int | None
    at_us: int
    reversal: UsageEntry | None = None

    @property
    def event_ids(self) -> list[str]:
        """Ids of all its model calls."""
        return [charged.usage.event_id for charged in self.usage]

    @property
    def usage_only(self) -> bool:
        """Whether it is one model call that belongs to no turn."""
        return self.turn_id is None and not self.messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A recorded turn; ``first_seq`` and ``last_seq`` are None if no message of it is left."""

    turn_id: str
    status: str
    first_seq: int | None
    last_seq: int | None
    version: int
    usage: UsageTotals
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReceipt:
    """What the caller is told, now and whenever the same turn is sent again.

    Attributes:
        version: The session's version with this turn in it.
        usage: The session's running totals with this turn in them.
        replayed: The turn had been recorded before; nothing was written.
    """

    turn_id: str
    first_seq: int | None
    last_seq: int | None
    version: int
    usage: UsageTotals
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendReceipt:
    """Where appended messages landed."""

    first_seq: int | None
    last_seq: int | None
    version: int


def check_turn(
    messages: Sequence[Mapping[str, Any]],
    *,
    usage: Sequence[NewUsage | Mapping[str, Any]],
    turn_id: str | None,
    status: str,
    expected_seq: int | None,
    clock: Clock,
    pricing: Pricing = unpriced,
) -> NewTurn:
    """Check a turn before anything is written; an absent ``turn_id`` is made.

    Its model calls are priced as of now, unless they say what they cost.

    Raises:
        InvalidInput: If any part of it cannot be recorded, or it has no part at all.
    """
    now_us = clock()
    is_named = turn_id is not None
    turn_id = "turn_" + make_ulid(now_us) if turn_id is None else check_id(turn_id, "turn_id")
    if status not in STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(STATUSES)}", code="invalid_status")
    status = exact(status)
    if isinstance(usage, (str, bytes, Mapping)) or not isinstance(usage, Sequence):
        raise InvalidInput("usage must be a list", code="invalid_usage")
    if len(usage) > ENTRIES_MAX:
        raise InvalidInput(f"more than {ENTRIES_MAX} usage entries", code="invalid_usage")
    checked = check_messages(messages, clock)
    if not checked and not usage:
        raise InvalidInput("a turn needs messages or usage", code="invalid_messages")
    defaults = [_default_event_id(turn_id, index) for index in range(len(usage))]
    entries = list(map(check_usage, usage, defaults))
    event_ids = {entry.event_id for entry in entries}
    if len(event_ids) != len(entries):
        raise InvalidInput("an event_id occurs twice in one turn", code="invalid_usage")
    return NewTurn(
        turn_id=turn_id,
        is_named=is_named,
        named_events=event_ids.difference(defaults),
        status=status,
        messages=checked,
        usage=[charge(entry, now_us, pricing) for entry in entries],
        content_hash=_content_hash(status, checked, entries),
        expected_seq=check_seq(expected_seq, "expected_seq"),
        at_us=now_us,
    )


def make_chat_turn_id(now_us: int, key: str | None = None) -> str:
    """Make the id of a turn of the chat server, which is told while the turn is under way.

    It ends as the client's key for the request says, if there is one.
    """
    turn_id = "chat_" + make_ulid(now_us, NOISE)
    return turn_id if key is None else turn_id[:-_KEY_CHARACTERS] + _write_key(key)


def has_key(turn_id: str | None, key: str) -> bool:
    """Tell by its id whether a turn of the chat server was asked for under a key.

    >>> has_key(make_chat_turn_id(0, "a"), "a"), has_key(make_chat_turn_id(0, "b"), "a")
    (True, False)
    """
    return turn_id is not None and turn_id.endswith(_write_key(key))


def check_free_turn_id(turn_id: str | None) -> None:
    """Check that a caller may choose an id: whoever took that of a chat's turn would stop it.

    Raises:
        InvalidInput: ``invalid_turn_id``.
    """
    if isinstance(turn_id, str) and _CHAT_TURN.fullmatch(turn_id):
        raise InvalidInput("turns of such ids are the chat server's", code="invalid_turn_id")


def check_append(
    messages: Sequence[Mapping[str, Any]], *, expected_seq: int | None, clock: Clock
) -> NewTurn:
    """Check messages to be appended outside any turn.

    Raises:
        InvalidInput: If there is none, or one that cannot be recorded.
    """
    checked = check_messages(messages, clock)
    if not checked:
        raise InvalidInput("there is no message to append", code="invalid_messages")
    return NewTurn(
        turn_id=None,
        is_named=False,
        named_events=frozenset(),
        status="",
        messages=checked,
        usage=[],
        content_hash=b"",
        expected_seq=check_seq(expected_seq, "expected_seq"),
        at_us=clock(),
    )


def check_usage_only(
    entry: NewUsage | Mapping[str, Any],
    *,
    clock: Clock,
    pricing: Pricing = unpriced,
    corrects: UsageEntry | None = None,
    is_hindsight: bool = False,
) -> NewTurn:
    """Check one model call to be counted outside any turn, maybe in place of another.

    A correction counts when the call that it corrects did.
    """
    call = check_usage(entry, "", is_hindsight=is_hindsight or corrects is not None)
    now_us = clock() if corrects is None else corrects.recorded_at_us
    reversal = None if corrects is None else take_back(corrects)
    return NewTurn(
        turn_id=None,
        is_named=False,
        named_events=_named(call, corrects),
        status="",
        messages=[],
        usage=[charge(call, now_us, pricing)],
        content_hash=b"",
        expected_seq=None,
        at_us=now_us,
        reversal=reversal,
    )


def check_seq(value: int | None, field: str, *, least: int = 0) -> int | None:
    """Return a sequence number if it can be one; None stays None."""
    if value is not None and (type(value) is not int or not least <= value <= SEQ_MAX):
        raise InvalidInput(f"{field} must be a whole number from {least}", code="invalid_seq")
    return value


def _named(call: NewUsage, corrects: UsageEntry | None) -> AbstractSet[str]:
    """The ids to be looked up: of a correction, also what it takes back and by which."""
    if corrects is None:
        return {call.event_id}
    return {call.event_id, corrects.event_id, reversed_id(corrects.event_id)}


def _write_key(key: str) -> str:
    """Forty bits of a key's digest, so that as many of an id's are left to chance."""
    noise = hashlib.sha256(key.encode()).digest()
    return make_ulid(0, lambda size: noise[:size])[-_KEY_CHARACTERS:]


def _default_event_id(turn_id: str, index: int) -> str:
    event_id = f"{turn_id}.{index}"
    return event_id if len(event_id) <= ID_MAX else hashlib.sha256(event_id.encode()).hexdigest()


def _content_hash(status: str, messages: list[NewMessage], usage: list[NewUsage]) -> bytes:
    """Hash a turn's status, the canonical forms of its messages, and its calls as JSON lists."""
    said = b"".join([b"\0m" + message.canonical for message in messages])
    calls = _CALLS.encode([_call(entry) for entry in usage])
    return hashlib.sha256(status.encode() + said + b"\0u" + calls).digest()


def _call(entry: NewUsage) -> tuple[object, ...]:
    """A call as it is hashed: what every call has, then what only some have.

    So a call without the rest is hashed as it was when there was no rest.
    """
    values = astuple(entry)
    common = (*values[:8], values[8] or 0)
    rest = values[9:]
    return common if rest == _NO_REST else (*common, *rest)
