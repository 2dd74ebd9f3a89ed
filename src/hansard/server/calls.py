"""Calls: what a handler is given, and what it gives back.

    handler: Call[Query, Body] -> Reply | Stream

By then the caller is known, and query and body have their types; a handler only talks to
the record. Errors are raised, never returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from hansard.core.paging import Page, check_limit
from hansard.core.times import parse_utc_us
from hansard.service.sessions import DatabaseSessions

if TYPE_CHECKING:
    from hansard.server.context import Context

Q = TypeVar("Q")
B = TypeVar("B")
Headers = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"

to_json: Final[Callable[[Any], bytes]] = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Reply:
    """A whole answer.

    Attributes:
        status: None for the status that the endpoint declares.
    """

    body: bytes = b""
    status: int | None = None
    headers: Headers = ()
    media_type: bytes = JSON


@dataclass(slots=True)
class Stream:
    """An answer in pieces; its status goes out once the first piece is there.

    Attributes:
        status: None for the status that the endpoint declares.
        ends_with_client: No piece is asked for once the client has left.
    """

    chunks: AsyncGenerator[bytes, None]
    media_type: bytes
    headers: Headers = ()
    status: int | None = None
    ends_with_client: bool = True


@dataclass(slots=True)
class Later:
    """An answer that is long in coming; the room that the body took is free meanwhile."""

    answer: Awaitable[Reply | Stream]


async def _stays() -> None:
    """Wait for the departure of a client that nobody watches."""
    await asyncio.Event().wait()


@dataclass(slots=True)
class Call(Generic[Q, B]):
    """One call.

    Attributes:
        record: The record, as far as the caller reaches.
        context: What all calls of this server share.
        params: Parts of the path, by the names in its template.
        headers: By lower-case names.
        size_bytes: Of the body as it came.
        client_left: Returns when the client has gone.
    """

    record: DatabaseSessions
    context: Context
    params: Mapping[str, str]
    query: Q
    body: B
    headers: Mapping[bytes, bytes]
    size_bytes: int = 0
    client_left: Callable[[], Awaitable[None]] = _stays

    @property
    def session_id(self) -> str:
        """The session that the path names."""
        return self.params["session_id"]


Handler = Callable[[Call[Any, Any]], Awaitable[Reply | Stream | Later]]


def page_limit(call: Call[Any, Any], limit: int) -> int:
    """The size of a page that may be given: as asked, or what the operator allows."""
    return min(check_limit(limit), call.context.settings.limits.page_limit)


def next_cursor(page: Page[Any]) -> Headers:
    """The header that says where a list goes on whose body is a bare array; none at its end."""
    return () if page.next_cursor is None else ((b"x-next-cursor", page.next_cursor.encode()),)


def read_time_us(text: str | None, field: str) -> int | None:
    """Read a time of a query as existing clients write it: without a zone it is UTC."""
    return None if text is None else parse_utc_us(text, field)[0]


def etag(version: int) -> tuple[bytes, bytes]:
    """The header that names a session's version."""
    return (b"etag", b'"%d"' % version)
