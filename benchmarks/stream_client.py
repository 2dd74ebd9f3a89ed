"""Clients that read streams and cost little: raw keep-alive connections, one stream on each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import cast

from benchmarks.http_client import ANSWER_MAX_S, Write

END = b"\r\n0\r\n\r\n"  # of a body in chunks


@dataclass(frozen=True)
class Streams:
    """What came in so many seconds.

    Attributes:
        first_s: For each stream, the time from its request to the first byte of its body.
    """

    seconds: float
    first_s: list[float]

    @property
    def count(self) -> int:
        """How many streams came to their end."""
        return len(self.first_s)

    @property
    def rate(self) -> float:
        """Streams a second."""
        return self.count / self.seconds


async def run(
    port: int, write: Write, *, connections: int, seconds: float, spread_s: float = 0.0
) -> Streams:
    """Keep all connections busy for so long; they begin one after another, over ``spread_s``."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    protocols: list[_Connection] = []
    for number in range(connections):
        make = partial(_Connection, number, write, start + spread_s + seconds)
        _, protocol = await loop.create_connection(make, "127.0.0.1", port)
        loop.call_later(spread_s * number / connections, protocol.ask)
        protocols.append(protocol)
    async with asyncio.timeout(spread_s + seconds + ANSWER_MAX_S):
        await asyncio.gather(*(protocol.finished for protocol in protocols))
    first_s = [taken for protocol in protocols for taken in protocol.first_s]
    return Streams(time.perf_counter() - start, first_s)


class _Connection(asyncio.Protocol):
    """Asks again when the last stream has ended."""

    def __init__(self, number: int, write: Write, until: float) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first_s: list[float] = []
        self._number = number
        self._write = write
        self._until = until

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def ask(self) -> None:
        """Send the next request."""
        self._buffer = b""
        self._is_begun = False
        self._transport.write(self._write(self._number, len(self.first_s)))
        self._asked_at = time.perf_counter()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_begun:
            self._begin()
        if not self._buffer.endswith(END):
            return
        if time.perf_counter() < self._until:
            self.ask()
        else:
            self.finished.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionError("the server hung up"))

    def _begin(self) -> None:
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        if not body:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.finished.set_exception(RuntimeError(self._buffer.decode()))
            self._transport.close()
            return
        self._is_begun = True
        self.first_s.append(time.perf_counter() - self._asked_at)
