"""Lineage of a record on a database: sessions forked from others, and cut back."""

from __future__ import annotations

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.ids import check_id, make_ulid
from hansard.core.sessions import NewSession, Session
from hansard.core.threads import check_no_journal
from hansard.service.bound import Bound
from hansard.store import messages, sessions
from hansard.store.database import Tx
from hansard.store.sessions import Head


class Lineage(Bound):
    """The part of the face that is about forks and reverts."""

    async def fork(self, session_id: str, from_message_index: int | None = None) -> Session:
        check_id(session_id, "session_id")
        now_us = self.clock()
        new_id = "sess_" + make_ulid(now_us)
        return await self.write_session(
            new_id,
            lambda tx: _fork(tx, self.actor, session_id, new_id, from_message_index, now_us),
        )

    async def revert(self, session_id: str, to_message_index: int) -> Session:
        check_no_journal(session_id)
        now_us = self.clock()
        return await self.write_session(
            session_id,
            lambda tx: _revert(tx, self.actor, session_id, to_message_index, now_us),
        )


def copy(tx: Tx, actor: Actor, session_id: str, new: NewSession, count: int | None = None) -> None:
    """Make a session of the first messages of another, or of all.

    Raises:
        NotFound: If that is not there.
        InvalidInput: ``index_out_of_range``.
    """
    parent = sessions.lock(tx, actor, session_id)
    count = _index(parent.message_count if count is None else count, parent)
    sessions.insert(tx, actor, new, parent=(session_id, count))
    messages.copy(tx, actor, session_id, new.id, count)
    head = sessions.lock(tx, actor, new.id)
    head.message_count = count
    head.digest = messages.digest_at(tx, actor, session_id, count - 1)
    if count:
        messages.touch(tx, head, "messages.appended", added=count, now_us=new.at_us)


def _fork(
    tx: Tx, actor: Actor, session_id: str, new_id: str, count: int | None, now_us: int
) -> Session:
    old = sessions.get(tx, actor, session_id)
    new = NewSession(
        id=new_id,
        owner=actor.owner,
        agent=old.agent,
        title=old.title,
        model=old.model,
        system_prompt=old.system_prompt,
        metadata=strict_json.dumps(old.metadata),
        cost_data="{}",
        messages=[],
        at_us=now_us,
    )
    copy(tx, actor, session_id, new, count)
    return sessions.get(tx, actor, new_id)


def _revert(tx: Tx, actor: Actor, session_id: str, count: int, now_us: int) -> Session:
    head = sessions.lock(tx, actor, session_id)
    messages.revert(tx, actor, head, _index(count, head), now_us)
    return sessions.get(tx, actor, session_id)


def _index(count: int, head: Head) -> int:
    if type(count) is not int or not 0 <= count <= head.message_count:
        raise InvalidInput(
            f"message index must be from 0 to {head.message_count}",
            code="index_out_of_range",
            message_count=head.message_count,
        )
    return count
