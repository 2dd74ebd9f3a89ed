"""Readers of a thread's log: fed from what they share, or from the log, without a gap."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import Unavailable
from hansard.core.threads import NewEvent, Thread, ThreadEvent, ThreadStep
from hansard.runtime import feeds
from hansard.runtime.feeds import Feed, Feeds, LogReader
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService
from hansard.store.bulletin import Bulletin
from tests.ledgers import Clock
from tests.runtime.logs import read_frames

KEY = ("acme", "thr_1")


def events(first: int, last: int, text: str = "x") -> list[ThreadEvent]:
    return [
        ThreadEvent(
            seq=seq,
            kind="item.delta",
            turn_id="turn_1",
            item_id="item_1",
            payload=f'{{"delta":"{text}"}}',
            created_at_us=seq,
        )
        for seq in range(first, last + 1)
    ]


def numbers(frames: bytes | None) -> list[int]:
    assert frames is not None
    return [event["seq"] for event in read_frames(frames)]


class Log:
    """A thread's log, its feed, and who reads it."""

    def __init__(self, threads: ThreadService, thread: Thread) -> None:
        assert thread.lease is not None
        self.feeds = Feeds()
        self.threads = threads
        self.thread = thread
        self._fence = thread.lease.fence

    async def write(self, count: int, text: str = "x") -> list[ThreadEvent]:
        """Write events as a server does that has no readers; return them."""
        new = tuple([NewEvent("item.delta", f'{{"delta":"{text}"}}')] * count)
        after = (await self.threads.get(self.thread.id)).seq
        step = ThreadStep(fence=self._fence, after=after, events=new, at_us=1)
        last = await self.threads.write(self.thread.id, step)
        return events(after + 1, last, text)

    @contextmanager
    def reading(self, after: int = 0) -> Iterator[tuple[LogReader, asyncio.Event]]:
        bell = asyncio.Event()
        with self.feeds.reading(
            self.threads, self.thread.id, bell.set, after=after, last=self.thread.seq
        ) as reader:
            yield reader, bell

    def begin(self) -> Feed:
        """Write from here on, as an engine of this process does."""
        feed = self.feeds.open(("default", self.thread.id), self.thread.seq)
        feed.begin(self.thread.seq)
        return feed


@pytest.fixture
async def log(record_url: str) -> AsyncIterator[Log]:
    async with open_database(record_url) as record:
        yield await make_log(record)


async def make_log(record: DatabaseSessions) -> Log:
    threads = ThreadService(record.runner, actor=Actor(), clock=Clock())
    thread = await threads.create("scripted")
    return Log(threads, await threads.lease(thread.id, holder="here", url=None))


async def read_all(reader: LogReader) -> list[int]:
    found = []
    while frames := await reader.read():
        found += numbers(frames)
    return found


async def test_readers_share_what_is_encoded_once() -> None:
    feed = Feed(KEY, 0, Counter())
    feed.begin(0)
    with feed.heard(lambda: None, Bulletin()), feed.heard(asyncio.Event().set, Bulletin()):
        feed.publish(events(1, 3))
        whole = feed.since(0)
        assert numbers(whole) == [1, 2, 3]
        assert feed.since(0) is whole
        assert feed.since(2) is feed.since(2)
        feed.publish(events(2, 4))  # of which two are known
        assert numbers(feed.since(2)) == [3, 4]
        assert feed.since(4) == feed.since(9) == b""


async def test_nothing_is_kept_while_nobody_reads() -> None:
    feed = Feed(KEY, 0, Counter())
    feed.publish(events(1, 3))
    assert (feed.last, feed.since(0)) == (3, None)
    with feed.heard(lambda: None, Bulletin()):
        feed.publish(events(4, 5))
        assert numbers(feed.since(3)) == [4, 5]
    assert feed.since(4) is None
    assert not feed.is_used


