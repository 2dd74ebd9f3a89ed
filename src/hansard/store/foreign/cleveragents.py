"""A CleverAgents database: tables ``sessions`` and ``session_messages``.

Two variants of ``sessions`` are known: token usage as one JSON column beside automation and
metadata, or as three columns of numbers. Further columns are kept with the ancestor's own
fields in the metadata, those of a message in the message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hansard.core.cleveragents import message_body, session_metadata
from hansard.core.documents import (
    Document,
    DocumentMessage,
    DocumentSession,
    check_document_session,
    imported_usage,
)
from hansard.core.money import parse_usd
from hansard.core.strict_json import dumps
from hansard.core.usage import UsageEntry
from hansard.store.foreign.columns import (
    FRESH_ID,
    NATIVE,
    make_key,
    naming,
    read_id,
    read_json,
    read_time,
    require,
)
from hansard.store.foreign.places import Place, Row, select

NAME: Final = "cleveragents-db"
_SESSION: Final = frozenset({"session_id", "actor_name", "created_at", "updated_at"})
_MESSAGE: Final = frozenset(
    {"message_id", "session_id", "role", "content", "sequence", "timestamp"}
)
_COUNTS: Final = frozenset({"input_tokens", "output_tokens", "estimated_cost"})
_IN_JSON: Final = "token_usage_json"
_EXTENT: Final = (
    "SELECT count(*) AS messages, count(DISTINCT sequence) AS numbers,"
    " min(sequence) AS first, max(sequence) AS last,"
    " min(timestamp) AS oldest, max(message_id) AS newest_id"
    " FROM session_messages WHERE session_id = :session_id"
)


def read(place: Place) -> Iterator[Document]:
    """Read every session, oldest first."""
    columns = require(place, "sessions", _SESSION)
    if _IN_JSON not in columns:
        require(place, "sessions", _COUNTS)
    message_columns = require(place, "session_messages", _MESSAGE)
    query = f"{select('sessions', columns, NATIVE)} ORDER BY created_at, session_id"
    for row in place.rows(query):
        with naming(row["session_id"]):
            document = _document(place, row, message_columns)
        yield document


def _document(place: Place, row: Row, message_columns: list[str]) -> Document:
    losses: list[str] = []
    session_id = read_id(row["session_id"], "session_id")
    own = _own_fields(row)
    if session_id is None:
        own["session_id"] = row["session_id"]
        losses.append(FRESH_ID)
    metadata, lost = session_metadata(
        read_json(row.get("metadata_json"), dict, "metadata_json"), own
    )
    session = check_document_session(
        DocumentSession(
            session_id=session_id,
            agent=row["actor_name"],
            metadata=metadata,
            created_at_us=read_time(row["created_at"], losses),
            updated_at_us=read_time(row["updated_at"], losses),
        )
    )
    usage = _usage(row, session)
    (extent,) = place.rows(_EXTENT, session_id=row["session_id"])
    count = extent["messages"]
    if count:
        read_time(extent["oldest"], losses)
        if (extent["first"], extent["last"], extent["numbers"]) != (0, count - 1, count):
            losses.append("sequence numbers had gaps; messages are numbered in their order")
    return Document(
        session=session,
        messages=_Messages(place, row["session_id"], message_columns),
        usage=usage,
        source_format=NAME,
        source_key=make_key(session, usage, count, extent["newest_id"]),
        losses=(*losses, *lost),
    )


def _own_fields(row: Row) -> dict[str, Any]:
    elsewhere = _SESSION | _COUNTS | {_IN_JSON, "metadata_json", "linked_plan_ids_json"}
    plans = read_json(row.get("linked_plan_ids_json"), list, "linked_plan_ids_json")
    own = {name: value for name, value in row.items() if name not in elsewhere}
    return {"linked_plan_ids": plans, **own}


def _usage(row: Row, session: DocumentSession) -> tuple[UsageEntry, ...]:
    totals: Mapping[str, Any] = row
    if _IN_JSON in row:
        totals = read_json(row[_IN_JSON], dict, _IN_JSON)
    return imported_usage(
        session.updated_at_us or 0,
        input_tokens=totals.get("input_tokens") or 0,
        output_tokens=totals.get("output_tokens") or 0,
        cost_nanousd=parse_usd(str(totals.get("estimated_cost") or 0)),
    )


@dataclass(frozen=True, slots=True)
class _Messages:
    """A session's messages, read from the database whenever they are iterated."""

    place: Place
    session_id: str
    columns: list[str]

    def __iter__(self) -> Iterator[DocumentMessage]:
        query = (
            f"{select('session_messages', self.columns, NATIVE)} WHERE session_id = :session_id"
            " ORDER BY sequence, timestamp, message_id"
        )
        for row in self.place.rows(query, session_id=self.session_id):
            with naming(self.session_id):
                message = _message(row)
            yield message


def _message(row: Row) -> DocumentMessage:
    others = {
        name: value for name, value in row.items() if name not in _MESSAGE | {"metadata_json"}
    }
    metadata = read_json(row.get("metadata_json"), dict, "metadata_json")
    body = message_body(row["role"], row["content"], metadata, others)
    dumps(body)  # refuses what no record holds
    return DocumentMessage(
        body=body,
        message_id=read_id(row["message_id"], "message_id"),
        created_at_us=read_time(row["timestamp"], []),
    )
