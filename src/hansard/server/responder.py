"""Responders: one request on its way through the server, and the answer to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Final

from starlette.types import Receive, Scope, Send

from hansard.core.errors import HansardError
from hansard.core.ids import NOISE
from hansard.core.names import OTHER
from hansard.server.calls import Reply, Stream
from hansard.server.errors import failure

RESPONDER: Final = "hansard.responder"
"""Where a responder lies in its ASGI scope."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_CLOSE: Final = (b"connection", b"close")


class Responder:
    """One request and what became of it.

    Attributes:
        headers: By lower-case names; of those given twice, the last.
        request_id: The caller's, if it is a sane one.
        route: Template of the path, once the router has found it.
        status: Of the answer; 0 before that goes out.
        streamed: The answer goes out in pieces.
        write_failure: How errors are answered on this route.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, closing: bool) -> None:
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.request_id = _request_id(self.headers.get(b"x-request-id"))
        self.route = OTHER
        self.status = 0
        self.streamed = False
        self.write_failure: Callable[[HansardError], Reply] = failure
        self.received_bytes = 0
        self.sent_bytes = 0
        self._bodiless = scope["method"] == "HEAD"
        self._receive = receive
        self._send = send
        self._closing = closing

    async def reply(self, reply: Reply, status: int = 200) -> None:
        """Send a whole answer; ``status`` applies if the reply has none of its own."""
        self.status = reply.status or status
        headers = [*reply.headers]
        if reply.body:
            headers.append((b"content-type", reply.media_type))
            headers.append((b"content-length", b"%d" % len(reply.body)))
        await self._start(headers)
        await self._piece(reply.body, more=False)

    async def stream(self, stream: Stream, status: int = 200) -> None:
        """Send an answer piece by piece, as long as the client is there.

        An error before the first piece is answered as such. One after it leaves the answer
        unfinished: uvicorn breaks the connection off, so that no part passes for the whole.
        """
        async with aclosing(stream.chunks) as chunks:
            first = await anext(chunks, b"")
            self.status, self.streamed = stream.status or status, True
            await self._start([*stream.headers, (b"content-type", stream.media_type)])
            if not self._bodiless:
                await self._piece(first, more=True)
                if stream.ends_with_client:
                    await self._while_client_stays(chunks)
                else:
                    await self._all_pieces(chunks)
            await self._piece(b"", more=False)

    async def client_left(self) -> None:
        """Wait until the client has gone; the body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _while_client_stays(self, chunks: AsyncIterator[bytes]) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._all_pieces(chunks))
            leaving = group.create_task(self.client_left())
            sending.add_done_callback(lambda _: leaving.cancel())
            leaving.add_done_callback(lambda _: sending.cancel())

    async def _all_pieces(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            await self._piece(chunk, more=True)

    async def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        headers.append((b"x-request-id", self.request_id))
        headers.extend(_ALWAYS)
        if self._closing:
            headers.append(_CLOSE)
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})

    async def _piece(self, piece: bytes, *, more: bool) -> None:
        if self._bodiless:
            piece = b""
        self.sent_bytes += len(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})


def _request_id(given: bytes | None) -> bytes:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return NOISE(12).hex().encode()
