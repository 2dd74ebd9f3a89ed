r"""Server-sent events on bytes, as they come off a socket in pieces of any size.

    ... "choices":[]}\n\n  : a comment \n\n  data: {"id"...      the bytes
    `---- event ----'      `- event --'      `- kept until more comes

The format is WHATWG's (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Events are only cut apart here; what is in them is looked at by their reader.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hansard.core.errors import UpstreamFailed

_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r){2}")
_BOUNDARY_LENGTH = 4


class Cut(NamedTuple):
    """What became whole: the bytes with their boundaries, and the events without."""

    data: bytes
    events: list[bytes]


_NOTHING: Final = Cut(b"", [])


class EventSplitter:
    """Cuts one stream into events; holds back an event until its end has come."""

    def __init__(self, *, event_limit_bytes: int) -> None:
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
            if b"\n\n" not in joint and not (b"\r" in joint and _BOUNDARY.search(joint)):
                self._check(len(self._pending))
                return _NOTHING
            data = bytes(self._pending)
            self._pending.clear()
        if b"\r" in data:
            *events, rest = _BOUNDARY.split(data)
        else:
            *events, rest = data.split(b"\n\n")
        if rest:
            self._check(len(rest))
            self._pending += rest
            data = data[: -len(rest)]
        return Cut(data, events)

    def finish(self) -> Cut:
        """Return what is left when the stream has ended: an event without its boundary."""
        rest = bytes(self._pending)
        self._pending.clear()
        return Cut(rest, [rest] if rest.strip() else [])

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
    if event.startswith(b"data:") and b"\n" not in event and b"\r" not in event:
        return event[5:]  # what follows the colon may begin with a space, which JSON permits
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(lines) if lines else None
