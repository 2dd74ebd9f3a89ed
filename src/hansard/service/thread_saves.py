"""Threads saved as sessions: what the record holds of them, or what their engines hold.

messages of the journal --copied by SQL, from the first digest that differs--> session
messages of the running turn --checked, digested----------------------------^
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.messages import check_messages
from hansard.core.sessions import (
    SaveReceipt,
    Session,
    check_new_session,
    check_title,
    title_of,
    tokens_told,
)
from hansard.core.threads import Thread, check_no_journal, check_thread_id, turn_active
from hansard.core.usage import TOTAL_MAX, UsageTotals
from hansard.offload import check_list
from hansard.service import lineage
from hansard.service.bound import Bound
from hansard.store import messages, sessions, threads
from hansard.store.database import Tx

TITLE_SOUGHT: Final = 8  # messages: what a user says first stands near the beginning


class ThreadSaves(Bound):
    """The part of the threads of a database that makes sessions of them."""

    async def copy_to_session(self, thread_id: str, title: str | None) -> Session:
        """Make a session of what the record holds of a thread.

        Raises:
            Conflict: ``turn_active``.
            InvalidInput: ``empty_thread``.
        """
        check_thread_id(thread_id)
        title = None if title is None else check_title(title)

        def copy(tx: Tx) -> Session:
            thread = threads.hold(tx, self.actor, thread_id)
            if thread.turn_id is not None:
                raise turn_active(thread_id, thread.turn_id)
            if not thread.message_count:
                raise InvalidInput("the thread has no messages to save", code="empty_thread")
            new = check_new_session(
                owner=self.actor.owner,
                agent=thread.agent,
                title=title or thread.title or _title_of(tx, self.actor, thread_id),
                model=thread.model,
                system_prompt=thread.system_prompt,
                cost_data=_told(thread, thread.total_usage, {}),
                clock=self.clock,
            )
            lineage.copy(tx, self.actor, thread_id, new)
            return sessions.get(tx, self.actor, new.id)

        return await self.write_session(thread_id, copy)

    async def save(
        self,
        thread: Thread,
        said: Sequence[Mapping[str, Any]],
        usage: UsageTotals,
        *,
        turn_id: str | None,
        session_id: str | None,
        expected_version: int | None = None,
    ) -> tuple[SaveReceipt, Session, bool]:
        """Write what a thread holds as a session; return also that, and whether it was made.

        One that is made belongs to whom the thread belongs to.

        Args:
            thread: Its ``message_count`` first messages of the journal are taken over.
            said: What its running turn has said beside those.
            usage: Its tokens; a session that says more goes on saying so.
            turn_id: Of the running turn.
            session_id: None makes a new session.
            expected_version: Of the session.

        Raises:
            Conflict: ``version_mismatch``, or ``session_is_thread``.
            NotFound: If the session is another owner's, or is to have a version and is not
                there, or the thread is gone.
            Corrupt: ``session_corrupt``; it is left as it is.
        """
        new = check_new_session(
            session_id=session_id,
            owner=thread.owner,
            agent=thread.agent,
            title=thread.title,
            model=thread.model,
            system_prompt=thread.system_prompt,
            cost_data=_told(thread, usage, {}),
            clock=self.clock,
        )
        check_no_journal(new.id)
        rest = await check_list(partial(check_messages, clock=self.clock), said)

        def save(tx: Tx) -> tuple[SaveReceipt, Session, bool]:
            made = expected_version is None and sessions.insert(tx, self.actor, new)
            head = sessions.lock(tx, self.actor, new.id, expected_version=expected_version)
            receipt = messages.save_as(
                tx,
                self.actor,
                head,
                thread.id,
                thread.message_count,
                rest,
                turn_id=turn_id,
                now_us=new.at_us,
            )
            before = sessions.get(tx, self.actor, new.id)
            title = _title_of(tx, self.actor, new.id) if made else before.title
            session = sessions.describe(
                tx,
                self.actor,
                new.id,
                title=thread.title or title,
                model=thread.model,
                system_prompt=thread.system_prompt,
                cost_data=_told(thread, usage, before.cost_data),
                now_us=new.at_us,
            )
            return receipt, session, made

        return await self.write_session(new.id, save)


def _title_of(tx: Tx, actor: Actor, session_id: str) -> str:
    """What a user said first, if that stands where it is looked for."""
    first = messages.list_page(tx, actor, session_id, limit=TITLE_SOUGHT)
    return title_of(message.parsed().body for message in first)


def _told(thread: Thread, usage: UsageTotals, before: Mapping[str, Any]) -> dict[str, Any]:
    """What a saved session's ``cost_data`` says of its thread; its tokens never become fewer."""
    counted = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "total_tokens": min(usage.input_tokens + usage.output_tokens, TOTAL_MAX),
    }
    told = {name: max(count, tokens_told(before, name)) for name, count in counted.items()}
    return {**told, "model": thread.model, "turn_count": thread.turn_count}
