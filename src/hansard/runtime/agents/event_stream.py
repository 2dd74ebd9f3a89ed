r"""Server-sent events on bytes, as they come off a socket in pieces of any size.

    ... "choices":[]}\n\n  : a comment \n\n  data: {"id"...      the bytes
    `---- event ------'  `- event ----'  `- kept until more comes

The format is WHATWG's (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Events are only cut apart here, each with its blank line; what is in them is looked at by their
reader.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from hansard.core.errors import UpstreamFailed

_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r){2}")
_BOUNDARY_LENGTH = 4
_PLAIN_END: Final = b"\n\n"


class EventSplitter:
    """Cuts one stream into events; holds back an event until its end has come."""

    def __init__(self, *, event_limit_bytes: int) -> None:
        self._pending = bytearray()
        self._limit_bytes = event_limit_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; return the events that are whole with it.

        Raises:
            UpstreamFailed: If an event grows beyond the limit.
        """
        if self._pending:
            joint = bytes(self._pending[-_BOUNDARY_LENGTH:]) + data
            self._pending += data
            if _PLAIN_END not in joint and not (b"\r" in joint and _BOUNDARY.search(joint)):
                self._check(len(self._pending))
                return []
            data = bytes(self._pending)
            self._pending.clear()
        has_returns = b"\r" in data
        if not has_returns and data.find(_PLAIN_END) == len(data) - len(_PLAIN_END):
            return [data]  # as nearly all come
        events, rest = _split_any(data) if has_returns else _split_plain(data)
        if rest:
            self._check(len(rest))
            self._pending += rest
        return events

    def finish(self) -> list[bytes]:
        """Return what is left when the stream has ended: an event without its blank line."""
        rest = bytes(self._pending)
        self._pending.clear()
        return [rest] if rest else []

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise UpstreamFailed(
                f"an event of the upstream's stream is longer than {self._limit_bytes} bytes",
                code="upstream_too_large",
            )


def find_data(event: bytes) -> bytes | None:
    r"""Return an event's data; None if it has none, such as a comment.

    >>> find_data(b"event: message\ndata: one\ndata: two\n\n")
    b'one\ntwo'
    """
    if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[5:]  # what is around the data is space, which JSON permits
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(lines) if lines else None


def _split_plain(data: bytes) -> tuple[list[bytes], bytes]:
    *events, rest = data.split(_PLAIN_END)
    return [event + _PLAIN_END for event in events], rest


def _split_any(data: bytes) -> tuple[list[bytes], bytes]:
    ends = [0, *[boundary.end() for boundary in _BOUNDARY.finditer(data)]]
    events = [data[start:end] for start, end in pairwise(ends)]
    return events, data[ends[-1] :]
