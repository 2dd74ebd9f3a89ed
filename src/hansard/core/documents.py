"""Session documents: a whole session on its way out of a record, or into one.

The shape between the foreign formats (``hansard.formats``) and the store. Messages, turns
and usage are iterables, so that a document may be larger than memory; who reads one takes
them in this order, which is the order of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import structs

from hansard.core.errors import InvalidInput
from hansard.core.ids import check_id
from hansard.core.sessions import (
    NAME_LENGTH_MAX,
    SYSTEM_PROMPT_LENGTH_MAX,
    TITLE_LENGTH_MAX,
    check_object,
)
from hansard.core.strict_json import check_text
from hansard.core.turns import STATUSES, check_seq
from hansard.core.usage import UsageEntry, UsageTotals, check_usage, reversal_of, reversed_id

SCHEMA_VERSION: Final = 3
"""Version of the native formats; 2 knew less of a model call."""

OLDEST_VERSION: Final = 2
"""The first that is read; 1 was never released, and "1.0" is the ancestor's."""

IMPORTED_EVENT_ID: Final = "imported"
"""Event id of the one usage entry that stands for a source's running totals."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LENGTH_MAX: Final = (
    ("agent", NAME_LENGTH_MAX),
    ("title", TITLE_LENGTH_MAX),
    ("model", NAME_LENGTH_MAX),
    ("system_prompt", SYSTEM_PROMPT_LENGTH_MAX),
    ("owner", NAME_LENGTH_MAX),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSession:
    """The session's own fields as they travel; all but the id may be absent."""

    session_id: str | None
    agent: str | None = None
    title: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    owner: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    cost_data: dict[str, Any] = field(default_factory=dict)
    archived: bool = False
    parent_session_id: str | None = None
    forked_at_seq: int | None = None
    created_at_us: int | None = None
    updated_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentMessage:
    """One message as it travels; absent ids and times are made on arrival."""

    body: dict[str, Any]
    message_id: str | None = None
    turn_id: str | None = None
    created_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTurn:
    """One turn as it travels.

    Attributes:
        content_hash: What makes two turns of one id the same turn, as hex; without it, a turn
            sent again after an import is a conflict.
        usage: The session's running totals with this turn in them.
    """

    turn_id: str
    status: str
    first_seq: int | None
    last_seq: int | None
    created_at_us: int
    content_hash: str | None = None
    usage: UsageTotals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole session.

    Attributes:
        source_format: Name of the format that it was read from.
        source_key: Identifies this document among all of its format, such as its checksum;
            importing the same key twice adds nothing.
        digest: Digest chain's head as hex, where the source carries one; checked on import.
        losses: What the source held and the record cannot, in words.
    """

    session: DocumentSession
    messages: Iterable[DocumentMessage]
    turns: Iterable[DocumentTurn] = ()
    usage: Iterable[UsageEntry] = ()
    source_format: str
    source_key: str
    digest: str | None = None
    losses: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSession:
    """One line of a report: ``created`` is False if the document was there already."""

    source_session_id: str | None
    session_id: str
    created: bool
    messages: int
    turns: int
    usage_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import kept, what was there already, and what could not be kept."""

    format: str
    dry_run: bool
    sessions: tuple[ImportedSession, ...]
    losses: tuple[str, ...]

    @property
    def id_map(self) -> dict[str, str]:
        """Source session ids to the ids given here."""
        return {
            item.source_session_id: item.session_id
            for item in self.sessions
            if item.source_session_id is not None
        }


def check_document_session(session: DocumentSession) -> DocumentSession:
    """Return a document's session if the record can hold it.

    Raises:
        InvalidInput: Naming the field that it cannot.
    """
    for noun in ("session_id", "parent_session_id"):
        if getattr(session, noun) is not None:
            check_id(getattr(session, noun), noun)
    check_lineage({session.session_id: session.parent_session_id} if session.session_id else {})
    check_seq(session.forked_at_seq, "forked_at_seq")
    for name, length_max in _LENGTH_MAX:
        if getattr(session, name) is not None:
            check_text(getattr(session, name), name, length_max=length_max)
    check_object(session.metadata, "metadata")
    check_object(session.cost_data, "cost_data")
    return session


def check_document_message(message: DocumentMessage) -> DocumentMessage:
    """Return a document's message if its ids are such; its body is checked as JSON is read."""
    for noun in ("message_id", "turn_id"):
        if getattr(message, noun) is not None:
            check_id(getattr(message, noun), noun)
    return message


def check_document_turn(turn: DocumentTurn, message_count: int) -> DocumentTurn:
    """Return a document's turn if it can stand beside that many messages."""
    check_id(turn.turn_id, "turn_id")
    if turn.status not in STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(STATUSES)}", code="invalid_status")
    if turn.content_hash is not None and not _SHA256.fullmatch(turn.content_hash):
        raise InvalidInput("content_hash must be SHA-256 as hex", code="invalid_turn")
    first, last = turn.first_seq, turn.last_seq
    if first is None and last is None:
        return turn
    if first is None or last is None or not 0 <= first <= last < message_count:
        raise InvalidInput(
            f"turn {turn.turn_id} claims messages that are not there", code="invalid_turn"
        )
    return turn


def check_document_usage(entry: UsageEntry) -> UsageEntry:
    """Return a document's usage entry, with its confidence, if the record can hold it.

    What takes an entry back is named for that, whatever it was called where it comes from.
    """
    event_id = entry.event_id
    if entry.turn_id is not None:
        check_id(entry.turn_id, "turn_id")
    if entry.reverses is None:
        check_usage(entry, event_id, is_hindsight=True)
    else:
        event_id = reversed_id(check_id(entry.reverses, "reverses"))
        reversed_entry = structs.replace(reversal_of(entry), event_id=entry.reverses)
        check_usage(reversed_entry, "", is_hindsight=True)
    told = "provider_usage" if entry.cost_nanousd is None else "provider_cost"
    return structs.replace(entry, event_id=event_id, confidence=entry.confidence or told)


def check_lineage(parents: Mapping[str, str | None]) -> None:
    """Check that no session descends from itself; parents may be unknown.

    Raises:
        InvalidInput: With code ``invalid_lineage``.
    """
    settled: set[str] = set()
    for start in parents:
        line: set[str] = set()
        current: str | None = start
        while current is not None and current in parents and current not in settled:
            if current in line:
                raise InvalidInput(
                    f"session {current} descends from itself", code="invalid_lineage"
                )
            line.add(current)
            current = parents[current]
        settled |= line


def imported_usage(
    recorded_at_us: int,
    *,
    model: str = "",
    input_tokens: int = 0,
    cached_tokens: int = 0,
    output_tokens: int = 0,
    cost_nanousd: int = 0,
) -> tuple[UsageEntry, ...]:
    """Return a source's running totals as one entry, or as none if they are all zero."""
    if not (input_tokens or cached_tokens or output_tokens or cost_nanousd):
        return ()
    entry = UsageEntry(
        event_id=IMPORTED_EVENT_ID,
        model=model,
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        cost_nanousd=cost_nanousd or None,
        turn_id=None,
        recorded_at_us=recorded_at_us,
    )
    return (check_document_usage(entry),)
