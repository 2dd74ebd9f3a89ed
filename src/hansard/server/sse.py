"""Server-sent events: a session's changes, first the past, then live.

    id: 7                        the session's version after the change
    event: turn.recorded
    data: {"number":7, ...}

A stream that has nothing to say says so every 15 s. It ends, with a hint when to come back,
when the server drains or the stream has lived for an hour (so that credentials are checked
again); the client reconnects and goes on after the last id that it saw.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Final

from hansard.core.errors import LimitReached, NotFound, Unavailable
from hansard.core.events import Event
from hansard.server.answers import EventData
from hansard.server.calls import to_json

HEARTBEAT_S = 15.0
AGE_MAX_S = 3_600.0
RETRY: Final = b"retry: 2000\n\n"
HEARTBEAT: Final = b": still here\n\n"


class Streams:
    """The streams that are open, and the moment when they all must end.

    Args:
        most: Open at once.
        share: Of them, for one tenant.
    """

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._by_tenant: Counter[str] = Counter()
        self.count = 0
        self.closing = asyncio.Event()

    def close(self) -> None:
        """Let all streams end, and none begin."""
        self.closing.set()

    @contextmanager
    def place(self, tenant_id: str) -> Iterator[None]:
        """Take a place for one stream.

        Raises:
            LimitReached: If all are taken, or all that the tenant may take.
            Unavailable: If the server drains.
        """
        if self.closing.is_set():
            raise Unavailable("the server is about to stop", code="draining")
        for count, limit in ((self.count, self._most), (self._by_tenant[tenant_id], self._share)):
            if count >= limit:
                raise LimitReached(
                    f"{limit} streams are open already", code="too_many_streams", limit=limit
                )
        self.count += 1
        self._by_tenant[tenant_id] += 1
        try:
            yield
        finally:
            self.count -= 1
            self._by_tenant -= Counter((tenant_id,))  # which forgets those that have none


async def write_stream(
    events: AsyncIterator[Event], streams: Streams, tenant_id: str
) -> AsyncGenerator[bytes, None]:
    """Write a session's events as a stream, until they end or the stream has to."""
    async with aclosing(write_frames(_frames(events), streams, tenant_id)) as frames:
        async for frame in frames:
            yield frame


async def write_frames(
    frames: AsyncIterator[bytes], streams: Streams, tenant_id: str
) -> AsyncGenerator[bytes, None]:
    """Write what is encoded already as a stream, until it ends or the stream has to."""
    with streams.place(tenant_id):
        yield RETRY
        ends_at = asyncio.get_running_loop().time() + AGE_MAX_S
        closing = asyncio.ensure_future(streams.closing.wait())
        coming = asyncio.ensure_future(_next(frames))
        try:
            while asyncio.get_running_loop().time() < ends_at:
                await asyncio.wait(
                    {closing, coming}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if coming.done():
                    frame = coming.result()
                    if frame is None:
                        return
                    yield frame
                    coming = asyncio.ensure_future(_next(frames))
                elif closing.done():
                    break
                else:
                    yield HEARTBEAT
            yield RETRY
        finally:
            closing.cancel()
            coming.cancel()
            await asyncio.gather(closing, coming, return_exceptions=True)


async def _frames(events: AsyncIterator[Event]) -> AsyncGenerator[bytes, None]:
    async for event in events:
        yield _write(event)


async def _next(frames: AsyncIterator[bytes]) -> bytes | None:
    """The next piece; None after the last, or when what it is about is gone."""
    with suppress(NotFound):
        return await anext(frames, None)
    return None


def _write(event: Event) -> bytes:
    data = to_json(EventData.of(event))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), data)
