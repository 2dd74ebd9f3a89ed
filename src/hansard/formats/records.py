"""The parts of the native formats: session, message, turn and usage as JSON objects.

    Document --*_record--> JSON object --read_*--> Document, checked

Every object is exactly its shape: a missing or unknown field is refused, since what is not
understood would be lost. A new field is a new ``SCHEMA_VERSION``, and has a default for
documents of those before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeVar

import msgspec

from hansard.core.digest import GENESIS, advance
from hansard.core.documents import (
    OLDEST_VERSION,
    SCHEMA_VERSION,
    Document,
    DocumentMessage,
    DocumentSession,
    DocumentTurn,
    check_document_message,
    check_document_session,
    check_document_turn,
    check_document_usage,
)
from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.money import format_usd, parse_usd
from hansard.core.shapes import described
from hansard.core.strict_json import canonicalize
from hansard.core.times import format_us, parse_us
from hansard.core.usage import PART_FIELDS, TOKEN_FIELDS, TOTAL_MAX, UsageEntry, UsageTotals

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0, le=TOTAL_MAX)]

_SINCE_3: Final = (
    "model_asked",
    "service_tier",
    *PART_FIELDS,
    "raw",
    "price_version",
    "reverses",
)

DIGEST_CHAIN: Final = "sha256(previous || rfc8785(message))"


class Record(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A JSON object of fixed shape."""


class SessionRecord(Record):
    """The session's own fields; times are RFC 3339."""

    session_id: str | None
    agent: str | None
    title: str | None
    model: str | None
    system_prompt: str | None
    owner: str | None
    metadata: dict[str, Any]
    cost_data: dict[str, Any]
    archived: bool
    created_at: str | None
    updated_at: str | None


class LineageRecord(Record):
    """Where a fork came from."""

    parent_session_id: str | None
    forked_at_seq: int | None


@described
class MessageRecord(Record):
    """One message; ``digest`` names the history up to and including it."""

    seq: int
    message_id: str | None
    turn_id: str | None
    created_at: str | None
    digest: str
    message: dict[str, Any]


class TotalsRecord(Record):
    """Sums over model calls."""

    calls: Count
    input_tokens: Count
    cached_tokens: Count
    cache_write_tokens: Count
    output_tokens: Count
    reasoning_tokens: Count
    cost_usd: str
    unpriced_calls: Count = 0


@described
class TurnRecord(Record):
    """One turn and the messages that it brought.

    ``content_hash`` tells whether a turn sent again is the same; ``usage`` is what its sender
    was told, the session's running totals.
    """

    turn_id: str
    status: str
    first_seq: int | None
    last_seq: int | None
    created_at: str
    content_hash: str | None
    usage: TotalsRecord | None


@described
class UsageRecord(Record):
    """One model call; ``cost_usd`` is a decimal string of dollars, or null if it is unpriced.

    What stands after ``recorded_at`` is absent from documents of version 2, where an unpriced
    call costs ``0``.
    """

    event_id: str
    turn_id: str | None
    provider: str
    model: str
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: str | None
    recorded_at: str
    model_asked: str = ""
    service_tier: str = ""
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    cached_audio_tokens: int = 0
    output_audio_tokens: int = 0
    web_searches: int = 0
    confidence: str | None = None
    raw: str | None = None
    price_version: str | None = None
    reverses: str | None = None


def session_record(session: DocumentSession) -> dict[str, Any]:
    """Write a session's own fields."""
    return {
        "session_id": session.session_id,
        "agent": session.agent,
        "title": session.title,
        "model": session.model,
        "system_prompt": session.system_prompt,
        "owner": session.owner,
        "metadata": session.metadata,
        "cost_data": session.cost_data,
        "archived": session.archived,
        "created_at": _time(session.created_at_us),
        "updated_at": _time(session.updated_at_us),
    }


def lineage_record(session: DocumentSession) -> dict[str, Any]:
    """Write where a session was forked from."""
    return {
        "parent_session_id": session.parent_session_id,
        "forked_at_seq": session.forked_at_seq,
    }


def message_records(document: Document) -> Iterator[dict[str, Any]]:
    """Write the messages in order, advancing the digest chain.

    Raises:
        Corrupt: At the end, if the chain's head is not the one that the document carries.
    """
    digest = GENESIS
    for seq, message in enumerate(document.messages):
        digest = advance(digest, canonicalize(message.body))
        yield {
            "seq": seq,
            "message_id": message.message_id,
            "turn_id": message.turn_id,
            "created_at": _time(message.created_at_us),
            "digest": digest.hex(),
            "message": message.body,
        }
    if document.digest not in {None, digest.hex()}:
        raise Corrupt("the messages are not those that the digest names", code="digest_mismatch")


def turn_record(turn: DocumentTurn) -> dict[str, Any]:
    """Write a turn."""
    return {
        "turn_id": turn.turn_id,
        "status": turn.status,
        "first_seq": turn.first_seq,
        "last_seq": turn.last_seq,
        "created_at": format_us(turn.created_at_us),
        "content_hash": turn.content_hash or None,
        "usage": None if turn.usage is None else _totals_record(turn.usage),
    }


