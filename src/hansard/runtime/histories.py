"""Histories: what goes to the model, and what of it is new, by what the record holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from hansard.core import strict_json
from hansard.core.errors import LimitReached, NotFound
from hansard.core.history import continues, find_new, is_whole, relate
from hansard.core.messages import StoredMessage
from hansard.core.paging import LIMIT_MAX
from hansard.core.sessions import Session
from hansard.core.turns import has_key
from hansard.offload import THREAD_BYTES, beside, is_long
from hansard.service.sessions import DatabaseSessions

Bodies = list[dict[str, Any]]

MESSAGES_MAX: Final = 20_000  # that a client sends, or that are put before; no model takes as many
END_MESSAGES: Final = 16  # that are read first: an answer and what may follow it
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


async def find_session(record: DatabaseSessions, session_id: str) -> Session | None:
    """Return a session, if there is one.

    Raises:
        NotFound: If it is another owner's.
    """
    try:
        return await record.get(session_id)
    except NotFound:
        everybody = replace(record.actor, sees_all=True)
        if not record.actor.sees_all and await record.acting_as(everybody).exists(session_id):
            raise
        return None


def _take_nothing(size_bytes: int) -> None:
    """Nobody counts what is read."""


async def prepare(
    record: DatabaseSessions, session_id: str, sent: Bodies, way: str = "auto"
) -> Prompt:
    """Find a session, and complete what a client sent by what is stored of it.

    Raises:
        NotFound: If the session is somebody else's.
        LimitReached: As ``complete``.
    """
    return await complete(record, await find_session(record, session_id), sent, way)


async def complete(
    record: DatabaseSessions,
    session: Session | None,
    sent: Bodies,
    way: str = "auto",
    take: Callable[[int], None] = _take_nothing,
    key: str | None = None,
) -> Prompt:
    """Complete what a client sent by what is stored of a session, as it was found.

    ``take`` is told the size of each page that is read, in bytes, and may raise. ``key`` is the
    client's for the request: if it was that of the last turn too, the request came once more.

    Raises:
        LimitReached: ``history_too_long``, if what is stored is more than a model can take.
    """
    count = session.message_count if session is not None else 0
    if session is None or not count:
        return Prompt(sent, sent)
    read = partial(_read, record, session.id, take)
    is_large = is_long(sent)
    if way != "new" and await beside(is_large, lambda: continues(sent, count, session.digest)):
        return Prompt(sent, sent[count:])
    if is_whole(sent, way):
        end = await read(after=max(count - END_MESSAGES, 0) - 1, before=count)
        new_from = await beside(is_large, lambda: find_new(end, count, sent))
        if new_from is not None:
            return Prompt(sent, sent[new_from:])
    if way == "auto" and key is not None and await _is_last(record, session.id, count, key):
        way = "retry"
    held = await read(after=-1, before=count)
    relation = await beside(is_large or is_long(held), lambda: relate(held, sent, way))
    new = sent[relation.new_from :]
    if relation.keeps_history:
        return Prompt(sent, new)
    return Prompt([*map(_for_model, held[: relation.held]), *new], new)


async def _is_last(record: DatabaseSessions, session_id: str, count: int, key: str) -> bool:
    """Tell whether the last of so many messages is of a turn that was asked for under a key."""
    page = await record.list_stored_messages(session_id, after=count - 2, before=count, limit=1)
    return any(has_key(message.turn_id, key) for message in page.items)


async def _read(
    record: DatabaseSessions,
    session_id: str,
    take: Callable[[int], None],
    *,
    after: int,
    before: int,
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
        page_bytes = sum(len(message.text) for message in page.items)
        size_bytes += page_bytes
        if size_bytes > BYTES_MAX:
            raise _too_long()
        take(page_bytes)
        held += await beside(page_bytes > THREAD_BYTES, partial(_parse, page.items))
        position = page.items[-1].seq
    return held


def _parse(page: Sequence[StoredMessage]) -> Bodies:
    return [strict_json.loads(message.text) for message in page]


def _for_model(message: dict[str, Any]) -> dict[str, Any]:
    if _NOT_FOR_MODELS.isdisjoint(message):
        return message
    return {key: value for key, value in message.items() if key not in _NOT_FOR_MODELS}


def _too_long() -> LimitReached:
    return LimitReached(
        "the session is too long to be put before what was sent; send the history, or fork",
        code="history_too_long",
    )
