"""Histories: what goes to the model, and what of it is new, by what the record holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from hansard.core import strict_json
from hansard.core.errors import LimitReached, NotFound
from hansard.core.history import Stored, continues, is_whole, relate
from hansard.core.messages import StoredMessage
from hansard.core.paging import LIMIT_MAX
from hansard.core.sessions import Session
from hansard.offload import THREAD_MESSAGES
from hansard.service.sessions import DatabaseSessions

T = TypeVar("T")
Bodies = list[dict[str, Any]]

MESSAGES_MAX: Final = 20_000  # that are put before what a client sent; no model takes as many
BYTES_MAX: Final = 64 * 1024 * 1024  # of them; as large as the largest body that is let in
_NOT_FOR_MODELS: Final = frozenset({"other_choices"})  # of a recorded answer


class Prompt(NamedTuple):
    """A question as the model gets it.

    Attributes:
        messages: All of them.
        new: Those that the record does not hold yet.
    """

    messages: Bodies
    new: Bodies


async def prepare(
    record: DatabaseSessions, session_id: str, sent: Bodies, way: str = "auto"
) -> Prompt:
    """Complete what a client sent by what is stored.

    Raises:
        NotFound: If the session is somebody else's.
        LimitReached: ``history_too_long``, if what is stored is more than a model can take.
    """
    session = await _find(record, session_id)
    count = session.message_count if session is not None else 0
    if session is None or not count:
        return Prompt(sent, sent)
    if way != "new" and await _beside(len(sent), lambda: continues(sent, count, session.digest)):
        return Prompt(sent, sent[count:])
    if is_whole(sent, way) and count > 2 * len(sent):
        first = await _read(record, session_id, after=-1, before=min(len(sent), count))
        last = await _read(record, session_id, after=count - len(sent) - 1, before=count)
        ends = Stored(count, first, last)
        relation = await _beside(len(sent), lambda: relate(ends, sent, way))
        if relation.keeps_history:
            return Prompt(sent, sent[relation.new_from :])
    held = await _read(record, session_id, after=-1, before=count)
    relation = await _beside(count, lambda: relate(Stored.whole(held), sent, way))
    new = sent[relation.new_from :]
    return Prompt(sent if relation.keeps_history else [*map(_for_model, held), *new], new)


async def _find(record: DatabaseSessions, session_id: str) -> Session | None:
    """Return the session, if there is one; not if it is another owner's."""
    try:
        return await record.get(session_id)
    except NotFound:
        everybody = replace(record.actor, sees_all=True)
        if not record.actor.sees_all and await record.acting_as(everybody).exists(session_id):
            raise
        return None


async def _read(
    record: DatabaseSessions, session_id: str, *, after: int, before: int
) -> Sequence[dict[str, Any]]:
    """Read the messages between two places, page by page."""
    if before - after - 1 > MESSAGES_MAX:
        raise _too_long()
    held: Bodies = []
    size_bytes = 0
    position: int = after
    while position < before - 1:
        page = await record.list_stored_messages(
            session_id, after=position, before=before, limit=min(LIMIT_MAX, before - after - 1)
        )
        if not page.items:
            break  # cut back meanwhile
        size_bytes += sum(len(message.text) for message in page.items)
        if size_bytes > BYTES_MAX:
            raise _too_long()
        held += await _beside(len(page.items), partial(_parse, page.items))
        position = page.items[-1].seq
    return held


def _parse(page: Sequence[StoredMessage]) -> Bodies:
    return [strict_json.loads(message.text) for message in page]


def _for_model(message: dict[str, Any]) -> dict[str, Any]:
    if _NOT_FOR_MODELS.isdisjoint(message):
        return message
    return {key: value for key, value in message.items() if key not in _NOT_FOR_MODELS}


async def _beside(size: int, work: Callable[[], T]) -> T:
    """Do what takes long for many messages beside the event loop."""
    return await asyncio.to_thread(work) if size > THREAD_MESSAGES else work()


def _too_long() -> LimitReached:
    return LimitReached(
        "the session is too long to be put before what was sent; send the history, or fork",
        code="history_too_long",
    )
