"""Messages of a record on a database: read in windows, saved as whole lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.messages import Message, NewMessage, StoredMessage, check_any_messages
from hansard.core.paging import Page, check_limit
from hansard.core.sessions import NewSession, SaveReceipt, Session
from hansard.core.threads import check_no_journal
from hansard.core.turns import check_seq
from hansard.core.windows import Window, check_window
from hansard.offload import check_list
from hansard.service.bound import Bound
from hansard.store import messages, sessions
from hansard.store.database import Tx

PAGE_STEP = 200  # messages read at a time while iterating
SHARED_MESSAGES = 200  # a read of more does not share its turn with others, who would wait for it

History = tuple[Session, Sequence[str]]


class Messages(Bound):
    """The part of the face that is about messages."""

    async def save_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_version: int | None = None,
    ) -> SaveReceipt:
        check = partial(check_any_messages, clock=self.clock)
        checked = await check_list(check, messages)
        check_no_journal(session_id)
        new = self.bare_session(session_id)
        return await self.write_session(
            session_id, lambda tx: _save(tx, self.actor, new, checked, expected_version)
        )

    async def messages(
        self, session_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncIterator[Message]:
        position: int | None = after
        while True:
            page = await self.list_messages(
                session_id, after=position, before=before, limit=PAGE_STEP
            )
            for message in page.items:
                yield message
            if page.next_cursor is None:
                return
            position = page.items[-1].seq

    async def list_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[Message]:
        page = await self.list_stored_messages(
            session_id, after=after, before=before, limit=limit, order=order
        )
        return Page(tuple(message.parsed() for message in page.items), page.next_cursor)

    async def list_stored_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[StoredMessage]:
        """Return a page of messages whose bodies are still text."""
        check_limit(limit)
        if order not in {"asc", "desc"}:
            raise InvalidInput("order must be asc or desc", code="invalid_order")
        check_seq(after, "after", least=-1)
        check_seq(before, "before")
        found = await self.read_session(
            session_id,
            lambda tx, _session: messages.list_page(
                tx,
                self.actor,
                session_id,
                after=after,
                before=before,
                limit=limit + 1,
                descending=order == "desc",
            ),
            alone=limit > SHARED_MESSAGES,
        )
        page = tuple(found[:limit])
        return Page(page, str(page[-1].seq) if len(found) > limit else None)

    async def tail(
        self, session_id: str, count: int, *, unit: str = "messages"
    ) -> tuple[Message, ...]:
        window = check_window(count, unit)

        def read(tx: Tx, _session: Session) -> tuple[Message, ...]:
            found = messages.list_window(tx, self.actor, session_id, window)
            return tuple(message.parsed() for message in found)

        return await self.read_session(session_id, read, alone=_is_long(window))

    async def read_history(self, session_id: str) -> History:
        """Return a session and all its message objects as JSON texts, of one snapshot."""

        def read(tx: Tx, session: Session) -> History:
            return session, messages.list_texts(tx, self.actor, session_id, first=0)

        def read_short(tx: Tx, session: Session) -> History | None:
            return None if session.message_count > SHARED_MESSAGES else read(tx, session)

        found = await self.read_session(session_id, read_short)
        if found is not None:
            return found
        return await self.read_session(session_id, read, alone=True)

    async def read_window(self, session_id: str, window: Window) -> History:
        """Return a session and its last message objects as JSON texts, of one snapshot."""

        def read(tx: Tx, session: Session) -> History:
            found = messages.list_window(tx, self.actor, session_id, window)
            return session, [message.text for message in found]

        return await self.read_session(session_id, read, alone=_is_long(window))


def _is_long(window: Window) -> bool:
    return window.unit == "tokens" or window.count > SHARED_MESSAGES


def _save(
    tx: Tx,
    actor: Actor,
    new: NewSession,
    checked: Sequence[NewMessage],
    expected_version: int | None,
) -> SaveReceipt:
    if expected_version is None:
        sessions.insert(tx, actor, new)
    head = sessions.lock(tx, actor, new.id, expected_version=expected_version)
    return messages.save(tx, actor, head, checked, new.at_us)
