"""Feeds: the live ends of threads' logs in this process, shared by all who read them.

    log written here       --publish--> tail --> readers, each with its own place
    written elsewhere: hint --look----> tail
    a reader behind the tail reads the log itself, page by page

Every event is encoded once. A slow reader holds nothing here but its place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from hansard.core.threads import ThreadEvent
from hansard.core.times import format_us
from hansard.service.threads import ThreadService

TAIL_MAX: Final = 512  # events that are kept for readers who are almost up to date
TAIL_BYTES_MAX: Final = 1024 * 1024
PAGE: Final = 256  # events that a reader takes from the log at once
POLL_S: Final = 1.0  # how long a reader relies on hints alone

Key = tuple[str, str]

_ENCODER: Final = msgspec.json.Encoder()


class _Envelope(Struct):
    """An event as readers get it; ``kind`` repeats the name, and ``timestamp`` the time."""

    schema_version: int
    seq: int
    previous_seq: int
    event: str
    kind: str
    thread_id: str
    turn_id: str | None
    item_id: str | None
    timestamp: str
    created_at: str
    payload: Raw


def write_frame(thread_id: str, event: ThreadEvent, previous_seq: int) -> bytes:
    """Write an event as one of a server-sent stream."""
    at = format_us(event.created_at_us)
    data = _ENCODER.encode(
        _Envelope(
            1,
            event.seq,
            previous_seq,
            event.kind,
            event.kind,
            thread_id,
            event.turn_id,
            event.item_id,
            at,
            at,
            Raw(event.payload.encode()),
        )
    )
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data)


class Feed:
    """The end of one thread's log.

    Attributes:
        is_local: Whether an engine of this process writes the log.
    """

    def __init__(self, thread_id: str, last: int) -> None:
        self.is_local = False
        self.readers = 0
        self._thread_id = thread_id
        self._last = last
        self._tail: deque[bytes] = deque()
        self._size_bytes = 0
        self._news = asyncio.Event()
        self._joined: tuple[int, int, bytes] = (0, 0, b"")

    @property
    def last(self) -> int:
        """Number of the last event that is known here."""
        return self._last

    def publish(self, events: Sequence[ThreadEvent]) -> None:
        """Give events to readers; those that are known already are passed over."""
        fresh = [event for event in events if event.seq > self._last]
        if not fresh:
            return
        self.skip_to(fresh[0].seq - 1)
        for event in fresh:
            frame = write_frame(self._thread_id, event, event.seq - 1)
            self._tail.append(frame)
            self._size_bytes += len(frame)
        self._last = fresh[-1].seq
        while len(self._tail) > TAIL_MAX or self._size_bytes > TAIL_BYTES_MAX:
            self._size_bytes -= len(self._tail.popleft())
        self.wake()

    def skip_to(self, last: int) -> None:
        """Note events that were written elsewhere: readers find them in the log."""
        if last > self._last:
            self._tail.clear()
            self._size_bytes = 0
            self._last = last
            self.wake()

    def since(self, after: int) -> bytes | None:
        """Return what came after an event; None if the tail does not reach back to it."""
        count = self._last - after
        if count > len(self._tail):
            return None
        if self._joined[:2] != (after, self._last):  # readers that are up to date share it
            frames = list(self._tail)[len(self._tail) - count :] if count > 0 else ()
            self._joined = (after, self._last, b"".join(frames))
        return self._joined[2]

    def wake(self) -> None:
        """Let all readers look."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Wait until there may be something new."""
        news = self._news
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await news.wait()


class Feeds:
    """The feeds of a process; one that nobody reads or writes is forgotten."""

    def __init__(self) -> None:
        self._feeds: dict[Key, Feed] = {}

    def open(self, key: Key, last: int) -> Feed:
        """Return the feed of a thread, whose last event is known to be there."""
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(key[1], last)
        feed.skip_to(last)
        return feed

    def find(self, key: Key) -> Feed | None:
        """Return the feed of a thread, if there is one."""
        return self._feeds.get(key)

    def leave(self, key: Key) -> None:
        """Forget a feed that has no use any more."""
        feed = self._feeds.get(key)
        if feed is not None and not feed.readers and not feed.is_local:
            del self._feeds[key]

    async def follow(
        self, threads: ThreadService, thread_id: str, *, after: int, last: int
    ) -> AsyncGenerator[bytes]:
        """Give the frames of a thread's events after one, first the past, then live; no end."""
        key = (threads.actor.tenant_id, thread_id)
        feed = self.open(key, last)
        feed.readers += 1
        hint = asyncio.Event()
        loop = asyncio.get_running_loop()
        cancel = threads.runner.database.bulletin.subscribe(key, lambda: _wake(loop, feed, hint))
        try:
            while True:
                frames = feed.since(after)
                if frames is None or (not frames and not feed.is_local and hint.is_set()):
                    hint.clear()
                    page = await threads.list_events(thread_id, after=after, limit=PAGE)
                    if page and page[0].seq == after + 1 and after == feed.last:
                        feed.publish(page)
                    elif page:
                        yield b"".join(
                            [write_frame(thread_id, event, event.seq - 1) for event in page]
                        )
                        after = page[-1].seq
                    continue
                if frames:
                    after = feed.last
                    yield frames
                    continue
                await feed.wait(POLL_S)
                hint.set()
        finally:
            cancel()
            feed.readers -= 1
            self.leave(key)


def _wake(loop: asyncio.AbstractEventLoop, feed: Feed, hint: asyncio.Event) -> None:
    def look() -> None:
        hint.set()
        if not feed.is_local:
            feed.wake()

    with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever listened
        loop.call_soon_threadsafe(look)
