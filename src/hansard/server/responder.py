"""Responders: one request on its way through the server, and the answer to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from hansard.alarms import Alarm
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
_PIECE_BYTES: Final = 2**18
STALL_S: Final = 60.0  # after which a client that reads nothing is left


class Responder:
    """One request and what became of it.

    Attributes:
        headers: By lower-case names; of those given twice, the last.
        request_id: The caller's, if it is a sane one.
        route: Template of the path, once the router has found it.
        status: Of the answer; 0 before that goes out.
        streamed: The answer goes out in pieces.
        write_failure: How errors are answered on this route.
        pieces: How many have been sent, the head too; ``is_sending`` while the client takes one.
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
        self.pieces = 0
        self.is_sending = False
        self._bodiless = scope["method"] == "HEAD"
        self._receive = receive
        self._send = send
        self._closing = closing

    async def reply(self, reply: Reply, status: int = 200) -> None:
        """Send a whole answer; ``status`` applies if the reply has none of its own.

        A long one goes piece by piece, as fast as it is read: what a server has handed over
        whole it can no longer take back from a client that reads nothing.
        """
        self.status, body = reply.status or status, reply.body
        headers = [*reply.headers]
        if body:
            headers.append((b"content-type", reply.media_type))
            headers.append((b"content-length", b"%d" % len(body)))
        if len(body) <= _PIECE_BYTES:
            await self._start(headers)
            await self._piece(body, more=False)
            return
        rest = memoryview(body)
        with _Stall(self):
            await self._start(headers)
            while len(rest) > _PIECE_BYTES:
                await self._piece(bytes(rest[:_PIECE_BYTES]), more=True)
                rest = rest[_PIECE_BYTES:]
            await self._piece(bytes(rest), more=False)

    async def stream(self, stream: Stream, status: int = 200) -> None:
        """Send an answer piece by piece, as long as the client is there.

        An error before the first piece is answered as such. One after it leaves the answer
        unfinished: uvicorn breaks the connection off, so that no part passes for the whole.
        """
        async with aclosing(stream.chunks) as chunks:
            first = await anext(chunks, b"")
            self.status, self.streamed = stream.status or status, True
            with _Stall(self):
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
        await self._hand_over(
            {"type": "http.response.start", "status": self.status, "headers": headers}
        )

    async def _piece(self, piece: bytes, *, more: bool) -> None:
        if self._bodiless:
            piece = b""
        self.sent_bytes += len(piece)
        await self._hand_over({"type": "http.response.body", "body": piece, "more_body": more})

    async def _hand_over(self, message: Message) -> None:
        """Send a part of the answer; this waits while the client reads too slowly."""
        self.pieces += 1
        self.is_sending = True
        await self._send(message)
        self.is_sending = False


class _Stall(Alarm):
    """Ends a block when the client does not take a piece; looks once in ``STALL_S`` seconds."""

    __slots__ = ("_responder", "_seen")

    def __init__(self, responder: Responder) -> None:
        super().__init__(STALL_S)
        self._responder = responder
        self._seen = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        except TimeoutError as exc:
            raise ClientDisconnect from exc

    def _ring(self) -> None:
        pieces, self._seen = self._seen, self._responder.pieces
        if self._responder.is_sending and pieces == self._seen:
            super()._ring()
        else:
            self._handle = asyncio.get_running_loop().call_later(self._delay_s, self._ring)


def _request_id(given: bytes | None) -> bytes:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return NOISE(12).hex().encode()
