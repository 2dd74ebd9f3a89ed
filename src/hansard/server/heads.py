"""Heads: the request lines, headers and trailers that come in, with bounds.

    too many connections        503, before anything is read
    half a head, and no more    408
    a head without end          431
    no HTTP at all              400

uvicorn's protocol on httptools gathers heads without a bound, and waits for their end for
ever: a few connections could take the memory, the time and the descriptors of the whole
process, before anybody asks who it is. What is refused here has no route and no metrics.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from hansard.core.errors import HansardError, InvalidInput, LimitReached, Unavailable
from hansard.server.errors import failure, status_of

HEAD_BYTES_MAX: Final = 65_536  # and what the last read brought
HEAD_MAX_S = 30.0  # from its first byte to its last; from the beginning of a new connection
WARNING_PAUSE_S = 60.0  # whoever connects in vain does not fill the log


def bounded_heads(connections_max: int) -> type[BoundedHeads]:
    """Make the protocol of a server that holds so many connections."""

    class Bounded(BoundedHeads):
        _places = Places(connections_max)

    return Bounded


class Places:
    """How many connections a server holds, and when it last said that there were more."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._warned_s = -math.inf

    def is_warning_due(self, now_s: float) -> bool:
        """Tell whether to warn of a connection that found no place; if so, not soon again."""
        if now_s < self._warned_s + WARNING_PAUSE_S:
            return False
        self._warned_s = now_s
        return True


class BoundedHeads(HttpToolsProtocol):
    """Reads requests; a connection that brings no whole one in time is closed.

    The alarm is set only while the client owes something: requests that come in one read
    never see it. It waits for an answer that is under way.
    """

    _places: Places
    _moved = False
    _discarded = False
    _waiting_bytes = 0
    _alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, if there is a place."""
        if len(self.connections) >= self._places.count:
            self.transport = transport
            if self._places.is_warning_due(self.loop.time()):
                self.logger.warning("more than %d connections", self._places.count)
            self._refuse(Unavailable("too many connections", code="too_many_connections"))
            return
        super().connection_made(transport)
        self._set_alarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_alarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what brings neither the end of a head nor a part of a body."""
        self._moved = self._discarded = False
        super().data_received(data)
        if self._moved:
            self._waiting_bytes = 0
            if self._alarm is not None:
                self._stop_alarm()
            return
        if self._alarm is None:
            self._set_alarm()
        if self._discarded:
            return
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(LimitReached("the head of the request is too long", code="head_too_long"))

    def on_headers_complete(self) -> None:
        """Begin a call; headers that come after its body are not taken for its own."""
        self._moved = True
        super().on_headers_complete()
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body on; the rest of one that is answered may come, but not for ever."""
        if self.cycle.response_complete:
            self._discarded = True
            return
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body; nothing is owed."""
        self._moved = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, as everything is refused."""
        self._refuse(InvalidInput("this is not well-formed HTTP", code="malformed_request"))

    def _set_alarm(self) -> None:
        self._alarm = self.loop.call_later(HEAD_MAX_S, self._give_up)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _give_up(self) -> None:
        if self._is_answering():
            self._set_alarm()
        elif self._waiting_bytes:
            self._refuse(InvalidInput("the request did not arrive", code="request_timeout"))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        """Tell whether a whole request has not had its whole answer yet."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first call
        if cycle is None or cycle.response_complete:
            return False
        return bool(self.pipeline) or not cycle.more_body  # what waits in line waits for one

    def _refuse(self, error: HansardError) -> None:
        """Answer with an error, unless another answer is due before, and close the connection."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first call
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self._is_answering():
                self.transport.close()
                return
            cycle.disconnected = True  # its own body is what is refused
        reply = failure(error)
        headers = (
            *self.server_state.default_headers,
            *reply.headers,
            (b"content-type", reply.media_type),
            (b"content-length", b"%d" % len(reply.body)),
            (b"connection", b"close"),
        )
        lines = (b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"".join((STATUS_LINE[status_of(error)], *lines, b"\r\n", reply.body)))
        self.transport.close()
