"""Sessions over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, UnsetType

from hansard.core.errors import InvalidInput
from hansard.core.ids import check_strict_id
from hansard.core.peeks import ENTRIES_MAX, peek
from hansard.core.sessions import UNSET, Session, SessionQuery
from hansard.core.times import parse_us
from hansard.core.windows import Window
from hansard.server import answers, bodies
from hansard.server.calls import Call, Reply, etag, page_limit, to_json
from hansard.server.preconditions import expected_version
from hansard.server.requests import prefers_minimal
from hansard.server.session_shapes import (
    SUMMARY_LIMIT_MAX,
    SUMMARY_SORTS,
    SessionMetadata,
    SessionPeek,
    SessionRow,
    SummaryQuery,
    merged_metadata,
)
from hansard.server.thread_saves import save_stored

_WINDOW = re.compile(r"(tail|turns|tokens):([1-9]\d{0,6})", re.ASCII)
_THREAD_MESSAGES = 2_000  # longer histories are written beside the event loop, not in it
_APPLIED: Final = (b"preference-applied", b"return=minimal")


async def create_session(call: Call[bodies.NoQuery, bodies.CreateBody]) -> Reply:
    """Make a session; or one of what the record holds of a thread."""
    body = call.body
    if body.thread_id is not None:
        return await save_stored(call, body.thread_id, body.title)
    session_id = body.session_id
    session = await call.record.create(
        session_id=None if session_id is None else check_strict_id(session_id, "session_id"),
        title=body.title,
        agent=body.agent,
        model=body.model,
        system_prompt=body.system_prompt,
        metadata=body.metadata,
        cost_data=body.cost_data,
        messages=body.messages,
    )
    location = (b"location", f"/v1/sessions/{session.id}".encode())
    return Reply(to_json(answers.Created(session.id)), headers=(location, etag(session.version)))


async def list_sessions(call: Call[bodies.SessionsQuery, None]) -> Reply:
    """List sessions without their histories."""
    query = call.query
    page = await call.record.list(
        SessionQuery(
            limit=page_limit(call, query.limit),
            cursor=query.cursor,
            agent=query.agent,
            owner=query.owner,
            search=query.search,
            archived=query.archived,
            sort=query.sort,
            created_after_us=_time_us(query.created_after, "created_after"),
            created_before_us=_time_us(query.created_before, "created_before"),
            updated_after_us=_time_us(query.updated_after, "updated_after"),
        )
    )
    rows = [answers.SessionSummary(**answers.summary_fields(item)) for item in page.items]
    return Reply(to_json(answers.SessionPage(rows, page.next_cursor)))


async def summarize_sessions(call: Call[SummaryQuery, None]) -> Reply:
    """List sessions in a line each."""
    query = call.query
    archived = None if query.include_archived else False
    found = await call.record.summarize(
        SessionQuery(
            limit=min(max(query.limit, 1), SUMMARY_LIMIT_MAX),
            search=query.search,
            archived=True if query.archived_only else archived,
            sort=SUMMARY_SORTS.get(query.sort, SUMMARY_SORTS["recent"]),
        )
    )
    return Reply(to_json([SessionRow.of(session) for session in found]))


async def get_session(call: Call[bodies.SessionViewQuery, None]) -> Reply:
    """Return a session with its history, with a part of it, or a peek at its end."""
    texts: Sequence[str] | None
    if call.query.peek:
        return await _peek(call)
    match call.query.messages:
        case "none":
            session, texts = await call.record.get(call.session_id), None
        case "all":
            session, texts = await call.record.read_history(call.session_id)
        case view:
            session, texts = await call.record.read_window(call.session_id, _window(view))
    fields = answers.session_fields(session, texts)
    fields["metadata"] = merged_metadata(session)
    answer = answers.SessionDetail(own_metadata=session.metadata, **fields)
    return Reply(await _write(answer, texts), headers=(etag(session.version),))


async def _peek(call: Call[bodies.SessionViewQuery, None]) -> Reply:
    count = min(max(call.query.entries, 1), ENTRIES_MAX)
    session, texts = await call.record.read_window(call.session_id, Window(count))
    entries = peek([json.loads(text) for text in texts], count)
    return Reply(to_json(SessionPeek.of(session, entries, len(texts))))


async def has_session(call: Call[bodies.NoQuery, None]) -> Reply:
    """Tell whether a session exists, and its version."""
    session = await call.record.get(call.session_id)
    return Reply(headers=(etag(session.version),))


async def save_session(call: Call[bodies.NoQuery, bodies.SaveBody]) -> Reply:
    """Make the history equal to the list that was sent; an unknown session is made."""
    receipt = await call.record.save_messages(
        call.session_id,
        call.body.messages,
        expected_version=await expected_version(call, call.session_id),
    )
    answer = answers.Saved(
        session_id=call.session_id,
        saved=True,
        version=receipt.version,
        message_count=receipt.message_count,
        appended=receipt.appended,
        replaced=receipt.replaced,
    )
    return Reply(to_json(answer), headers=(etag(receipt.version),))


async def update_session(call: Call[bodies.NoQuery, bodies.UpdateBody]) -> Reply:
    """Change a session's own fields, and return it as it is then."""
    body = call.body
    receipt = await call.record.update(
        call.session_id,
        title=UNSET if isinstance(body.title, UnsetType) else body.title,
        metadata=UNSET if isinstance(body.metadata, UnsetType) else body.metadata,
        archived=UNSET if isinstance(body.archived, UnsetType) else body.archived,
        legal_hold=UNSET if isinstance(body.legal_hold, UnsetType) else body.legal_hold,
        cost_data=body.cost_data,
        expected_version=await expected_version(call, call.session_id),
    )
    if prefers_minimal(call.headers):
        return await _updated(receipt.session, None, receipt.changes, _APPLIED)
    session, texts = await call.record.read_history(call.session_id)
    return await _updated(session, texts, receipt.changes)


