"""An upstream's answer on its way to the client: passed on as it comes, and read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final

import aiohttp
from msgspec import Struct

from hansard.core.errors import UpstreamFailed
from hansard.runtime.agents.event_stream import Cut, EventSplitter
from hansard.runtime.agents.openai_wire import Part
from hansard.runtime.agents.protocol import AgentFailed, Event, Head, Headers, Wire
from hansard.runtime.agents.upstream_calls import UpstreamCall

ERROR_BODY_BYTES_MAX: Final = 64 * 1024
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


class UpstreamLimits(Struct, frozen=True, kw_only=True):
    """How long, and how large.

    Attributes:
        connect_s: For a connection, also for a place in the pool.
        idle_s: Until an answer begins, and between two pieces of it.
        event_bytes: One event of a stream; models that draw send a picture in one.
    """

    connect_s: float = 10.0
    idle_s: float = 600.0
    total_s: float = 600.0
    event_bytes: int = 16 * 1024 * 1024
    answer_bytes: int = 64 * 1024 * 1024
    connections: int = 1_000


class ReadDeadline:
    """Ends an answer when a read, or the whole of it, takes too long; with one timer.

    A consumer that pauses between two reads is not the upstream's fault: only the whole
    counts then.

    Args:
        ends_at_s: When the whole must be over, by the loop's clock.
        end: Called once, when it is too late.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        idle_s: float,
        ends_at_s: float,
        end: Callable[[], None],
    ) -> None:
        self.has_passed = False
        self._loop = loop
        self._idle_s = idle_s
        self._ends_at_s = ends_at_s
        self._end = end
        self._since_s: float | None = None
        self._timer = self._loop.call_at(self._next_s(), self._look)

    def begin_read(self) -> None:
        """A read begins."""
        self._since_s = self._loop.time()

    def end_read(self) -> None:
        """A read has brought something."""
        self._since_s = None

    def cancel(self) -> None:
        """The answer is over."""
        self._timer.cancel()

    def _next_s(self) -> float:
        since_s = self._loop.time() if self._since_s is None else self._since_s
        return min(self._ends_at_s, since_s + self._idle_s)

    def _look(self) -> None:
        due_s = self._ends_at_s if self._since_s is None else self._next_s()
        if self._loop.time() >= due_s:
            self.has_passed = True
            self._end()
        else:
            self._timer = self._loop.call_at(self._next_s(), self._look)


class UpstreamAnswer:
    """One HTTP answer, with its deadline.

    Args:
        ends_at_s: When it must be over, by the loop's clock.
        part: Given a stream that said it is done, but whose connection is not free yet.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        call: UpstreamCall,
        limits: UpstreamLimits,
        *,
        ends_at_s: float,
        part: Callable[[aiohttp.ClientResponse], None],
    ) -> None:
        self._response = response
        self._call = call
        self._limits = limits
        self._size_bytes = 0
        self._error: bytes | None = None
        self._part = part
        self._deadline = ReadDeadline(
            asyncio.get_running_loop(),
            idle_s=limits.idle_s,
            ends_at_s=ends_at_s,
            end=response.close,
        )

    @property
    def is_good(self) -> bool:
        """Whether it is an answer, as far as its status says."""
        return self._response.status == HTTPStatus.OK

    async def events(self, *, wants_stream: bool, hides_usage: bool) -> AsyncGenerator[Event]:
        """Give the answer as events; it is over, and whole, when they end.

        Raises:
            AgentFailed: If it is an error, or comes to a bad end.
        """
        with self._translated():
            if not self.is_good:
                raise await self._refused()
            if not self._is_stream(wants_stream=wants_stream):
                whole = await self._read_all()
                self._take_whole(whole)
                yield self._head()
                yield Wire(whole, is_last=True)
                return
            yield self._head()
            reader, splitter = self._call.reader, EventSplitter(self._limits.event_bytes)
            has_ended = False
            while not (has_ended or reader.is_done):
                data = await self._read()
                has_ended = not data
                cut = splitter.finish() if has_ended else splitter.feed(data)
                passing, last = self._take(cut, hides_usage=hides_usage)
                if passing:
                    yield Wire(passing)
                if reader.error is not None:
                    raise self._call.refused(HTTPStatus.OK, reader.error)
            if not reader.is_finished:
                raise UpstreamFailed("the upstream's stream broke off", code="upstream_incomplete")
            if last:
                yield Wire(last, is_last=True)

    async def refuses(self, field: bytes) -> bool:
        """Tell whether it is an error that names a field of the request."""
        if self._response.status not in _REFUSALS:
            return False
        with self._translated():
            return field in await self._error_body()

    def close(self) -> None:
        """Let go of it: of its connection too, unless the answer is over."""
        self._deadline.cancel()
        if self._call.reader.is_done and not self._response.content.is_eof():
            self._part(self._response)
        else:
            self._response.close()

    def _take(self, cut: Cut, *, hides_usage: bool) -> tuple[bytes, bytes]:
        """Read what came; return what of it is for the client, and what of that is the end."""
        read = self._call.reader.read
        hidden: set[int] = set()
        end = len(cut.events)
        for place, event in enumerate(cut.events):
            part = read(event)
            if part is Part.USAGE and hides_usage:
                hidden.add(place)
            elif part is Part.DONE or part is Part.ERROR:
                end = place
                break
        if not hidden and end == len(cut.events):
            return cut.data, b""
        pieces = cut.pieces()
        shown = [piece for place, piece in enumerate(pieces[:end]) if place not in hidden]
        return b"".join(shown), b"".join(pieces[end:])

    def _head(self) -> Head:
        return Head(status=HTTPStatus.OK, headers=_headers(self._response))

    def _take_whole(self, body: bytes) -> None:
        reader = self._call.reader
        if reader.take(body) is Part.ERROR:
            raise self._call.refused(HTTPStatus.OK, body)
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
        status = self._response.status
        if status < HTTPStatus.BAD_REQUEST:
            return UpstreamFailed(
                f"the upstream answered {status}, which is no answer of a model",
                code="upstream_malformed",
            )
        return self._call.refused(status, await self._error_body(), _headers(self._response))

    async def _error_body(self) -> bytes:
        """Read as much of an error's body as there is, within a bound."""
        if self._error is None:
            self._error = b""
            with suppress(aiohttp.ClientError):
                while len(self._error) < ERROR_BODY_BYTES_MAX and (piece := await self._read()):
                    self._error += piece
        return self._error

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
    return tuple((name.lower(), value) for name, value in response.headers.items())
