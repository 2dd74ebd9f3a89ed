"""An upstream's answer on its way to the client: passed on as it comes, and read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Final

import aiohttp
from msgspec import Struct

from hansard.core.errors import UpstreamFailed
from hansard.runtime.agents.deadlines import ReadDeadline
from hansard.runtime.agents.event_stream import Cut, EventSplitter, find_data
from hansard.runtime.agents.openai_wire import Part
from hansard.runtime.agents.protocol import AgentFailed, Event, Head, Headers, Wire
from hansard.runtime.agents.upstream_calls import UpstreamCall

LINGER_S: Final = 0.25  # for the end of a stream that said it is done, to use its connection again
ERROR_BODY_BYTES_MAX: Final = 64 * 1024
OK: Final = 200

_ERRORS: Final = 400
_OWN_HEADERS: Final = frozenset(
    {
        "alt-svc",
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "server",
        "set-cookie",
        "strict-transport-security",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
    }
)
"""Headers that are about the connection to the upstream, not about its answer."""


class UpstreamLimits(Struct, frozen=True, kw_only=True):
    """How long, and how large.

    Attributes:
        connect_s: For a connection, also for a place in the pool.
        first_byte_s: Until a stream begins; a whole answer has ``total_s``.
        idle_s: Between two pieces of an answer.
        event_bytes: One event of a stream; models that draw send a picture in one.
    """

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    idle_s: float = 120.0
    total_s: float = 900.0
    event_bytes: int = 16 * 1024 * 1024
    answer_bytes: int = 64 * 1024 * 1024
    connections: int = 1_000


class UpstreamAnswer:
    """One HTTP answer, with its deadline.

    Args:
        ends_at_s: When it must be over, by the loop's clock.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        call: UpstreamCall,
        limits: UpstreamLimits,
        *,
        ends_at_s: float,
    ) -> None:
        self._response = response
        self._call = call
        self._limits = limits
        self._size_bytes = 0
        self._deadline = ReadDeadline(
            asyncio.get_running_loop(),
            idle_s=limits.idle_s,
            ends_at_s=ends_at_s,
            end=response.close,
        )

    async def events(self, *, wants_stream: bool, hides_usage: bool) -> AsyncGenerator[Event]:
        """Give the answer as events; it is over, and whole, when they end.

        Raises:
            AgentFailed: If it is an error, or comes to a bad end.
        """
        try:
            with self._translated():
                if self._response.status != OK:
                    raise await self._refused()
                if self._is_stream(wants_stream=wants_stream):
                    yield self._head()
                    async with aclosing(self._relay(hides_usage=hides_usage)) as wires:
                        async for wire in wires:
                            yield wire
                else:
                    whole = await self._read_all()
                    self._take_whole(whole)
                    yield self._head()
                    yield Wire(whole)
        finally:
            self._deadline.cancel()
            self._response.close()  # the connection too, unless its answer is over

    async def _relay(self, *, hides_usage: bool) -> AsyncGenerator[Wire]:
        splitter = EventSplitter(event_limit_bytes=self._limits.event_bytes)
        reader = self._call.reader
        while data := await self._read():
            passing = self._take(splitter.feed(data), hides_usage=hides_usage)
            if passing:
                yield Wire(passing)
            if reader.error is not None:
                raise self._call.refused(OK, reader.error)
            if reader.is_done:
                await self._linger()
                return
        passing = self._take(splitter.finish(), hides_usage=hides_usage)
        if passing:
            yield Wire(passing)
        if not reader.is_finished:
            raise UpstreamFailed("the upstream's stream broke off", code="upstream_incomplete")

    def _take(self, cut: Cut, *, hides_usage: bool) -> bytes:
        """Read what came; return what of it is for the client."""
        shown: list[bytes] = []
        for event in cut.events:
            data = find_data(event)
            part = None if data is None else self._call.reader.take(data)
            if part is Part.ERROR:
                break
            if part is not Part.USAGE or not hides_usage:
                shown.append(event)
        if len(shown) == len(cut.events):
            return cut.data
        return b"".join([event + b"\n\n" for event in shown])

    def _head(self) -> Head:
        return Head(status=OK, headers=_headers(self._response))

    def _take_whole(self, body: bytes) -> None:
        reader = self._call.reader
        if reader.take(body) is Part.ERROR:
            raise self._call.refused(OK, body)
        if not reader.chunks:
            raise UpstreamFailed("the upstream's answer is empty", code="upstream_malformed")

    def _is_stream(self, *, wants_stream: bool) -> bool:
        """Go by what the answer is; by what was wanted if the answer does not say."""
        kind = self._response.content_type
        if kind == "text/event-stream":
            return True
        return wants_stream and kind not in {"application/json", "text/html"}

    async def _read(self) -> bytes:
        """Return what has come, or wait for it; empty at the end."""
        self._deadline.begin_read()
        data = await self._response.content.readany()
        self._deadline.end_read()
        self._size_bytes += len(data)
        if self._size_bytes > self._limits.answer_bytes:
            raise UpstreamFailed(
                f"the upstream's answer is longer than {self._limits.answer_bytes} bytes",
                code="upstream_too_large",
            )
        return data

    async def _read_all(self) -> bytes:
        pieces = []
        while piece := await self._read():
            pieces.append(piece)
        return b"".join(pieces)

    async def _refused(self) -> AgentFailed | UpstreamFailed:
        """Read as much of an error's body as there is, within a bound."""
        status = self._response.status
        if status < _ERRORS:
            return UpstreamFailed(
                f"the upstream answered {status}, which is no answer of a model",
                code="upstream_malformed",
            )
        body = b""
        with suppress(aiohttp.ClientError):
            while len(body) < ERROR_BODY_BYTES_MAX and (piece := await self._read()):
                body += piece
        return self._call.refused(status, body, _headers(self._response))

    async def _linger(self) -> None:
        """Wait a moment for the end after the end, so that the connection can be used again."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(LINGER_S):
                while await self._read():
                    pass

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except UpstreamFailed as exc:
            raise self._call.failed(exc) from exc
        except (aiohttp.ClientError, OSError) as exc:
            late = self._deadline.has_passed
            raise (self._call.too_late() if late else self._call.disconnected()) from exc


def _headers(response: aiohttp.ClientResponse) -> Headers:
    return tuple(
        (name.lower(), value)
        for name, value in response.headers.items()
        if name.lower() not in _OWN_HEADERS
    )
