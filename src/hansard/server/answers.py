"""Answers: the JSON that goes out, as shapes, and how they are made from ``core``'s.

Stored JSON goes out as it lies in the database: it is placed into an answer as
``msgspec.Raw`` and never parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from hansard.core.documents import ImportReport
from hansard.core.events import Event
from hansard.core.messages import StoredMessage
from hansard.core.money import format_usd
from hansard.core.sessions import Session, Verification
from hansard.core.shapes import Time
from hansard.core.times import format_us
from hansard.core.turns import Turn, TurnReceipt
from hansard.core.usage import UsageTotals
from hansard.server.session_shapes import SessionMetadata

StoredObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
StoredObjects = Annotated[
    Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "object"}})
]


class FailureBody(Struct):
    """What went wrong; ``code`` is stable, ``message`` is for people."""

    code: str
    message: str
    details: dict[str, Any]


class Failure(Struct):
    """Every answer of status 400 and above; ``detail`` repeats the message."""

    error: FailureBody
    detail: str


class Health(Struct):
    """Whether the service lives, or is ready to be used.

    ``spooled`` says how many chat turns wait to be recorded, where there is a chat.
    """

    status: str
    spooled: int | UnsetType = UNSET


class Totals(Struct):
    """Sums over model calls; the cost, of those that have a price, in US dollars."""

    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: str
    unpriced_calls: int

    @classmethod
    def of(cls, totals: UsageTotals) -> Totals:
        """Write totals."""
        return cls(
            totals.calls,
            totals.input_tokens,
            totals.cached_tokens,
            totals.cache_write_tokens,
            totals.output_tokens,
            totals.reasoning_tokens,
            format_usd(totals.cost_nanousd),
            totals.unpriced_calls,
        )


class Created(Struct):
    """The id of a new session."""

    session_id: str


class SessionSummary(Struct, kw_only=True):
    """A session without its history."""

    session_id: str
    title: str | None
    agent: str | None
    owner: str | None
    model: str | None
    metadata: dict[str, Any]
    archived: bool
    legal_hold: bool
    parent_session_id: str | None
    forked_at_seq: int | None
    message_count: int
    turn_count: int
    version: int
    usage: Totals
    digest: str
    created_at: Time
    updated_at: Time


class SessionAnswer(SessionSummary, kw_only=True):
    """A session with its history, unless that was not wanted."""

    messages: StoredObjects | UnsetType = UNSET
    system_prompt: str | None
    cost_data: dict[str, Any]


class SessionDetail(SessionAnswer, kw_only=True):
    """A session; its ``metadata`` also says what clients of runtimes look for there.

    ``own_metadata`` is what the caller gave, and nothing else.
    """

    own_metadata: dict[str, Any]


class UpdateAnswer(SessionAnswer, kw_only=True):
    """A session after an update; ``changes`` holds the fields that changed, as they are now."""

    session: SessionMetadata
    changes: dict[str, Any]


class SessionPage(Struct):
    """Sessions, and where the next page begins; null if this was the last."""

    sessions: list[SessionSummary]
    next_cursor: str | None


class Saved(Struct):
    """What saving a whole history did."""

    session_id: str
    saved: bool
    version: int
    message_count: int
    appended: int
    replaced: int


class CostData(Struct):
    """The clients' own cost object."""

    session_id: str
    cost_data: dict[str, Any]


class Deleted(Struct):
    """The session is gone."""

    deleted: bool


class MessageRow(Struct):
    """One message of a history; ``message`` is the object as it was given."""

    seq: int
    message_id: str
    turn_id: str | None
    role: str | None
    created_at: Time
    digest: str
    message: StoredObject

    @classmethod
    def of(cls, stored: StoredMessage) -> MessageRow:
        """Write a message without parsing it."""
        return cls(
            stored.seq,
            stored.message_id,
            stored.turn_id,
            stored.role,
            format_us(stored.created_at_us),
            stored.digest.hex(),
            Raw(stored.text),
        )


class MessagePage(Struct):
    """Messages, and the ``after`` (or ``before``, when descending) of the next page."""

    messages: list[MessageRow]
    next_cursor: str | None


