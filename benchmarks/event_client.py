"""Clients of threads that cost little: raw connections, one that asks, many that read events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import msgspec
from msgspec import Struct

from benchmarks.http_client import request

CLOCK_NS = 10**9


class Payload(Struct):
    """What is read of an event's payload."""

    delta: str = ""


class Event(Struct):
    """What is read of an event."""

    seq: int
    previous_seq: int
    event: str
    payload: Payload


class Asker:
    """One keep-alive connection; an async context manager."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, and return what the answer says."""
        return msgspec.json.decode(await self.ask_bytes(method, path, body))

    async def ask_bytes(self, method: str, path: str, body: Any = None) -> bytes:
        """The same, without reading what came."""
        self._writer.write(request(method, path, body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])
        answer = await self._reader.readexactly(length)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise RuntimeError((head + answer).decode())
        return answer

    async def start_turn(
        self, thread_id: str, pieces: int, pause_s: float, at_s: float = 0.0
    ) -> None:
        """Begin a turn that says the time."""
        prompt = json.dumps({"pieces": pieces, "pause_s": pause_s, "at_s": at_s})
        await self.ask_bytes("POST", f"/v1/threads/{thread_id}/turns", {"prompt": prompt})


class Reader(asyncio.Protocol):
    """Reads a thread's events until a turn ends.

    Attributes:
        begun: Done when a piece of text has come, with the time of that.
        ended: Done when the turn has.
        delays_s: How old each piece of text was when it came.
        arrivals_s: When each event with text came.
        events: How many came.
        lost: How many did not, by their numbers.
    """

    def __init__(self, thread_id: str, since: int) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.begun: asyncio.Future[float] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.delays_s: list[float] = []
        self.arrivals_s: list[float] = []
        self.events = 0
        self.lost = 0
        self._seq = since
        self._path = f"/v1/threads/{thread_id}/events?since_seq={since}"
        self._rest = b""
        self._decode = msgspec.json.Decoder(Event).decode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._transport.write(request("GET", self._path))

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            if not self.opened.done():
                self.opened.set_result(None)
            _, is_event, body = block.rpartition(b"\ndata: ")
            if is_event:
                self._take(self._decode(body), now_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server hung up"))

    def close(self) -> None:
        """Read no more."""
        self.ended.cancel()
        self._transport.close()

    def _take(self, event: Event, now_s: float) -> None:
        self.events += 1
        self.lost += event.seq - self._seq - 1
        self._seq = event.seq
        if event.event == "item.delta":
            self.arrivals_s.append(now_s)
            stamps = map(int, event.payload.delta.split())
            self.delays_s += [now_s - stamp / CLOCK_NS for stamp in stamps]
            if not self.begun.done():
                self.begun.set_result(now_s)
        elif event.event == "turn.completed" and not self.ended.done():
            self.ended.set_result(None)


@asynccontextmanager
async def reading(
    port: int, thread_ids: Sequence[str], since: int = 1
) -> AsyncIterator[list[Reader]]:
    """Readers of threads, one for each id, as soon as all are connected."""
    loop, readers = asyncio.get_running_loop(), []
    async with AsyncExitStack() as stack:
        for thread_id in thread_ids:
            make = partial(Reader, thread_id, since)
            _, reader = await loop.create_connection(make, "127.0.0.1", port)
            stack.callback(reader.close)
            readers.append(reader)
        await asyncio.gather(*(reader.opened for reader in readers))
        yield readers
