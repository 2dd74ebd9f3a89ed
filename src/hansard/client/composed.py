"""Composed: calls that the HTTP API has no route for, made of those that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hansard.core.errors import Conflict, LimitReached, NotFound
from hansard.core.ids import check_id
from hansard.core.messages import Message
from hansard.core.paging import LIMIT_MAX, check_limit
from hansard.core.retention import HELD
from hansard.core.sessions import PurgeReport
from hansard.core.times import check_us
from hansard.core.windows import Cut, Window
from hansard.face import SessionService

FIND_PAGES_MAX = 20  # a prefix that so many sessions hold elsewhere is not worth the wait


async def find_ids(record: SessionService, prefix: str, limit: int) -> Sequence[str]:
    """Search for sessions whose ids begin with ``prefix``.

    Raises:
        LimitReached: If too many sessions have it elsewhere, in their titles for example.
    """
    check_id(prefix, "session_id")
    check_limit(limit)
    found: set[str] = set()
    cursor = None
    for _ in range(FIND_PAGES_MAX):
        page = await record.list(search=prefix, limit=LIMIT_MAX, cursor=cursor)
        found |= {session.id for session in page.items if session.id.startswith(prefix)}
        if page.next_cursor is None or len(found) >= limit:
            return sorted(found)[:limit]
        cursor = page.next_cursor
    raise LimitReached("give more of the id", code="prefix_too_short", prefix=prefix)


async def append_message(
    record: SessionService, session_id: str, message: Mapping[str, Any]
) -> Message:
    """Append a message and read it back."""
    receipt = await record.append_messages(session_id, [message])
    assert receipt.first_seq is not None
    page = await record.list_messages(session_id, after=receipt.first_seq - 1, limit=1)
    return page.items[0]


async def tail(record: SessionService, session_id: str, window: Window) -> tuple[Message, ...]:
    """Read backwards until the window is found."""
    cut = Cut(window)
    found: list[Message] = []
    while not cut.found:
        before = found[-1].seq if found else None
        page = await record.list_messages(session_id, before=before, limit=cut.step, order="desc")
        cut.show(map(Message.stored, page.items), first=page.next_cursor is None)
        found += page.items
    return tuple(reversed(found[: cut.length]))


async def purge(record: SessionService, updated_before_us: int, *, dry_run: bool) -> PurgeReport:
    """Remove sessions one by one, the oldest first; not in one transaction.

    A dry run cannot see a legal hold of the whole tenant.
    """
    check_us(updated_before_us, "updated_before")
    sessions = messages = 0
    cursor = None
    while True:
        page = await record.list(limit=LIMIT_MAX, cursor=cursor, sort="updated_at")
        for session in page.items:
            if session.updated_at_us >= updated_before_us:
                return PurgeReport(sessions=sessions, messages=messages, dry_run=dry_run)
            if not session.legal_hold and (dry_run or await _delete(record, session.id)):
                sessions += 1
                messages += session.message_count
        if page.next_cursor is None:
            return PurgeReport(sessions=sessions, messages=messages, dry_run=dry_run)
        cursor = page.next_cursor


async def _delete(record: SessionService, session_id: str) -> bool:
    """Remove a session; tell whether it is gone."""
    try:
        await record.delete(session_id)
    except NotFound:  # somebody else was faster
        return True
    except Conflict as error:
        if error.code != HELD:
            raise
        return False
    return True
