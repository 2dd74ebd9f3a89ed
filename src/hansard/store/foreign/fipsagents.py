"""A database of ``fipsagents``: one table ``sessions`` with each history in one column.

Older ones lack ``cost_data``, or the eight columns of state; what state there is goes into
the session's metadata under ``KEY``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from hansard.core.documents import (
    Document,
    DocumentMessage,
    DocumentSession,
    check_document_session,
    imported_usage,
)
from hansard.core.errors import InvalidInput
from hansard.core.strict_json import loads
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

NAME: Final = "fipsagents-db"
KEY: Final = "fipsagents"
_NEEDED: Final = frozenset({"session_id", "messages", "created_at", "updated_at"})
_JSON_STATE: Final = frozenset({"open_tool_calls", "pending_subagent_calls", "compaction_state"})
_ELSEWHERE: Final = frozenset({"messages", "created_at", "updated_at", "cost_data"})
_IDS: Final = frozenset({"session_id", "parent_session_id"})
_LIST: Final = "SELECT session_id FROM sessions ORDER BY created_at, session_id"
_TIMED_ID = re.compile(r"msg_([0-9a-f]{12})_[0-9a-f]{12}")  # milliseconds since 1970


def read(place: Place) -> Iterator[Document]:
    """Read every session, oldest first."""
    columns = require(place, "sessions", _NEEDED)
    query = f"{select('sessions', columns, NATIVE)} WHERE session_id = :session_id"
    for found in place.rows(_LIST):  # apart, so that only one history is fetched at a time
        with naming(found["session_id"]):
            (row,) = place.rows(query, session_id=found["session_id"])
            document = _document(row)
        yield document


def _document(row: Row) -> Document:
    losses: list[str] = []
    session_id = read_id(row["session_id"], "session_id")
    if session_id is None:
        losses.append(FRESH_ID)
    bodies = _bodies(row["messages"])
    session = check_document_session(
        DocumentSession(
            session_id=session_id,
            metadata=_metadata(row),
            cost_data=read_json(row.get("cost_data"), dict, "cost_data"),
            parent_session_id=read_id(row.get("parent_session_id"), "parent_session_id"),
            forked_at_seq=_count_shared(bodies, row.get("forked_at_message_id")),
            created_at_us=read_time(row["created_at"], losses),
            updated_at_us=read_time(row["updated_at"], losses),
        )
    )
    usage = _usage(session, losses)
    if not all(_TIMED_ID.fullmatch(str(body.get("id"))) for body in bodies):
        losses.append("messages without a time were given that of their session's last change")
    return Document(
        session=session,
        messages=[_message(body, session.updated_at_us or 0) for body in bodies],
        usage=usage,
        source_format=NAME,
        source_key=make_key(session, usage, bodies),
        losses=losses,
    )


def _bodies(text: str) -> list[dict[str, Any]]:
    bodies = read_json(text, list, "messages", around=1)
    if not all(isinstance(body, dict) for body in bodies):
        raise InvalidInput("messages must be a list of objects", code="invalid_messages")
    return bodies


def _message(body: dict[str, Any], latest_us: int) -> DocumentMessage:
    """Take id and time from the message's own id; it was said before the session was saved."""
    message_id = read_id(body.get("id"), "message_id")
    timed = _TIMED_ID.fullmatch(message_id or "")
    at_us = min(int(timed[1], 16) * 1_000, latest_us) if timed else latest_us
    return DocumentMessage(body=body, message_id=message_id, created_at_us=at_us)


def _metadata(row: Row) -> dict[str, Any]:
    """Gather what a record has no field for: state that is not empty, ids it does not take."""
    kept = {}
    for name, value in row.items():
        found = loads(value) if name in _JSON_STATE and value else value
        if found and name not in _ELSEWHERE and not (name in _IDS and read_id(found, name)):
            kept[name] = found
    return {KEY: kept} if kept else {}


def _count_shared(bodies: list[dict[str, Any]], last_id: str | None) -> int | None:
    """Count the messages up to the one that a fork took over last."""
    if last_id is None:
        return None
    return next((seq + 1 for seq, body in enumerate(bodies) if body.get("id") == last_id), None)


def _usage(session: DocumentSession, losses: list[str]) -> tuple[UsageEntry, ...]:
    """Read the running totals that clients keep in ``cost_data``."""
    totals = session.cost_data
    given = [totals.get(name) or 0 for name in ("input_tokens", "output_tokens", "cached_tokens")]
    try:
        if not all(type(count) is int for count in given):
            raise InvalidInput("tokens must be whole numbers", code="invalid_usage")
        input_tokens, output_tokens, cached_tokens = given
        if cached_tokens > input_tokens:
            losses.append("more cached tokens than input tokens: the excess was not counted")
        return imported_usage(
            session.updated_at_us or 0,
            model=totals.get("model") or "",
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=min(cached_tokens, input_tokens),
        )
    except InvalidInput:
        losses.append("the totals in cost_data are no token counts; they are kept there alone")
        return ()