def usage_record(entry: UsageEntry) -> dict[str, Any]:
    """Write a usage entry."""
    return {
        "event_id": entry.event_id,
        "turn_id": entry.turn_id,
        "provider": entry.provider,
        "model": entry.model,
        **{field: getattr(entry, field) for field in TOKEN_FIELDS},
        "cost_usd": None if entry.cost_nanousd is None else format_usd(entry.cost_nanousd),
        "recorded_at": format_us(entry.recorded_at_us),
        "confidence": entry.confidence,
        **{field: getattr(entry, field) for field in _SINCE_3},
    }


def check_version(header: object, format_name: str) -> dict[str, Any]:
    """Return a file's first object if it is of this format and not newer than this code.

    Raises:
        InvalidInput: ``unknown_schema`` or ``schema_too_new``.
    """
    if not isinstance(header, dict) or header.get("format") != format_name:
        raise InvalidInput(f"not a document of format {format_name!r}", code="unknown_schema")
    version = header.get("schema_version")
    if type(version) is not int or version < OLDEST_VERSION:
        raise InvalidInput("no schema version that ever was", code="unknown_schema")
    if version > SCHEMA_VERSION:
        raise InvalidInput(
            f"schema version {version} is newer than {SCHEMA_VERSION}, which this reads",
            code="schema_too_new",
            schema_version=version,
            supported=SCHEMA_VERSION,
        )
    return header


def read_shape(value: object, shape: type[T]) -> T:
    """Return a JSON value as its shape.

    Raises:
        InvalidInput: ``invalid_document``, naming the place.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"not a valid document: {exc}", code="invalid_document") from exc


def read_session(session: SessionRecord, lineage: LineageRecord) -> DocumentSession:
    """Read and check a session's own fields."""
    return check_document_session(
        DocumentSession(
            session_id=session.session_id,
            agent=session.agent,
            title=session.title,
            model=session.model,
            system_prompt=session.system_prompt,
            owner=session.owner,
            metadata=session.metadata,
            cost_data=session.cost_data,
            archived=session.archived,
            parent_session_id=lineage.parent_session_id,
            forked_at_seq=lineage.forked_at_seq,
            created_at_us=_time_us(session.created_at, "created_at"),
            updated_at_us=_time_us(session.updated_at, "updated_at"),
        )
    )


def read_message(record: MessageRecord) -> DocumentMessage:
    """Read and check a message, but for its place in the chain."""
    return check_document_message(
        DocumentMessage(
            body=record.message,
            message_id=record.message_id,
            turn_id=record.turn_id,
            created_at_us=_time_us(record.created_at, "created_at"),
        )
    )


def check_place(record: MessageRecord, seq: int, previous: bytes) -> bytes:
    """Check a message's number and digest against its predecessor's; return its digest.

    Raises:
        InvalidInput: If ``seq`` leaves a gap.
        Corrupt: With code ``digest_mismatch``.
    """
    if record.seq != seq:
        raise InvalidInput(f"message {seq} has seq {record.seq}", code="invalid_document")
    digest = advance(previous, canonicalize(record.message))
    if record.digest != digest.hex():
        raise Corrupt(f"message {seq} breaks the digest chain", code="digest_mismatch", seq=seq)
    return digest


def read_turn(record: TurnRecord, message_count: int) -> DocumentTurn:
    """Read and check a turn beside that many messages."""
    turn = DocumentTurn(
        turn_id=record.turn_id,
        status=record.status,
        first_seq=record.first_seq,
        last_seq=record.last_seq,
        created_at_us=parse_us(record.created_at, "created_at"),
        content_hash=record.content_hash,
        usage=None if record.usage is None else _read_totals(record.usage),
    )
    return check_document_turn(turn, message_count)


def read_usage(record: UsageRecord) -> UsageEntry:
    """Read and check a usage entry."""
    cost_nanousd = None if record.cost_usd is None else parse_usd(record.cost_usd)
    is_of_version_2 = record.confidence is None
    return check_document_usage(
        UsageEntry(
            event_id=record.event_id,
            turn_id=record.turn_id,
            provider=record.provider,
            model=record.model,
            **{field: getattr(record, field) for field in TOKEN_FIELDS},
            cost_nanousd=(cost_nanousd or None) if is_of_version_2 else cost_nanousd,
            recorded_at_us=parse_us(record.recorded_at, "recorded_at"),
            confidence=record.confidence or "",
            **{field: getattr(record, field) for field in _SINCE_3},
        )
    )


def _totals_record(totals: UsageTotals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        **{field: getattr(totals, field) for field in TOKEN_FIELDS},
        "cost_usd": format_usd(totals.cost_nanousd),
        "unpriced_calls": totals.unpriced_calls,
    }


def _read_totals(record: TotalsRecord) -> UsageTotals:
    return UsageTotals(
        calls=record.calls,
        **{field: getattr(record, field) for field in TOKEN_FIELDS},
        cost_nanousd=parse_usd(record.cost_usd, most_nanousd=TOTAL_MAX),
        unpriced_calls=record.unpriced_calls,
    )


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_us(time_us)


def _time_us(text: str | None, field: str) -> int | None:
    return None if text is None else parse_us(text, field)
