"""Read the logs of threads, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import Any

from hansard.runtime.feeds import LogReader, Wake

Source = Callable[[Wake], AbstractContextManager[LogReader]]


def read_frames(frames: bytes) -> list[dict[str, Any]]:
    """The events of a piece of a stream."""
    events = []
    for frame in frames.split(b"\n\n")[:-1]:
        number, name, data = frame.split(b"\n")
        events.append(json.loads(data.removeprefix(b"data: ")))
        assert number == b"id: %d" % events[-1]["seq"]
        assert name.decode() == f"event: {events[-1]['event']}"
    return events


async def follow(source: Source) -> AsyncGenerator[dict[str, Any]]:
    """Events as they come; no end."""
    bell = asyncio.Event()
    with source(bell.set) as reader:
        while True:
            bell.clear()
            frames = await reader.read()
            for event in read_frames(frames):
                yield event
            if not frames:
                await bell.wait()
