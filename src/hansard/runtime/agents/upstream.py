"""The agent *upstream*: any endpoint that speaks OpenAI's chat completions.

    request -> asked for its usage, limited by the grant -> upstream
    client  <- the same bytes, event by event            <- upstream
                         `-> read into messages and usage on the way

Nothing is held back but an event of which a part is still to come. Nothing is sent again, but
over a connection that was refused: a second answer would be billed like the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from hansard.core.errors import UpstreamFailed
from hansard.runtime.agents.accounts import BAD_GATEWAY, GATEWAY_TIMEOUT
from hansard.runtime.agents.chat_requests import plan_call, with_output_limit, with_usage
from hansard.runtime.agents.protocol import AgentFailed, Event, Request
from hansard.runtime.agents.proxies import find_proxy
from hansard.runtime.agents.upstream_answers import OK, UpstreamAnswer, UpstreamLimits
from hansard.runtime.agents.upstream_calls import UpstreamCall

IDLE_CONNECTION_S: Final = 4.0  # less than uvicorn's 5, on which vLLM and LiteLLM run: a
# connection that it closes just as a request is sent would cost that request
ATTEMPTS_MAX: Final = 2  # connections to an upstream that refuses them, as one that restarts does
PAUSE_S: Final = 0.1  # between the two
MODELS_S: Final = 30.0
MODELS_BYTES_MAX: Final = 8 * 1024 * 1024  # OpenRouter's list has half a megabyte
HEADER_BYTES_MAX: Final = 64 * 1024

DEFAULT_LIMITS: Final = UpstreamLimits()


class Upstream:
    """Passes requests on to an endpoint, and its answers back.

    Args:
        base_url: What the paths ``/chat/completions`` and ``/models`` follow.
        provider: The endpoint's name in the price table, which also says how it counts.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        provider: str = "",
        name: str = "upstream",
        limits: UpstreamLimits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._provider = provider
        self._limits = limits
        self._proxy = find_proxy(base_url)
        self._headers = {"user-agent": "hansard", "accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        if self._proxy.headers and base_url.startswith("http:"):
            self._headers |= self._proxy.headers  # there is no tunnel: the proxy reads these
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.connections, keepalive_timeout=IDLE_CONNECTION_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_s),
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        """Pass one request on; see ``Agent.run``."""
        body, hides_usage = request.body, False
        if request.stream:
            body, hides_usage = with_usage(body)
        data = msgspec.json.encode(body)
        plan = plan_call(body, len(data), self._provider)
        grant = await request.gate(plan)
        if grant.output_tokens is not None:
            body = with_output_limit(body, grant.output_tokens, self._provider)
            data = msgspec.json.encode(body)
        call = UpstreamCall(grant, plan, sent_bytes=len(data))
        ends_at_s = asyncio.get_running_loop().time() + self._limits.total_s
        try:
            response = await self._ask(request, data, call)
            answer = UpstreamAnswer(response, call, self._limits, ends_at_s=ends_at_s)
            events = answer.events(wants_stream=request.stream, hides_usage=hides_usage)
            async with aclosing(events):
                async for event in events:
                    yield event
        except asyncio.CancelledError as exc:
            raise exc from call.interrupted()
        yield call.completed()

    async def models(self) -> list[dict[str, Any]]:
        """Return the upstream's list; see ``Agent.models``."""
        assert self._session is not None
        body = bytearray()
        try:
            async with (
                asyncio.timeout(MODELS_S),
                self._session.get(
                    f"{self._base_url}/models",
                    headers=self._headers,
                    allow_redirects=False,
                    proxy=self._proxy.url,
                    proxy_headers=self._proxy.headers,
                ) as response,
            ):
                if response.status != OK:
                    raise _no_models(f"it answered {response.status}")
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MODELS_BYTES_MAX:
                        raise _no_models("the list is too long")
            return msgspec.json.decode(body, type=_ModelList).data
        except TimeoutError as exc:
            raise _no_models("it does not answer in time", GATEWAY_TIMEOUT) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise _no_models("it cannot be reached") from exc
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise _no_models("it does not answer with a list") from exc

    async def _ask(
        self, request: Request, data: bytes, call: UpstreamCall
    ) -> aiohttp.ClientResponse:
        """Send the request; return when the answer begins."""
        assert self._session is not None
        limits = self._limits
        headers = {
            **dict(request.headers),
            **dict(call.headers),
            **self._headers,
            "content-type": "application/json",
            "accept": "text/event-stream" if request.stream else "application/json",
        }
        attempts = ATTEMPTS_MAX
        while True:
            try:
                async with asyncio.timeout(
                    limits.first_byte_s if request.stream else limits.total_s
                ):
                    return await self._session.post(
                        f"{self._base_url}/chat/completions",
                        data=data,
                        headers=headers,
                        allow_redirects=False,
                        proxy=self._proxy.url,
                        proxy_headers=self._proxy.headers,
                    )
            except aiohttp.ClientConnectorError as exc:
                attempts -= 1
                if not attempts:
                    raise call.never_made("the upstream cannot be reached", BAD_GATEWAY) from exc
                await asyncio.sleep(PAUSE_S)
            except aiohttp.ConnectionTimeoutError as exc:
                raise call.never_made(
                    "the upstream takes no connection in time", GATEWAY_TIMEOUT
                ) from exc
            except TimeoutError as exc:
                raise call.too_late() from exc
            except (aiohttp.ClientError, OSError) as exc:
                raise call.disconnected() from exc


class _ModelList(msgspec.Struct):
    data: list[dict[str, Any]]


def _no_models(why: str, status: int = BAD_GATEWAY) -> AgentFailed:
    error = UpstreamFailed(f"the upstream does not list its models: {why}", code="upstream_models")
    return AgentFailed(error, status=status)
