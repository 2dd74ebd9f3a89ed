"""Streams: a session's events, followed across reconnects.

The bytes are server-sent events:
https://html.spec.whatwg.org/multipage/server-sent-events.html, without what we do not send.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

from hansard.client import paths, wire
from hansard.client.paths import Route
from hansard.client.retries import RetryPolicy
from hansard.client.transport import Transport
from hansard.core.errors import Unavailable, UpstreamFailed
from hansard.core.events import Event

T = TypeVar("T")

LINE_BYTES_MAX = 2**26  # an event may hold a whole message


async def follow(
    transport: Transport, retries: RetryPolicy, session_id: str, since: int
) -> AsyncIterator[Event]:
    """Iterate over a session's events after ``since``, without end.

    Raises:
        Unavailable: When the server has said nothing until the deadline of ``retries``.
    """
    route = paths.FOLLOW_EVENTS
    async for event in follow_route(
        transport,
        retries,
        route,
        session_id,
        since,
        parameter="since",
        reader=wire.read_event,
        number=lambda event: event.number,
    ):
        yield event


async def follow_route(
    transport: Transport,
    retries: RetryPolicy,
    route: Route,
    name: str,
    since: int,
    *,
    parameter: str,
    reader: Callable[[wire.Json], T],
    number: Callable[[T], int],
) -> AsyncIterator[T]:
    """Iterate over the events of anything that numbers them, after ``since``, without end.

    ``parameter`` is what the query calls that.
    """
    patience = retries.begin()
    wait_s = 0.0
    while True:
        try:
            async with transport.stream(
                route,
                name,
                query={parameter: str(since)},
                headers={"Accept": "text/event-stream", "Last-Event-ID": str(since)},
            ) as response:
                async for block in read_blocks(response.aiter_bytes()):
                    patience.renew()
                    wait_s = block.retry_s or wait_s
                    if block.data is not None:
                        event = wire.read(block.data, reader)
                        since = number(event)
                        yield event
            failure = Unavailable("the server ended the stream", code="stream_ended")
        except Unavailable as exc:
            failure = exc
        if not await patience.wait(wait_s):
            raise failure


@dataclass(frozen=True, slots=True)
class ServerSent:
    """One block of a stream: an event's data, or a hint when to come back, or a heartbeat."""

    data: bytes | None
    retry_s: float | None


async def read_blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[ServerSent]:
    """Split a stream into blocks; a block that is cut off at the end is dropped."""
    data: bytes | None = None
    retry_s: float | None = None
    async for line in _lines(pieces):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            yield ServerSent(data, retry_s)
            data, retry_s = None, None
        elif field == b"data":
            data = value if data is None else data + b"\n" + value
        elif field == b"retry" and value.isdigit():
            retry_s = int(value) / 1000


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise UpstreamFailed("an event is too long", code="bad_answer")
        for line in lines:
            yield line.removesuffix(b"\r")
