"""Feeds: the live ends of threads' logs in this process, shared by all who read them.

    log written here        --publish--> tail --> readers, each with its own place
    written elsewhere: hint --look-----> tail
    a reader behind the tail reads the log itself, page by page

Every event is encoded once, and not at all if nobody reads. A slow reader holds nothing here
but its place. The more readers there are, the more events each of them gets at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from msgspec import Raw, Struct

from hansard.core.threads import ThreadEvent
from hansard.core.times import format_us
from hansard.service.threads import ThreadService
from hansard.store.bulletin import Bulletin

TAIL_MAX: Final = 512  # events that are kept for readers who are almost up to date
TAIL_BYTES_MAX: Final = 1024 * 1024
PAGE: Final = 256  # events that a reader takes from the log at once
POLL_S: Final = 1.0  # how long a feed relies on hints alone
REST_S: Final = 0.0015  # for each reader, between two times that they are woken: so readers of one
REST_MAX_S: Final = 0.1  # thread take a small share of the time, however many they are

Key = tuple[str, str]
Wake = Callable[[], None]

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

    Args:
        written: Counts what is written here, by kind.

    Attributes:
        is_local: Whether an engine of this process writes the log.
        last: Number of the last event that is known here.
    """

    def __init__(self, key: Key, last: int, written: Counter[str]) -> None:
        self.is_local = False
        self.last = last
        self._key = key
        self._written = written
        self._readers: set[Wake] = set()
        self._hear_no_more: Callable[[], None]
        self._tail: deque[bytes] = deque()
        self._size_bytes = 0
        self._joined: tuple[int, bytes] = (0, b"")
        self._looking = asyncio.Lock()
        self._is_hinted = False
        self._look_at_s = 0.0
        self._tell_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def readers(self) -> int:
        """How many read here."""
        return len(self._readers)

    @property
    def is_used(self) -> bool:
        """Whether somebody reads or writes here."""
        return self.is_local or bool(self._readers)

    def begin(self, last: int) -> None:
        """Note that an engine of this process writes from here on."""
        self.is_local = True
        self._skip_to(last)
        self._tell()

    def end(self) -> None:
        """Note that anybody may write from here on."""
        self.is_local = False
        self._hint()

    def publish(self, events: Sequence[ThreadEvent]) -> None:
        """Give events to readers; those that are known already are passed over."""
        fresh = [event for event in events if event.seq > self.last]
        if not fresh:
            return
        if self.is_local:
            self._written.update([event.kind for event in fresh])
        if not self._readers:
            self.last = fresh[-1].seq
            return
        self._skip_to(fresh[0].seq - 1)
        for event in fresh:
            frame = write_frame(self._key[1], event, event.seq - 1)
            self._tail.append(frame)
            self._size_bytes += len(frame)
        self.last = fresh[-1].seq
        while len(self._tail) > TAIL_MAX or self._size_bytes > TAIL_BYTES_MAX:
            self._size_bytes -= len(self._tail.popleft())
        self._joined = (0, b"")
        self._tell()

    def since(self, after: int) -> bytes | None:
        """Return what came after an event; None if the tail does not reach back to it."""
        count = self.last - after
        if count <= 0:
            return b""
        if count > len(self._tail):
            return None
        if count == 1:
            return self._tail[-1]
        if self._joined[0] != count:  # readers that were equally far share it
            self._joined = (count, b"".join(list(self._tail)[-count:]))
        return self._joined[1]

    async def look(self, threads: ThreadService) -> None:
        """Take from the log what was written elsewhere; one reader does it for all."""
        async with self._looking:
            if not self._is_stale():
                return
            self._is_hinted = False
            self._look_at_s = asyncio.get_running_loop().time() + POLL_S
            try:
                page = await threads.list_events(self._key[1], after=self.last, limit=PAGE)
            except BaseException:
                self._is_hinted = True
                raise
            self._is_hinted = self._is_hinted or len(page) == PAGE
            self.publish(page)

    @contextmanager
    def heard(self, wake: Wake, bulletin: Bulletin) -> Iterator[None]:
        """Call ``wake`` whenever there may be something new."""
        if not self._readers:
            self._hear_no_more = bulletin.subscribe(self._key, self._make_hint())
        self._readers.add(wake)
        try:
            yield
        finally:
            self._readers.discard(wake)
            if not self._readers:
                self._hear_no_more()
                self._forget_tail()

    def _is_stale(self) -> bool:
        if self.is_local:
            return False
        return self._is_hinted or asyncio.get_running_loop().time() >= self._look_at_s

    def _skip_to(self, last: int) -> None:
        """Note events that were written elsewhere: readers find them in the log."""
        if last > self.last:
            self._forget_tail()
            self.last = last

    def _forget_tail(self) -> None:
        self._tail.clear()
        self._size_bytes = 0
        self._joined = (0, b"")

    def _make_hint(self) -> Wake:
        """Make what the database's threads call when something was written."""
        loop = asyncio.get_running_loop()

        def hint() -> None:
            if not self.is_local:
                with suppress(RuntimeError):  # the loop is gone, and with it whoever listened
                    loop.call_soon_threadsafe(self._hint)

        return hint

    def _hint(self) -> None:
        self._is_hinted = True
        self._tell()

    def _tell(self) -> None:
        """Wake all readers, now or when they have rested."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            return
        if loop.time() >= self._tell_at_s:
            self._wake_all()
        else:
            self._timer = loop.call_at(self._tell_at_s, self._wake_all)

    def _wake_all(self) -> None:
        self._timer = None
        rest_s = min(REST_S * len(self._readers), REST_MAX_S)
        self._tell_at_s = asyncio.get_running_loop().time() + rest_s
        for wake in self._readers:
            wake()


class Feeds:
    """The feeds of a process; one that nobody reads or writes is forgotten.

    Attributes:
        written: Events that engines of this process wrote, by kind.
    """

    def __init__(self) -> None:
        self._feeds: dict[Key, Feed] = {}
        self.written: Counter[str] = Counter()

    @property
    def readers(self) -> int:
        """How many follow a thread here."""
        return sum([feed.readers for feed in self._feeds.values()])

    def open(self, key: Key, last: int) -> Feed:
        """Return the feed of a thread, whose last event is known to be there."""
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(key, last, self.written)
        return feed

    def leave(self, key: Key) -> None:
        """Forget a feed that has no use any more."""
        feed = self._feeds.get(key)
        if feed is not None and not feed.is_used:
            del self._feeds[key]

    @contextmanager
    def reading(
        self, threads: ThreadService, thread_id: str, wake: Wake, *, after: int, last: int
    ) -> Iterator[LogReader]:
        """Read a thread's log after an event; ``wake`` is called when there may be more."""
        key = (threads.actor.tenant_id, thread_id)
        feed = self.open(key, last)
        try:
            with feed.heard(wake, threads.runner.database.bulletin):
                yield LogReader(feed, threads, thread_id, after)
        finally:
            self.leave(key)


class LogReader:
    """Reads a thread's log after an event, first the past, then what comes."""

    def __init__(self, feed: Feed, threads: ThreadService, thread_id: str, after: int) -> None:
        self._feed = feed
        self._threads = threads
        self._thread_id = thread_id
        self._after = after

    async def read(self) -> bytes:
        """Return the frames of what is new, as far as they go together; empty if nothing is.

        Raises:
            NotFound: If the thread is gone.
        """
        feed = self._feed
        frames = feed.since(self._after)
        if frames == b"" and not feed.is_local:
            await feed.look(self._threads)
            frames = feed.since(self._after)
        if frames is None:
            return await self._read_page()
        if frames:
            self._after = feed.last
        return frames

    async def _read_page(self) -> bytes:
        page = await self._threads.list_events(self._thread_id, after=self._after, limit=PAGE)
        frames = [write_frame(self._thread_id, event, event.seq - 1) for event in page]
        if page:
            self._after = page[-1].seq
        return b"".join(frames)
