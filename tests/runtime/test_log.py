"""The log of a thread, as its engine writes it: what waits for what, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import Conflict, Unavailable
from hansard.core.threads import NewEvent, ThreadEvent, ThreadStep
from hansard.runtime import log as logs
from hansard.runtime.log import Log
from hansard.service.threads import ThreadService
from tests.ledgers import Clock


class Written:
    """A log, and what was told of it."""

    def __init__(self, threads: ThreadService, thread_id: str, *, fence: int, seq: int) -> None:
        self.told: list[ThreadEvent] = []
        self.on_disk: list[str] = []
        self.failures = 0
        self.holds = True
        self.news = asyncio.Event()
        self._threads = threads
        self._thread_id = thread_id
        self.log = Log(
            threads,
            thread_id,
            fence=fence,
            seq=seq,
            holds=lambda: self.holds,
            failed=self._fail,
            publish=self._publish,
        )

    def say(self, text: str) -> None:
        self.log.put_delta(
            "agent_message", text, turn_id="turn_1", item_id="item_1", then=self.on_disk.append
        )

    @property
    def texts(self) -> list[str]:
        return [json.loads(event.payload)["delta"] for event in self.told]

    async def write(self, step: ThreadStep) -> None:
        await self._threads.write(self._thread_id, step)

    async def numbers(self) -> list[int]:
        """Of the events that are on disk."""
        events = await self._threads.list_events(self._thread_id, after=0, limit=100)
        return [event.seq for event in events]

    def _fail(self) -> None:
        self.failures += 1

    def _publish(self, events: list[ThreadEvent]) -> None:
        self.told += events
        self.news.set()


@pytest.fixture
async def written(record_url: str) -> AsyncIterator[Written]:
    async with open_database(record_url) as record:
        threads = ThreadService(record.runner, actor=Actor(), clock=Clock())
        made = await threads.create("scripted")
        thread = await threads.lease(made.id, holder="here", url=None)
        assert thread.lease is not None
        yield Written(threads, thread.id, fence=thread.lease.fence, seq=thread.seq)


async def test_pieces_wait_for_each_other_until_it_is_urgent(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "GATHER_S", 3_600.0)
    await written.log.drain()  # of nothing, which hurries nothing that comes
    written.say("one ")
    await asyncio.sleep(0)
    written.say("two ")
    assert written.told == []
    written.log.put("turn.steered", {"delta": "!"}, turn_id="turn_1")
    await written.log.drain()
    written.say("three")
    await written.log.drain()
    assert written.texts == ["one two ", "!", "three"]
    assert written.on_disk == ["one two ", "three"]


async def test_pieces_that_are_many_wait_no_longer(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "GATHER_S", 3_600.0)
    monkeypatch.setattr(logs, "GATHER_BYTES", 6)
    written.say("one ")
    written.say("two ")
    await written.news.wait()
    assert written.texts == ["one two "]


async def test_piece_waits_from_when_it_is_said(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from when the disk has taken what was said before."""
    monkeypatch.setattr(logs, "GATHER_S", 0.0)
    async with written.log.turn:
        written.say("one ")
        for _ in range(9):
            await asyncio.sleep(0)
        monkeypatch.setattr(logs, "GATHER_S", 3_600.0)
        written.say("two")
    await written.news.wait()
    assert written.texts == ["one two"]


async def test_log_under_another_fence_writes_nothing_more(written: Written) -> None:
    written.log.fence += 1
    written.say("one")
    with pytest.raises(Conflict):
        await written.log.drain()
    written.say("two")
    with pytest.raises(Conflict):
        await written.log.drain()
    assert (written.told, written.on_disk, written.failures) == ([], [], 1)


Write = Callable[[ThreadStep], Awaitable[object]]


class Odd:
    """Writes a step, but nobody hears of it; then as it should."""

    def __init__(self, first: Write, *, then: Write) -> None:
        self._first: Write | None = first
        self._then = then

    async def __call__(self, step: ThreadStep) -> None:
        first, self._first = self._first, None
        if first is not None:
            await first(step)
            raise Unavailable("the answer was lost")
        await self._then(step)


async def commit(written: Written, write: Write) -> None:
    async with written.log.turn:
        step = written.log.step((NewEvent("turn.steered", "{}"),), 1)
        await written.log.commit(step, write)
        written.log.note(step)


async def test_step_whose_answer_is_lost_is_written_once(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "AGAIN_S", 0.0)
    sent: list[ThreadStep] = []

    async def send(step: ThreadStep) -> None:
        sent.append(step)

    async def land_late(step: ThreadStep) -> None:
        """The first try lands after all, when the second is on its way."""
        await written.write(sent.pop())
        await written.write(step)

    await commit(written, Odd(written.write, then=written.write))
    await commit(written, Odd(send, then=written.write))
    await commit(written, Odd(send, then=land_late))
    assert [event.seq for event in written.told] == [2, 3, 4]
    assert await written.numbers() == [1, 2, 3, 4]
    assert written.failures == 0


async def test_log_that_others_wrote_to_is_written_no_more(written: Written) -> None:
    """It would tell readers other numbers than the disk holds."""
    await written.write(written.log.step((NewEvent("thread.updated", "{}"),), 1))
    with pytest.raises(Conflict) as caught:
        await commit(written, written.write)
    assert caught.value.code == "step_written"
    with pytest.raises(Conflict):
        await commit(written, written.write)
    assert (written.told, written.failures) == ([], 1)


async def test_step_that_is_refused_for_what_it_says_fails_alone(written: Written) -> None:
    async def refuse(_step: ThreadStep) -> None:
        raise Conflict("a turn is under way", code="turn_active")

    with pytest.raises(Conflict):
        await commit(written, refuse)
    await commit(written, written.write)
    assert [event.seq for event in written.told] == [2]


async def test_nobody_writes_once_nobody_knows_what_landed(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits by then is not written either: its number may be taken."""
    monkeypatch.setattr(logs, "GATHER_S", 3_600.0)
    written.say("one")
    written.holds = False
    with pytest.raises(Unavailable):
        await commit(written, Odd(written.write, then=written.write))
    with pytest.raises(Unavailable):
        await written.log.drain()
    assert (written.told, written.on_disk, written.failures) == ([], [], 1)
    assert await written.numbers() == [1, 2]
