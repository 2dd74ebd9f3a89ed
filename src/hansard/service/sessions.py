"""The record on a database: the face, composed of transactions.

Arguments are checked here, on the caller's own loop; what is left is a function of a
transaction, which a thread of the database runs whole. A caller that is cancelled stops
waiting; its transaction happens or does not, never half.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hansard.core.actors import Actor
from hansard.core.documents import ImportReport
from hansard.core.durability import Finding
from hansard.core.errors import Conflict, NotFound, Unauthorized
from hansard.core.events import Event
from hansard.core.ids import check_id
from hansard.core.messages import check_messages
from hansard.core.paging import Page, check_limit
from hansard.core.sessions import (
    SORT_FIELDS,
    UNSET,
    NewSession,
    PurgeReport,
    Session,
    SessionQuery,
    Unset,
    UpdateReceipt,
    Verification,
    check_changes,
    check_filters,
    check_new_session,
)
from hansard.core.threads import check_no_journal
from hansard.core.times import check_us
from hansard.core.turns import check_seq
from hansard.offload import check_list
from hansard.service import exchange, verification
from hansard.service.budgets import Budgets
from hansard.service.lineage import Lineage
from hansard.store import durability, events, messages, retention, session_lists, sessions
from hansard.store.database import Tx
from hansard.store.retention import Purged

EVENTS_STEP = 200  # events read at a time
POLL_S = 1.0  # how long a reader of events relies on announcements alone


class DatabaseSessions(Budgets, Lineage):
    """Implements ``SessionService`` on a database, on behalf of one actor."""

    async def __aenter__(self) -> Self:
        await self.runner.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.runner.close()

    def acting_as(self, actor: Actor) -> DatabaseSessions:
        """The same record on behalf of another actor; cheap, nothing to close."""
        return DatabaseSessions(self.runner, actor=actor, clock=self.clock, shelf=self.shelf)

    async def create(
        self,
        *,
        session_id: str | None = None,
        agent: str | None = None,
        title: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        cost_data: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
    ) -> Session:
        if session_id is not None:
            check_no_journal(session_id)
        new = check_new_session(
            session_id=session_id,
            owner=self.actor.owner,
            agent=agent,
            title=title,
            model=model,
            system_prompt=system_prompt,
            metadata=metadata,
            cost_data=cost_data,
            messages=await check_list(partial(check_messages, clock=self.clock), messages),
            clock=self.clock,
        )
        return await self.write_session(new.id, lambda tx: _create(tx, self.actor, new))

    async def get(self, session_id: str) -> Session:
        return await self.read_session(session_id, lambda _tx, session: session)

    async def exists(self, session_id: str) -> bool:
        try:
            await self.get(session_id)
        except NotFound:
            return False
        return True

    async def list(self, query: SessionQuery | None = None, /, **filters: Any) -> Page[Session]:
        query = query or check_filters(filters)
        cursors = self.cursors(query.sort)
        position = cursors.read(query.cursor)
        read = self.runner.read if query.search is None else self.runner.read_alone
        found = await read(lambda tx: session_lists.list_page(tx, self.actor, query, position))
        field = SORT_FIELDS[query.sort.removeprefix("-")]
        return cursors.page(
            found, query.limit, lambda last: [_shown(getattr(last, field)), last.id]
        )

    async def summarize(self, query: SessionQuery) -> Sequence[Session]:
        """Return the first sessions of a list, with their ``cost_data``."""

        def read(tx: Tx) -> list[Session]:
            found = session_lists.list_page(tx, self.actor, query, None)[: query.limit]
            return session_lists.with_cost_data(tx, self.actor, found)

        return await self.runner.read_alone(read)

    async def find_ids(self, prefix: str, *, limit: int = 10) -> Sequence[str]:
        """Return ids of sessions that begin with ``prefix``."""
        check_id(prefix, "session_id")
        check_limit(limit)
        return await self.runner.read(
            lambda tx: session_lists.list_ids_by_prefix(tx, self.actor, prefix, limit)
        )

    async def update(
        self,
        session_id: str,
        *,
        title: str | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        archived: bool | Unset = UNSET,
        legal_hold: bool | Unset = UNSET,
        cost_data: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> UpdateReceipt:
        changes = check_changes(
            title=title,
            metadata=metadata,
            archived=archived,
            legal_hold=legal_hold,
            cost_data=cost_data,
        )
        if changes.names() != ["legal_hold"]:
            check_no_journal(session_id)
        if legal_hold is not UNSET and not self.actor.sets_retention:
            raise Unauthorized("legal holds are not yours to set", code="forbidden")
        now_us = self.clock()
        return await self.write_session(
            session_id,
            lambda tx: sessions.update(
                tx,
                self.actor,
                session_id,
                changes,
                expected_version=expected_version,
                now_us=now_us,
            ),
        )

    async def get_cost_data(self, session_id: str) -> dict[str, Any]:
        return (await self.get(session_id)).cost_data

    async def delete(self, session_id: str) -> None:
        check_no_journal(session_id)
        now_us = self.clock()
        await self.write_session(
            session_id,
            lambda tx: sessions.delete(tx, sessions.lock(tx, self.actor, session_id), now_us),
        )

    async def verify(self, session_id: str) -> Verification:
        check_id(session_id, "session_id")
        return await self.runner.read_apart(
            lambda tx: verification.verify(tx, self.actor, sessions.get(tx, self.actor, session_id))
        )

    async def purge(self, *, updated_before_us: int, dry_run: bool = False) -> PurgeReport:
        check_us(updated_before_us, "updated_before")
        if dry_run:
            found = await self.runner.read_alone(
                lambda tx: retention.count_sessions(tx, self.actor, updated_before_us)
            )
            return PurgeReport(sessions=found.sessions, messages=found.messages, dry_run=True)
        removed = count = 0
        while (gone := await self._purge(updated_before_us)).sessions:
            removed += gone.sessions
            count += gone.messages
        return PurgeReport(sessions=removed, messages=count, dry_run=False)

    def export_session(self, session_id: str, format: str = "native") -> AsyncIterator[bytes]:
        return exchange.export_session(self, session_id, format)

    async def import_session(
        self, source: bytes | Path | str, format: str = "native", *, dry_run: bool = False
    ) -> ImportReport:
        return await exchange.import_session(self, source, format, dry_run=dry_run)

    async def events(self, session_id: str, *, since: int = 0) -> AsyncIterator[Event]:
        check_seq(since, "since")
        changed = asyncio.Event()
        key = (self.actor.tenant_id, check_id(session_id, "session_id"))
        with self.runner.hearing(key, changed.set):
            while True:
                changed.clear()
                found = await self.list_events(session_id, after=since)
                for event in found:
                    since = event.number
                    yield event
                if not found:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await changed.wait()

    async def list_events(self, session_id: str, *, after: int) -> Sequence[Event]:
        """Return a session's events after a number, in order; at most ``EVENTS_STEP``."""
        return await self.read_session(
            session_id,
            lambda tx, _session: events.list_page(
                tx, self.actor, session_id, after=after, limit=EVENTS_STEP
            ),
        )

    async def check(self) -> dict[str, Any]:
        """Ask the database whether it answers; return its engine and schema version."""
        version = await self.runner.read(lambda tx: tx.rows("schema_version")[0][0])
        return {"engine": self.runner.database.engine.dialect, "schema_version": version}

    async def look(self) -> Sequence[Finding]:
        """Look at what durability rests on, as far as that is quick."""
        return await asyncio.to_thread(durability.look, self.runner.database.engine)

    async def diagnose(self) -> Sequence[Finding]:
        """Look at everything that durability rests on."""
        return await asyncio.to_thread(durability.diagnose, self.runner.database.engine)

    async def _purge(self, before_us: int) -> Purged:
        now_us = self.clock()
        return await self.runner.write(
            lambda tx: retention.remove_sessions(tx, self.actor, before_us, now_us)
        )


def _create(tx: Tx, actor: Actor, new: NewSession) -> Session:
    if not sessions.insert(tx, actor, new):
        raise Conflict(f"session {new.id!r} exists", code="session_exists", session_id=new.id)
    if new.messages:
        head = sessions.lock(tx, actor, new.id)
        messages.save(tx, actor, head, new.messages, new.at_us)
    return sessions.get(tx, actor, new.id)


def _shown(value: int | str | None) -> int | str:
    """What a list sorts by: no title is an empty one."""
    return "" if value is None else value
