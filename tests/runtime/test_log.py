"""The log of a thread, as its engine writes it: what waits for what, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import Conflict
from hansard.core.threads import ThreadEvent
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
        self.news = asyncio.Event()
        self.log = Log(
            threads,
            thread_id,
            fence=fence,
            seq=seq,
            holds=lambda: True,
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
