"""Threads and sessions made of each other: forked, undone, resumed, saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.messages import check_any_messages
from hansard.core.sessions import (
    NewSession,
    SaveReceipt,
    Session,
    check_changes,
    check_new_session,
)
from hansard.core.thread_settings import ThreadSettings
from hansard.core.threads import (
    NewEvent,
    Thread,
    check_no_journal,
    check_thread_id,
    make_thread_id,
    turn_active,
)
from hansard.core.usage import TOTAL_MAX, UsageTotals
from hansard.offload import check_list
from hansard.service import lineage
from hansard.service.bound import Bound
from hansard.store import messages as messages_store
from hansard.store import sessions, threads
from hansard.store.database import Tx

T = TypeVar("T")

DEFAULT: Final = ThreadSettings()


class ThreadCopies(Bound):
    """The part of the threads of a database that makes new ones, and sessions."""

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
        journal = self._journal(agent=agent, title=title, model=model, system_prompt=system_prompt)

        def make(tx: Tx) -> Thread:
            sessions.insert(tx, self.actor, journal)
            started = [NewEvent("thread.started", "{}")]
            return _add(tx, self.actor, journal, started, settings=settings, archived=archived)

        return await self.write_session(journal.id, make)

    async def fork(self, thread_id: str, count: int | None = None) -> Thread:
        """Make a thread of the first messages of another, and of the turns that they are of.

        Raises:
            InvalidInput: ``index_out_of_range``.
        """
        check_thread_id(thread_id)

        def copy(tx: Tx) -> Thread:
            source = threads.get(tx, self.actor, thread_id)
            journal = self._journal(
                agent=source.agent,
                title=source.title,
                model=source.model,
                system_prompt=source.system_prompt,
            )
            lineage.copy(tx, self.actor, thread_id, journal, count)
            event = NewEvent("thread.forked", f'{{"source_thread_id":"{thread_id}"}}')
            return _add(
                tx,
                self.actor,
                journal,
                [NewEvent("thread.started", "{}"), event],
                settings=source.settings,
                parent_id=thread_id,
                turn_count=source.turn_count,
                context=source.context_of(source.message_count if count is None else count),
            )

        return await self.runner.write(copy, key=(self.actor.tenant_id, thread_id))

    async def resume(
        self,
        session_id: str,
        agent: str,
        *,
        model: str | None = None,
        settings: ThreadSettings = DEFAULT,
    ) -> tuple[Thread, Session]:
        """Make a thread that goes on where a session stands.

        Raises:
            NotFound: If there is no such session.
        """

        def copy(tx: Tx) -> tuple[Thread, Session]:
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
                session_id=session_id,
                carried=json.dumps(used_by(source)._asdict()),
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

        def find(tx: Tx) -> tuple[int, str] | None:
            thread = threads.get(tx, self.actor, thread_id)
            if thread.turn_id is not None:
                raise turn_active(thread_id, thread.turn_id)
            return threads.find_cut(tx, self.actor, thread_id, depth)

        cut = await self.runner.read(find)
        if cut is None:
            raise InvalidInput("the thread has fewer turns", code="too_few_turns", depth=depth)
        index, body = cut
        content = json.loads(body).get("content")
        return await self.fork(thread_id, index), content if isinstance(content, str) else None

    async def copy_to_session(self, thread_id: str, title: str | None) -> Session:
        """Make a session of what the record holds of a thread.

        Raises:
            Conflict: ``turn_active``.
            InvalidInput: ``empty_thread``.
        """
        check_thread_id(thread_id)

        def copy(tx: Tx) -> Session:
            thread = threads.get(tx, self.actor, thread_id)
            if thread.turn_id is not None:
                raise turn_active(thread_id, thread.turn_id)
            if not thread.message_count:
                raise InvalidInput("the thread has no messages to save", code="empty_thread")
            new = check_new_session(
                owner=self.actor.owner,
                agent=thread.agent,
                title=title or thread.title,
                model=thread.model,
                system_prompt=thread.system_prompt,
                cost_data=_told(thread),
                clock=self.clock,
            )
            lineage.copy(tx, self.actor, thread_id, new)
            return sessions.get(tx, self.actor, new.id)

        return await self.write_session(thread_id, copy)

    async def save(
        self,
        thread: Thread,
        messages: Sequence[Mapping[str, Any]],
        usage: UsageTotals,
        *,
        session_id: str | None,
        expected_version: int | None = None,
    ) -> tuple[SaveReceipt, Session, bool]:
        """Write what a thread holds as a session; return also that, and whether it was made.

        Raises:
            Conflict: ``version_mismatch``, or ``session_is_thread``.
            NotFound: If the session is another owner's.
        """
        new = check_new_session(
            session_id=session_id,
            owner=self.actor.owner,
            agent=thread.agent,
            title=thread.title,
            model=thread.model,
            system_prompt=thread.system_prompt,
            clock=self.clock,
        )
        check_no_journal(new.id)
        checked = await check_list(partial(check_any_messages, clock=self.clock), messages)
        told = _told(thread, usage)

        def save(tx: Tx) -> tuple[SaveReceipt, Session, bool]:
            made = sessions.insert(tx, self.actor, new)
            head = sessions.lock(tx, self.actor, new.id, expected_version=expected_version)
            receipt = messages_store.save(tx, self.actor, head, checked, new.at_us)
            if not made:
                sessions.describe(
                    tx,
                    self.actor,
                    new.id,
                    title=thread.title or sessions.get(tx, self.actor, new.id).title,
                    model=thread.model,
                    system_prompt=thread.system_prompt,
                    now_us=new.at_us,
                )
            changes = check_changes(cost_data=told)
            update = sessions.update(
                tx, self.actor, new.id, changes, expected_version=None, now_us=new.at_us
            )
            return receipt, update.session, made

        return await self.write_session(new.id, save)

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
            model=model,
            system_prompt=system_prompt,
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


def used_by(session: Session) -> UsageTotals:
    """What a session used: what was counted in it, or what its client says, if that is more."""
    said = {
        name: value
        for name in ("input_tokens", "output_tokens", "cached_tokens")
        if type(value := session.cost_data.get(name)) is int and 0 <= value <= TOTAL_MAX
    }
    counted = session.usage._asdict()
    most = {name: max(count, said.get(name, 0)) for name, count in counted.items()}
    return UsageTotals(**most)


def _told(thread: Thread, usage: UsageTotals | None = None) -> dict[str, Any]:
    """What a saved session's ``cost_data`` says of its thread."""
    total = usage or thread.total_usage
    return {
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cached_tokens": total.cached_tokens,
        "total_tokens": total.input_tokens + total.output_tokens,
        "model": thread.model,
        "turn_count": thread.turn_count,
    }
