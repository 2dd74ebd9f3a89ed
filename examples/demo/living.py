"""An agent that lives in a server: watched, saved while it speaks, and gone on with elsewhere.

turn 1: tools, one of them allowed by a person
turn 2: saved while it speaks
turn 3: the server is killed -> another one ends it, and goes on with what was saved
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hansard.client.threads import RemoteThreads

SAVED: Final = "night-train"
LEASE_S: Final = 1.5  # so that nobody waits long for the other server
OPTIONS: Final = ("--lease-s", str(LEASE_S), "--script")
CALL_TOKENS: Final = 120

_USAGE: Final = {"prompt_tokens": 100, "completion_tokens": 20}
_SEAT: Final = {"name": "find_seat", "arguments": {"train": "NJ 40"}, "result": "1A is free"}
_BOOK: Final = {"name": "book", "arguments": {"seat": "1A"}, "result": "booked", "approval": True}
_BOOKED: Final = "Seat 1A is yours."
_TOLD: Final = "It leaves Amsterdam at seven and comes to Vienna at nine in the morning."
_LINES: Final = (
    {"text": _BOOKED, "tools": [_SEAT, _BOOK], "usage": _USAGE},
    {"text": "not reached: two messages were said by then"},
    {"text": _TOLD, "usage": _USAGE, "pause_s": 0.03},
    {"text": "Breakfast is served from six, and " * 100, "usage": _USAGE, "pause_s": 0.03},
)
_PROMPTS: Final = ("Book me a seat to Vienna", "When does it leave?", "And what is served?")

SAID: Final = (
    ("user", _PROMPTS[0]),
    ("assistant", None),
    ("tool", "1A is free"),
    ("tool", "booked"),
    ("assistant", _BOOKED),
    ("user", _PROMPTS[1]),
)
TOLD: Final = ("assistant", _TOLD)
GO_ON: Final = ("user", "Go on")

Json = dict[str, Any]


def write_script(path: Path) -> None:
    """Write what the scripted model does."""
    path.write_text("".join(json.dumps(line) + "\n" for line in _LINES))


@dataclass(frozen=True)
class Watched:
    """What somebody saw until the server was killed.

    Attributes:
        asked: What a tool was to be allowed to do.
        saved: The answer to a save while the second turn ran.
        later: The answer to one after it.
        killed_turn_id: Of the turn that was under way.
    """

    thread_id: str
    events: Sequence[Json]
    asked: Json
    saved: Json
    later: Json
    killed_turn_id: str


class _Reader:
    """Follows a thread."""

    def __init__(self, threads: RemoteThreads, thread_id: str) -> None:
        self.events: list[Json] = []
        self._news = asyncio.Condition()
        self._threads = threads
        self._thread_id = thread_id

    async def read(self) -> None:
        async for event in self._threads.follow(self._thread_id):
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    async def until(self, kind: str, turn_id: str, count: int = 1) -> Json:
        """Wait for some events of a turn, and return the last."""

        def found() -> list[Json]:
            return [e for e in self.events if (e["event"], e["turn_id"]) == (kind, turn_id)]

        async with self._news:
            await self._news.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]


async def watch(url: str, kill: Callable[[], None]) -> Watched:
    """Talk to an agent, save it while it speaks, and kill its server."""
    async with RemoteThreads(url) as threads, AsyncExitStack() as stack:
        thread_id = (await threads.create(title="Night train"))["id"]
        reader = _Reader(threads, thread_id)
        reading = asyncio.ensure_future(reader.read())
        stack.callback(reading.cancel)
        first, second, third = _PROMPTS
        turn_id = await _send(threads, thread_id, first)
        asked = (await reader.until("approval.required", turn_id))["payload"]
        await threads.decide(thread_id, asked["id"], "allow")
        await reader.until("turn.completed", turn_id)
        turn_id = await _send(threads, thread_id, second)
        await reader.until("item.delta", turn_id)
        saved = await threads.save(thread_id, SAVED)
        await reader.until("turn.completed", turn_id)
        later = await threads.save(thread_id, f"{SAVED}-later")
        turn_id = await _send(threads, thread_id, third)
        await reader.until("item.delta", turn_id, count=3)
        kill()
        return Watched(thread_id, reader.events, asked, saved, later, turn_id)


@dataclass(frozen=True)
class Resumed:
    """What another server made of it.

    Attributes:
        events: All that it knows of the first thread.
        turn: The one that was killed.
        saved: The thread that goes on, saved again after a turn.
    """

    events: Sequence[Json]
    turn: Json
    saved: Json


async def go_on(url: str, watched: Watched) -> Resumed:
    """Go on with what was saved, on another server, and see what that made of the rest."""
    async with RemoteThreads(url) as threads:
        resumed = await threads.resume(SAVED)
        reader = _Reader(threads, resumed["thread_id"])
        old = _Reader(threads, watched.thread_id)
        readings = [asyncio.ensure_future(each.read()) for each in (reader, old)]
        turn_id = await _send(threads, resumed["thread_id"], GO_ON[1])
        await reader.until("turn.completed", turn_id)
        end = await old.until("turn.completed", watched.killed_turn_id)
        saved = await threads.save(resumed["thread_id"])
        for reading in readings:
            reading.cancel()
    return Resumed(events=old.events, turn=end["payload"]["turn"], saved=saved)


def said(saved: Json) -> list[tuple[str, str | None]]:
    """Who said what in a saved session."""
    messages = saved["session"]["messages"]
    return [(each["role"], each.get("content")) for each in messages]


def tokens(saved: Json) -> int:
    """What it had used."""
    total: int = saved["session"]["metadata"]["total_tokens"]
    return total


async def _send(threads: RemoteThreads, thread_id: str, prompt: str) -> str:
    turn_id: str = (await threads.send(thread_id, prompt))["turn"]["id"]
    return turn_id
