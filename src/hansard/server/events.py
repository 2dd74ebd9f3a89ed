"""Events over HTTP."""

from __future__ import annotations

from typing import Any

from hansard.core.errors import InvalidInput
from hansard.core.turns import check_seq
from hansard.server import bodies
from hansard.server.calls import Call, Stream
from hansard.server.sse import write_stream

_DIGITS_MAX = 18  # so many always fit in 64 bits


async def follow_events(call: Call[bodies.EventsQuery, None]) -> Stream:
    """Stream a session's changes, first the past, then live."""
    after = since(call, call.query.since)
    await call.record.get(call.session_id)
    events = call.record.events(call.session_id, since=after)
    stream = write_stream(events, call.context.streams, call.record.actor.tenant_id)
    return Stream(stream, b"text/event-stream")


def since(call: Call[Any, Any], asked: int) -> int:
    """Where to go on: a client that reconnects repeats its URL, and adds what it saw last."""
    text = call.headers.get(b"last-event-id")
    if text is not None and (not text.isdigit() or len(text) > _DIGITS_MAX):
        raise InvalidInput("Last-Event-ID must be the number of an event", code="invalid_header")
    number = asked if text is None else int(text)
    check_seq(number, "since")
    return number
