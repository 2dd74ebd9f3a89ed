"""Session documents: a whole session on its way out of a record, or into one.

The shape between the foreign formats (``hansard.formats``) and the store. Messages are an
iterable, so that a document may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hansard.core.usage import UsageEntry

SCHEMA_VERSION: Final = 2
"""Version of the native formats; 1 was never released, and "1.0" is the ancestor's."""


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
    """One turn as it travels."""

    turn_id: str
    status: str
    first_seq: int | None
    last_seq: int | None
    created_at_us: int


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
    turns: Sequence[DocumentTurn] = ()
    usage: Sequence[UsageEntry] = ()
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