async def delete_session(call: Call[bodies.NoQuery, None]) -> Reply:
    """Remove a session with all that belongs to it."""
    await call.record.delete(call.session_id)
    return Reply(to_json(answers.Deleted(deleted=True)))


async def get_cost_data(call: Call[bodies.NoQuery, None]) -> Reply:
    """Return the clients' own cost object."""
    cost_data = await call.record.get_cost_data(call.session_id)
    return Reply(to_json(answers.CostData(call.session_id, cost_data)))


async def fork_session(call: Call[bodies.NoQuery, bodies.ForkBody]) -> Reply:
    """Make a session that shares the first messages of this one."""
    session = await call.record.fork(call.session_id, call.body.from_message_index)
    answer = answers.Forked(session.id, session.parent_session_id, session.message_count)
    location = (b"location", f"/v1/sessions/{session.id}".encode())
    return Reply(to_json(answer), headers=(location, etag(session.version)))


async def revert_session(call: Call[bodies.NoQuery, bodies.RevertBody]) -> Reply:
    """Cut the history back to its first messages."""
    session = await call.record.revert(call.session_id, call.body.to_message_index)
    return Reply(headers=(etag(session.version),))


async def verify_session(call: Call[bodies.NoQuery, None]) -> Reply:
    """Recompute the digest chain and compare."""
    outcome = await call.record.verify(call.session_id)
    return Reply(to_json(answers.VerifyAnswer.of(outcome)))


async def _updated(
    session: Session,
    texts: Sequence[str] | None,
    changes: Sequence[str],
    *headers: tuple[bytes, bytes],
) -> Reply:
    answer = answers.UpdateAnswer(
        **answers.session_fields(session, texts),
        session=SessionMetadata.of(session),
        changes={name: getattr(session, name) for name in changes},
    )
    return Reply(await _write(answer, texts), headers=(etag(session.version), *headers))


async def _write(answer: Struct, texts: Sequence[str] | None) -> bytes:
    if texts is not None and len(texts) > _THREAD_MESSAGES:
        return await asyncio.to_thread(to_json, answer)
    return to_json(answer)


def _window(view: str) -> Window:
    match = _WINDOW.fullmatch(view)
    if match is None:
        raise InvalidInput(
            "messages must be all, none, tail:N, turns:N or tokens:N", code="invalid_query"
        )
    return Window(int(match[2]), "messages" if match[1] == "tail" else match[1])


def _time_us(text: str | None, field: str) -> int | None:
    return None if text is None else parse_us(text, field)
