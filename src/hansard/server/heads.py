"""Heads: the request lines, headers and trailers that come in, with a bound.

uvicorn's protocol on httptools gathers them without one, and joins what it has with every
piece that comes: one connection that sends a header without end would take the memory and
the time of the whole process, before anybody asks who it is.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX: Final = 65_536  # and what the last read brought


class BoundedHeads(HttpToolsProtocol):
    """Reads requests; one whose head or trailers go on is refused, the connection closed."""

    _moved = False
    _waiting_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count what brings neither the end of a head nor a part of a body."""
        self._moved = False
        super().data_received(data)
        if self._moved:
            self._waiting_bytes = 0
            return
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        """Begin a call; headers that come after its body are not taken for its own."""
        self._moved = True
        super().on_headers_complete()
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body on."""
        self._moved = True
        super().on_body(body)
