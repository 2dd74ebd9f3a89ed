"""Transport: one HTTP call, with its errors as they were raised at the other end.

A call is sent again, within its deadline, if it surely never left; or if its answer was
lost, or was "unavailable", and it is repeatable. A call with ``If-Match`` is not: sent
again, it would meet its own effect and be refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from hansard.client import wire
from hansard.client.paths import Route
from hansard.client.retries import RetryPolicy
from hansard.core.errors import InvalidInput, Unavailable, UpstreamFailed
from hansard.trust import trusted

UNREACHABLE: Final = "unreachable"
CONNECTION_LOST: Final = "connection_lost"

_PIECE_BYTES = 2**18
_CONNECT_MAX_S = 10.0
_RETRY_AFTER_MAX_S = 60.0
# Servers close idle connections after 5 s and more; closing first avoids that race.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=3.0)


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is read from a file, piece by piece, each time that it is sent."""

    path: Path

    def headers(self) -> dict[str, str]:
        """Announce the size, so that a server can refuse before it has read it."""
        return {"Content-Length": str(self.path.stat().st_size)}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(self.path.open, "rb")
        try:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece
        finally:
            file.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer.

    Attributes:
        status: 2xx, or one that the caller took for an answer.
        resent: An earlier attempt of the same call may have been carried out.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    resent: bool


class Transport:
    """Connections to one Hansard server."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        timeout_s: float,
        retries: RetryPolicy,
        carrier: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._retries = retries
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            base_url=_check_url(url),
            headers={
                "Accept": "application/json",
                "User-Agent": "hansard",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
            limits=_LIMITS,
            transport=carrier,
            verify=trusted(),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def call(
        self,
        route: Route,
        *names: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send a call, again if it may be, and return its answer.

        ``accept`` holds the statuses of failure that the caller takes for an answer.

        Raises:
            HansardError: As the server raised it.
            Unavailable: If no answer came; codes ``unreachable`` (it never left) and
                ``connection_lost`` (it may have been carried out).
        """
        patience = self._retries.begin()
        repeatable = route.repeatable and "If-Match" not in (headers or {})
        resent = False
        while True:
            request = self._client.build_request(
                route.method,
                route.to(*names),
                params=query or None,
                headers=_headers(headers, body),
                content=body,
                timeout=self._timeout(route),
            )
            try:
                with _translated(request.url.host):
                    response = await self._client.send(request)
                if response.is_success or response.status_code in accept:
                    return Answer(response.status_code, response.content, response.headers, resent)
                raise _error(response)
            except Unavailable as exc:
                arrived = exc.code != UNREACHABLE
                if arrived and not repeatable:
                    raise
                if not await patience.wait(exc.details.get("retry_after_s", 0.0)):
                    raise
                resent = resent or arrived

    @asynccontextmanager
    async def stream(
        self,
        route: Route,
        name: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Open a streamed answer; it is sent once."""
        request = self._client.build_request(
            route.method,
            route.to(name),
            params=query,
            headers=headers,
            timeout=self._timeout(route),
        )
        with _translated(request.url.host):
            response = await self._client.send(request, stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                    raise _error(response)
                yield response
            finally:
                await response.aclose()

    def _timeout(self, route: Route) -> httpx.Timeout:
        return httpx.Timeout(
            self._timeout_s,
            connect=min(self._timeout_s, _CONNECT_MAX_S),
            read=route.silence_s or self._timeout_s,
        )


def _check_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise InvalidInput("not a URL of a Hansard server", code="invalid_url") from exc
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise InvalidInput(
            "a Hansard server is named as https://host[:port][/prefix]", code="invalid_url"
        )
    if parsed.userinfo:
        raise InvalidInput("a URL carries no credentials; give a token", code="invalid_url")
    return parsed


def _headers(headers: Mapping[str, str] | None, body: bytes | Upload | None) -> dict[str, str]:
    size = body.headers() if isinstance(body, Upload) else {}
    kind = {} if body is None else {"Content-Type": "application/json"}
    return {**kind, **size, **(headers or {})}


def _error(response: httpx.Response) -> Exception:
    error = wire.read_error(response.status_code, response.content)
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        error.details["retry_after_s"] = min(float(asked), _RETRY_AFTER_MAX_S)
    if response.is_server_error and "X-Request-Id" in response.headers:
        error.details["request_id"] = response.headers["X-Request-Id"]  # it stands in the log
    return error


@contextmanager
def _translated(host: str) -> Iterator[None]:
    """Turn httpx's errors into ours."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        raise Unavailable(f"{host} cannot be reached: {exc}", code=UNREACHABLE) from exc
    except httpx.TransportError as exc:
        raise Unavailable(f"{host} broke off: {exc!r}", code=CONNECTION_LOST) from exc
    except httpx.DecodingError as exc:
        raise UpstreamFailed(f"{host} answered what cannot be read", code="bad_answer") from exc
