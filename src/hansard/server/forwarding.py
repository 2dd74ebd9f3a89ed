"""Forwarding: a request about a thread goes on to the server that holds it.

It takes the caller's own credentials with it, and goes one step at most. What a person tells
an agent in secret passes through here, and is written nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx
from starlette.types import Scope

from hansard.core.errors import Unavailable
from hansard.runtime.leases import HeldElsewhere
from hansard.server.calls import Reply

FORWARDED: Final = b"x-hansard-forwarded"
_SENT_ON: Final = (
    b"accept",
    b"authorization",
    b"content-type",
    b"if-match",
    b"prefer",
    b"x-request-id",
)
_SENT_BACK: Final = ("etag", "location", "retry-after")
_TIMEOUT_S: Final = 90.0  # more than the longest wait for the end of a turn


class Forwarder:
    """Asks other servers.

    Args:
        client: Bounded, and without redirects.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(
        self, held: HeldElsewhere, scope: Scope, headers: Mapping[bytes, bytes], body: bytes
    ) -> Reply:
        """Let the holder of a thread answer.

        Raises:
            HeldElsewhere: If it does not say where it is, or sent the request here itself.
            Unavailable: ``thread_elsewhere``, if it cannot be reached.
        """
        if held.url is None or FORWARDED in headers:
            raise held
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        sent = {name: headers[name] for name in _SENT_ON if name in headers}
        try:
            answer = await self._client.request(
                scope["method"],
                f"{held.url.rstrip('/')}{path}{'?' if query else ''}{query}",
                content=body,
                headers={**sent, FORWARDED: b"1"},
                timeout=_TIMEOUT_S,
            )
        except httpx.HTTPError as exc:
            raise Unavailable(
                "the server that holds the thread does not answer", code="thread_elsewhere"
            ) from exc
        told = tuple(
            (name.encode(), answer.headers[name].encode())
            for name in _SENT_BACK
            if name in answer.headers
        )
        media_type = answer.headers.get("content-type", "application/json").encode()
        return Reply(answer.content, answer.status_code, told, media_type)
