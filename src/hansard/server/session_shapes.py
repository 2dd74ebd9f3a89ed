"""Sessions as clients of runtimes read them: described, listed in short, peeked at."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

from hansard.core.peeks import KINDS, Entry, mask
from hansard.core.sessions import UNTITLED, Session
from hansard.core.shapes import Time
from hansard.core.times import format_us

TITLE_SHOWN = 140
SUMMARY_LIMIT_MAX = 500
SUMMARY_SORTS = {"recent": "-updated_at", "name": "title", "size": "-message_count"}


class SessionMetadata(Struct, kw_only=True):
    """What a session says of itself; the tokens are those of its model calls, in and out."""

    id: str
    title: str | None
    created_at: Time
    updated_at: Time
    message_count: int
    total_tokens: int
    model: str | None
    archived: bool
    parent_session_id: str | None

    @classmethod
    def of(cls, session: Session) -> SessionMetadata:
        """Write what a session says of itself."""
        return cls(
            id=session.id,
            title=session.title,
            created_at=format_us(session.created_at_us),
            updated_at=format_us(session.updated_at_us),
            message_count=session.message_count,
            total_tokens=_tokens(session),
            model=session.model,
            archived=session.archived,
            parent_session_id=session.parent_session_id,
        )


class SummaryQuery(Struct, frozen=True):
    """Which sessions to sum up: up to 500, by time, title or length."""

    limit: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": SUMMARY_LIMIT_MAX})] = 50
    search: str | None = None
    include_archived: bool = False
    archived_only: bool = False
    sort: Annotated[str, Meta(extra_json_schema={"enum": list(SUMMARY_SORTS)})] = "recent"


class SessionRow(Struct, kw_only=True):
    """A session in a line."""

    id: str
    title: str
    preview: str
    model: str | None
    archived: bool
    message_count: int
    total_tokens: int
    updated_at: Time
    created_at: Time
    parent_session_id: str | None

    @classmethod
    def of(cls, session: Session) -> SessionRow:
        """Write a session without its history."""
        title = (session.title or UNTITLED)[:TITLE_SHOWN]
        return cls(**{**asdict(SessionMetadata.of(session)), "title": title, "preview": title})


class PeekEntry(Struct):
    """One thing that was said, cut and masked; of tools, the name and the size alone."""

    kind: Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]
    text: str
    truncated: bool
    redacted: bool


class SessionPeek(Struct, kw_only=True):
    """The end of a session, from the record; ``omitted_before`` counts earlier messages."""

    session_id: str
    title: str
    model: str | None
    archived: bool
    message_count: int
    updated_at: Time
    entries: list[PeekEntry]
    omitted_before: int
    live: bool = False

    @classmethod
    def of(cls, session: Session, entries: list[Entry], read: int) -> SessionPeek:
        """Write what was found in the last ``read`` messages."""
        first = entries[0].message if entries else 0
        return cls(
            session_id=session.id,
            title=mask(session.title or UNTITLED)[:TITLE_SHOWN],
            model=session.model,
            archived=session.archived,
            message_count=session.message_count,
            updated_at=format_us(session.updated_at_us),
            entries=[
                PeekEntry(entry.kind, entry.text, entry.truncated, entry.redacted)
                for entry in entries
            ],
            omitted_before=session.message_count - read + first,
        )


def merged_metadata(session: Session) -> dict[str, Any]:
    """The caller's own metadata, and what clients of runtimes look for beside it."""
    return {**session.metadata, **asdict(SessionMetadata.of(session))}


def _tokens(session: Session) -> int:
    used = session.total_usage
    return used.input_tokens + used.output_tokens