class Appended(Struct):
    """Where messages landed; null if there were none."""

    first_seq: int | None
    last_seq: int | None
    version: int


class TurnAnswer(Struct):
    """Where a turn landed, and the session's running totals with it."""

    turn_id: str
    first_seq: int | None
    last_seq: int | None
    version: int
    usage: Totals

    @classmethod
    def of(cls, receipt: TurnReceipt) -> TurnAnswer:
        """Write a receipt."""
        return cls(
            receipt.turn_id,
            receipt.first_seq,
            receipt.last_seq,
            receipt.version,
            Totals.of(receipt.usage),
        )


class TurnRow(Struct):
    """One turn; ``usage`` is the session's running total after it."""

    turn_id: str
    status: str
    first_seq: int | None
    last_seq: int | None
    version: int
    usage: Totals
    created_at: Time

    @classmethod
    def of(cls, turn: Turn) -> TurnRow:
        """Write a turn."""
        return cls(
            turn.turn_id,
            turn.status,
            turn.first_seq,
            turn.last_seq,
            turn.version,
            Totals.of(turn.usage),
            format_us(turn.created_at_us),
        )


class TurnPage(Struct):
    """Turns, oldest first."""

    turns: list[TurnRow]
    next_cursor: str | None


class Forked(Struct):
    """A new session that shares the first messages of another."""

    session_id: str
    parent_session_id: str | None
    message_count: int


class VerifyAnswer(Struct):
    """Outcome of recomputing the digest chain; ``first_bad_seq`` is null if all is well."""

    ok: bool
    messages: int
    digest: str
    first_bad_seq: int | None

    @classmethod
    def of(cls, outcome: Verification) -> VerifyAnswer:
        """Write a verification."""
        return cls(outcome.ok, outcome.messages, outcome.digest, outcome.first_bad_seq)


class ImportLine(Struct):
    """One session of a document; ``created`` is false if it was there already."""

    source_session_id: str | None
    session_id: str
    created: bool
    messages: int
    turns: int
    usage_entries: int


class ImportAnswer(Struct):
    """What an import kept, under which ids, and in words what it could not keep."""

    format: str
    dry_run: bool
    sessions: list[ImportLine]
    id_map: dict[str, str]
    losses: list[str]

    @classmethod
    def of(cls, report: ImportReport) -> ImportAnswer:
        """Write a report."""
        lines = [
            ImportLine(
                line.source_session_id,
                line.session_id,
                line.created,
                line.messages,
                line.turns,
                line.usage_entries,
            )
            for line in report.sessions
        ]
        return cls(report.format, report.dry_run, lines, report.id_map, list(report.losses))


class EventData(Struct):
    """The data of one event of a stream."""

    number: int
    kind: str
    turn_id: str | None
    first_seq: int | None
    last_seq: int | None
    message_count: int
    created_at: Time

    @classmethod
    def of(cls, event: Event) -> EventData:
        """Write an event."""
        return cls(
            event.number,
            event.kind,
            event.turn_id,
            event.first_seq,
            event.last_seq,
            event.message_count,
            format_us(event.created_at_us),
        )


def summary_fields(session: Session) -> dict[str, Any]:
    """The fields that every answer about a session has, for one of the shapes above."""
    return {
        "session_id": session.id,
        "title": session.title,
        "agent": session.agent,
        "owner": session.owner,
        "model": session.model,
        "metadata": session.metadata,
        "archived": session.archived,
        "legal_hold": session.legal_hold,
        "parent_session_id": session.parent_session_id,
        "forked_at_seq": session.forked_at_seq,
        "message_count": session.message_count,
        "turn_count": session.turn_count,
        "version": session.version,
        "usage": Totals.of(session.usage),
        "digest": session.digest,
        "created_at": format_us(session.created_at_us),
        "updated_at": format_us(session.updated_at_us),
    }


def session_fields(session: Session, texts: Sequence[str] | None) -> dict[str, Any]:
    """The fields of one session with its history; ``texts`` of None leaves that out."""
    return {
        **summary_fields(session),
        "messages": UNSET if texts is None else Raw(f"[{','.join(texts)}]"),
        "system_prompt": session.system_prompt,
        "cost_data": session.cost_data,
    }
