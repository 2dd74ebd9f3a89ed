"""Events over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from hansard.core.errors import InvalidInput
from hansard.core.events import Event
from hansard.core.turns import check_seq
from hansard.server import bodies
from hansard.server.answers import EventData
from hansard.server.calls import Call, Stream, to_json
from hansard.server.sse import Wake, write_stream
from hansard.service.sessions import DatabaseSessions

_DIGITS_MAX = 18  # so many always fit in 64 bits


async def follow_events(call: Call[bodies.EventsQuery, None]) -> Stream:
    """Stream a session's changes, first the past, then live."""
    after = since(call, call.query.since)
    await call.record.get(call.session_id)
    source = partial(_reading, call.record, call.session_id, after)
    stream = write_stream(source, call.context.streams, call.record.actor.tenant_id)
    return Stream(stream, b"text/event-stream")


@contextmanager
def _reading(
    record: DatabaseSessions, session_id: str, after: int, wake: Wake
) -> Iterator[_Changes]:
    with record.runner.hearing((record.actor.tenant_id, session_id), wake):
        yield _Changes(record, session_id, after)


class _Changes:
    """Reads a session's changes; see ``Reader``."""

    def __init__(self, record: DatabaseSessions, session_id: str, after: int) -> None:
        self._record = record
        self._session_id = session_id
        self._after = after

    async def read(self) -> bytes:
        found = await self._record.list_events(self._session_id, after=self._after)
        if found:
            self._after = found[-1].number
        return b"".join(map(_write, found))


def _write(event: Event) -> bytes:
    data = to_json(EventData.of(event))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), data)


def since(call: Call[Any, Any], asked: int) -> int:
    """Where to go on: a client that reconnects repeats its URL, and adds what it saw last."""
    text = call.headers.get(b"last-event-id")
    if text is not None and (not text.isdigit() or len(text) > _DIGITS_MAX):
        raise InvalidInput("Last-Event-ID must be the number of an event", code="invalid_header")
    number = asked if text is None else int(text)
    check_seq(number, "since")
    return number
