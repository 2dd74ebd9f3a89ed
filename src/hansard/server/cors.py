"""Pages of other origins: which of them a browser lets read the answers.

What a page asks that is not named in the settings is answered as if there were no such thing as
origins: without a header that would let the page see it. Cookies are of no use here, so the
credentials of the browser are not asked for; a page sends its token itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "Last-Event-ID",
    "Prefer",
    "X-Budget-Fit",
    "X-Request-Id",
    "X-Session-History",
    "X-Session-Id",
)
ANSWER_HEADERS: Final = (
    "ETag",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "X-Budget-Warning",
    "X-Next-Cursor",
    "X-Request-Id",
    "X-Session-Id",
    "X-Trace-Id",
    "X-Turn-Id",
)
PREFLIGHT_S: Final = 600  # for which a browser remembers what a page may ask


class Origins:
    """Lets pages of some origins read what an application answers."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = {origin.encode() for origin in origins}
        self._allowing = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            max_age=PREFLIGHT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        app = self._allowing if origin in self._origins else self._app
        await app(scope, receive, send)
