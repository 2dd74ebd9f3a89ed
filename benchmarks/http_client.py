"""A client that costs little: raw keep-alive connections, one request in flight on each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

ANSWER_MAX_S = 30

Write = Callable[[int, int], bytes]
"""Gives the request that connection ``number`` sends as its n-th."""


def request(
    method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of one request."""
    payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(payload)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload


async def run(port: int, write: Write, *, connections: int, seconds: float) -> int:
    """Keep all connections busy for so long; return how many requests were answered."""
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    protocols: list[_Connection] = []
    for number in range(connections):
        make = partial(_Connection, number, write, until)
        _, protocol = await loop.create_connection(make, "127.0.0.1", port)
        protocols.append(protocol)
    async with asyncio.timeout(seconds + ANSWER_MAX_S):
        await asyncio.gather(*(protocol.finished for protocol in protocols))
    return sum(protocol.count for protocol in protocols)


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last is whole."""

    def __init__(self, number: int, write: Write, until: float) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0
        self._number = number
        self._write = write
        self._until = until
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            self.finished.set_exception(RuntimeError(self._buffer.decode()))
            self._transport.close()
            return
        self._buffer = b""
        self.count += 1
        if time.perf_counter() < self._until:
            self._send()
        else:
            self.finished.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionError("the server hung up"))

    def _send(self) -> None:
        self._transport.write(self._write(self._number, self.count))


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
