"""Threads made of threads and sessions: forked, undone, resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.messages import text_of
from hansard.core.sessions import NewSession, Session, check_new_session, check_title
from hansard.core.thread_settings import ThreadSettings
from hansard.core.threads import (
    NewEvent,
    Thread,
    check_thread_id,
    is_thread_id,
    make_thread_id,
    turn_active,
)
from hansard.core.turns import SEQ_MAX
from hansard.service import lineage
from hansard.service.thread_saves import ThreadSaves
from hansard.store import sessions, threads
from hansard.store.database import Tx

DEFAULT: Final = ThreadSettings()


class ThreadCopies(ThreadSaves):
    """The part of the threads of a database that makes new ones."""

    async def create(
        self,
        agent: str,
        *,
        title: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        settings: ThreadSettings = DEFAULT,
        archived: bool = False,
    ) -> Thread:
        """Make a thread without messages.

        Raises:
            InvalidInput: If any part cannot be recorded.
        """
        title = None if title is None else check_title(title)
        journal = self._journal(agent=agent, title=title, model=model, system_prompt=system_prompt)

        def make(tx: Tx) -> Thread:
            sessions.insert(tx, self.actor, journal)
            started = [NewEvent("thread.started", "{}")]
            return _add(tx, self.actor, journal, started, settings=settings, archived=archived)

        return await self.write_session(journal.id, make)

    async def fork(self, thread_id: str, count: int | None = None) -> Thread:
        """Make a thread of the first messages of another, and of the turns that they are of.

        A turn under way is not among them. What was used so far is carried over.

        Raises:
            InvalidInput: ``index_out_of_range``.
        """
        check_thread_id(thread_id)

        def copy(tx: Tx) -> Thread:
            return self._fork(tx, threads.hold(tx, self.actor, thread_id), count)

        return await self.runner.write(copy, key=(self.actor.tenant_id, thread_id))

    async def resume(
        self,
        session_id: str,
        agent: str,
        *,
        model: str | None = None,
        settings: ThreadSettings = DEFAULT,
    ) -> tuple[Thread, Session]:
        """Make a thread that goes on where a session stands, and is saved as that again.

        A journal is its own thread's alone, so nothing is saved as one.

        Raises:
            NotFound: If there is no such session.
        """

        def copy(tx: Tx) -> tuple[Thread, Session]:
            sessions.lock(tx, self.actor, session_id)
            source = sessions.get(tx, self.actor, session_id)
            journal = self._journal(
                agent=agent,
                title=source.title,
                model=model or source.model,
                system_prompt=source.system_prompt,
            )
            lineage.copy(tx, self.actor, session_id, journal)
            thread = _add(
                tx,
                self.actor,
                journal,
                [NewEvent("thread.started", "{}")],
                settings=settings,
                session_id=None if is_thread_id(session_id) else session_id,
                carried=json.dumps(source.total_usage._asdict()),
            )
            return thread, source

        return await self.write_session(session_id, copy)

    async def undo(self, thread_id: str, depth: int = 0) -> tuple[Thread, str | None]:
        """Make a thread without the last turns of another; return also what began them.

        Raises:
            Conflict: ``turn_active``.
            InvalidInput: ``too_few_turns``.
        """
        check_thread_id(thread_id)
        if not 0 <= depth <= SEQ_MAX:
            raise _too_few(depth)

        def copy(tx: Tx) -> tuple[Thread, str | None]:
            thread = threads.hold(tx, self.actor, thread_id)
            if thread.turn_id is not None:
                raise turn_active(thread_id, thread.turn_id)
            cut = threads.find_cut(tx, self.actor, thread_id, depth)
            if cut is None:
                raise _too_few(depth)
            index, body = cut
            asked = text_of(json.loads(body).get("content"))
            return self._fork(tx, thread, index), asked or None

        return await self.runner.write(copy, key=(self.actor.tenant_id, thread_id))

    async def discard(self, thread_id: str) -> None:
        """Remove a thread that was made for a turn which could not begin."""
        now_us = self.clock()
        await self.write_session(
            thread_id,
            lambda tx: sessions.delete(tx, sessions.lock(tx, self.actor, thread_id), now_us),
        )

    def _fork(self, tx: Tx, source: Thread, count: int | None) -> Thread:
        journal = self._journal(
            agent=source.agent,
            title=source.title,
            model=source.model,
            system_prompt=source.system_prompt,
        )
        lineage.copy(tx, self.actor, source.id, journal, count)
        event = NewEvent("thread.forked", f'{{"source_thread_id":"{source.id}"}}')
        return _add(
            tx,
            self.actor,
            journal,
            [NewEvent("thread.started", "{}"), event],
            settings=source.settings,
            parent_id=source.id,
            turn_count=source.turn_count,
            context=source.context_of(source.message_count if count is None else count),
            carried=json.dumps(source.total_usage._asdict()),
        )

    def _journal(
        self,
        *,
        agent: str,
        title: str | None,
        model: str | None,
        system_prompt: str | None,
    ) -> NewSession:
        return check_new_session(
            session_id=make_thread_id(self.clock()),
            owner=self.actor.owner,
            agent=agent,
            title=title,
            model=model or None,
            system_prompt=system_prompt or None,
            clock=self.clock,
        )


def _add(
    tx: Tx,
    actor: Actor,
    journal: NewSession,
    events: Sequence[NewEvent],
    **given: Any,
) -> Thread:
    threads.add(tx, actor, journal, events, **given)
    return threads.get(tx, actor, journal.id)


def _too_few(depth: int) -> InvalidInput:
    return InvalidInput("the thread has fewer turns", code="too_few_turns", depth=depth)
