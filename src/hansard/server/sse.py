"""Server-sent events: a session's changes or a thread's log, first the past, then live.

    id: 7                        the session's version after the change
    event: turn.recorded
    data: {"number":7, ...}

    source --wake--> bell <--pulse, drain--
    bell --> read what is new, send it, wait for the bell

A stream that has nothing to say says so every 15 s. It ends, with a hint when to come back,
when the server drains or the stream has lived for an hour (so that credentials are checked
again); the client reconnects and goes on after the last id that it saw.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from hansard.core.errors import LimitReached, NotFound, Unavailable

HEARTBEAT_S = 15.0
AGE_MAX_S = 3_600.0
PULSE_S: Final = 1.0  # for which a stream waits for news before it looks by itself
RETRY: Final = b"retry: 2000\n\n"
HEARTBEAT: Final = b": still here\n\n"

Wake = Callable[[], None]


class Reader(Protocol):
    """Reads what a stream tells."""

    async def read(self) -> bytes:
        """Return what is new, as events of a stream; empty if nothing is.

        Raises:
            NotFound: If what it is about is gone.
        """
        ...


Source = Callable[[Wake], AbstractContextManager[Reader]]
"""Opens a reader, and calls what it is given whenever there may be something to read."""


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
        self._open: set[Wake] = set()
        self.is_closing = False

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def close(self) -> None:
        """Let all streams end, and none begin."""
        self.is_closing = True
        for wake in self._open:
            wake()

    def check(self, tenant_id: str) -> None:
        """Check that one more stream may be opened.

        Raises:
            LimitReached: If all places are taken, or all that the tenant may take.
            Unavailable: If the server drains.
        """
        if self.is_closing:
            raise Unavailable("the server is about to stop", code="draining")
        for count, limit in ((self.count, self._most), (self._by_tenant[tenant_id], self._share)):
            if count >= limit:
                raise LimitReached(
                    f"{limit} streams are open already", code="too_many_streams", limit=limit
                )

    @contextmanager
    def place(self, tenant_id: str, wake: Wake) -> Iterator[None]:
        """Take a place for one stream, which is woken when it has to end; see ``check``."""
        self.check(tenant_id)
        self._open.add(wake)
        self._by_tenant[tenant_id] += 1
        try:
            yield
        finally:
            self._open.remove(wake)
            self._by_tenant -= Counter((tenant_id,))  # which forgets those that have none


async def write_stream(
    source: Source, streams: Streams, tenant_id: str
) -> AsyncGenerator[bytes, None]:
    """Write what a source tells, until it is gone or the stream has to end."""
    bell = asyncio.Event()
    with streams.place(tenant_id, bell.set), source(bell.set) as reader, _pulse(bell.set):
        yield RETRY
        now = asyncio.get_running_loop().time
        ends_at = now() + AGE_MAX_S
        said_at = now()
        while now() < ends_at and not streams.is_closing:
            bell.clear()
            try:
                frames = await reader.read()
            except NotFound:
                return
            if frames:
                yield frames
                said_at = now()
            elif now() - said_at >= HEARTBEAT_S:
                yield HEARTBEAT
                said_at = now()
            else:
                await bell.wait()
        yield RETRY


@contextmanager
def _pulse(wake: Wake) -> Iterator[None]:
    """Wake a stream from time to time: hints may get lost, and silence is to be broken."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def beat() -> None:
        nonlocal timer
        wake()
        timer = loop.call_later(PULSE_S, beat)

    timer = loop.call_later(PULSE_S, beat)
    try:
        yield
    finally:
        timer.cancel()