@pytest.mark.parametrize("bound", ["TAIL_MAX", "TAIL_BYTES_MAX"])
async def test_tail_is_bounded(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    (event,) = events(11, 11)
    frame = feeds.write_frame(KEY[1], event, 10)
    monkeypatch.setattr(feeds, bound, 4 if bound == "TAIL_MAX" else 4 * len(frame))
    feed = Feed(KEY, 10, Counter())
    with feed.heard(lambda: None, Bulletin()):
        feed.publish(events(11, 15))
        feed.publish(events(16, 30))
        assert numbers(feed.since(26)) == [27, 28, 29, 30]
        assert feed.since(25) is None


async def test_many_readers_are_woken_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "REST_S", 3_600.0)
    monkeypatch.setattr(feeds, "REST_MAX_S", 0.01)
    feed = Feed(KEY, 0, Counter())
    told: asyncio.Queue[int] = asyncio.Queue()
    with feed.heard(lambda: told.put_nowait(feed.last), Bulletin()):
        for last in range(1, 5):
            feed.publish(events(last, last))
        assert [await told.get(), await told.get()] == [1, 4]
        assert told.empty()


async def test_reader_who_does_not_read_is_fed_from_the_log(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "TAIL_MAX", 8)
    monkeypatch.setattr(feeds, "PAGE", 16)
    feed = log.begin()
    with log.reading() as (slow, _), log.reading() as (quick, _):
        seen = await read_all(quick)
        for _ in range(20):
            feed.publish(await log.write(5))
            assert len(feed.since(feed.last - 5) or b"") > 0
            assert feed.since(feed.last - 9) is None  # this is all that is kept for the slow one
            seen += await read_all(quick)
        assert seen == list(range(1, 102))
        assert len(numbers(await slow.read())) == 16
        assert await read_all(slow) == list(range(17, 102))


async def test_events_between_replay_and_live_come_once(log: Log) -> None:
    feed = log.begin()
    with log.reading(after=1) as (reader, bell):
        first = await log.write(3)
        assert await read_all(reader) == []  # on disk, and told by nobody yet
        feed.publish(first)
        assert bell.is_set()
        second = await log.write(2)
        assert numbers(await reader.read()) == [2, 3, 4]
        feed.publish(second)
        assert await read_all(reader) == [5, 6]
    with log.reading(after=2) as (late, _):
        third = await log.write(1)  # the page that it reads goes further than what is told
        assert numbers(await late.read()) == [3, 4, 5, 6, 7]
        feed.publish(third)
        assert await read_all(late) == []


async def test_readers_of_another_servers_thread_look_once_for_all(log: Log) -> None:
    with log.reading(after=1) as (one, bell), log.reading(after=1) as (two, _):
        assert await read_all(one) == await read_all(two) == []
        await log.write(2)
        await bell.wait()
        frames = await asyncio.gather(one.read(), two.read())
        assert numbers(frames[0]) == [2, 3]
        assert frames[0] is frames[1]


async def test_long_news_of_another_server_are_read_to_their_end(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 4)
    with log.reading(after=1) as (reader, bell):
        assert await read_all(reader) == []
        await log.write(10)
        await bell.wait()
        assert await read_all(reader) == list(range(2, 12))


async def test_lost_hint_is_made_up_for(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "POLL_S", 0.0)
    monkeypatch.setattr(Bulletin, "announce", lambda *_: None)
    with log.reading(after=1) as (reader, _):
        assert await read_all(reader) == []
        await log.write(1)
        assert await read_all(reader) == [2]


async def test_thread_that_moves_is_read_on(log: Log) -> None:
    """From another server to this one, and away again."""
    with log.reading(after=1) as (reader, bell):
        assert await read_all(reader) == []
        log.thread = await log.threads.get(log.thread.id)
        theirs = await log.write(2)
        log.thread = await log.threads.get(log.thread.id)
        feed = log.begin()
        feed.publish(theirs)
        feed.publish(await log.write(1))
        assert await read_all(reader) == [2, 3, 4]
        feed.end()
        bell.clear()
        await log.write(1)
        await bell.wait()
        assert await read_all(reader) == [5]


async def test_look_that_failed_is_made_again(log: Log) -> None:
    with log.reading(after=1) as (reader, bell):
        assert await read_all(reader) == []
        await log.write(1)
        await bell.wait()
        runner = log.threads.runner
        database, runner._database = runner._database, None
        with pytest.raises(Unavailable):
            await reader.read()
        runner._database = database
        assert await read_all(reader) == [2]
