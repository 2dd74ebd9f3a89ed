r"""Server-sent events on bytes, as they come off a socket in pieces of any size.

    ... "choices":[]}\n\n  : a comment \n\n  data: {"id"...      the bytes
    `---- event ------'  `- event ----'  `- kept until more comes

The format is WHATWG's (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Events are only cut apart here; what is in them is looked at by their reader.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from msgspec import Struct

from hansard.core.errors import UpstreamFailed

_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r){2}")
_BOUNDARY_LENGTH = 4
_PLAIN_END: Final = b"\n\n"


class Cut(Struct, frozen=True, gc=False):
    """What became whole: the bytes as they came, and the events without their blank lines."""

    data: bytes
    events: list[bytes]

    def pieces(self) -> list[bytes]:
        """The events with their blank lines; together they are ``data``."""
        if b"\r" not in self.data:
            *events, rest = self.data.split(_PLAIN_END)
            return [*[event + _PLAIN_END for event in events], *([rest] if rest else [])]
        ends = [boundary.end() for boundary in _BOUNDARY.finditer(self.data)]
        return [self.data[start:end] for start, end in pairwise([0, *ends])] or [self.data]


_NOTHING: Final = Cut(b"", [])


class EventSplitter:
    """Cuts one stream into events; holds back an event until its end has come."""

    def __init__(self, event_limit_bytes: int) -> None:
        self._pending = bytearray()
        self._limit_bytes = event_limit_bytes

    def feed(self, data: bytes) -> Cut:
        """Take the next piece; return what is whole with it.

        Raises:
            UpstreamFailed: If an event grows beyond the limit.
        """
        if self._pending:
            joint = bytes(self._pending[-_BOUNDARY_LENGTH:]) + data
            self._pending += data
            if _PLAIN_END not in joint and not (b"\r" in joint and _BOUNDARY.search(joint)):
                self._check(len(self._pending))
                return _NOTHING
            data = bytes(self._pending)
            self._pending.clear()
        *events, rest = _BOUNDARY.split(data) if b"\r" in data else data.split(_PLAIN_END)
        if rest:
            self._check(len(rest))
            self._pending += rest
            data = data[: -len(rest)]
        return Cut(data, events)

    def finish(self) -> Cut:
        """Return what is left when the stream has ended: an event without its blank line."""
        rest = bytes(self._pending)
        self._pending.clear()
        return Cut(rest, [rest] if rest else [])

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise UpstreamFailed(
                f"an event of the upstream's stream is longer than {self._limit_bytes} bytes",
                code="upstream_too_large",
            )


def find_data(event: bytes) -> bytes | None:
    r"""Return an event's data; None if it has none, such as a comment.

    >>> find_data(b"event: message\ndata: one\ndata: two")
    b'one\ntwo'
    """
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(lines) if lines else None
