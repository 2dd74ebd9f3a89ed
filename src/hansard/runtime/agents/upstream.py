"""The agent *upstream*: any endpoint that speaks OpenAI's chat completions.

    request -> asked for its usage, limited by the grant -> upstream
    client  <- the same bytes, event by event            <- upstream
                         `-> read into messages and usage on the way

Nothing is held back but an event of which a part is still to come, and the end until the turn is
recorded. Nothing is sent again but what was certainly not answered, over a connection that was
refused or by an upstream that does not take our wish for usage: a second answer would be billed
like the first.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, closing
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from hansard.core.errors import UpstreamFailed
from hansard.offload import beside, is_long
from hansard.runtime.agents.chat_requests import (
    plan_call,
    with_output_limit,
    with_usage,
    without_usage,
)
from hansard.runtime.agents.protocol import AgentFailed, Event, Request
from hansard.runtime.agents.proxies import find_proxy
from hansard.runtime.agents.upstream_answers import UpstreamAnswer, UpstreamLimits
from hansard.runtime.agents.upstream_calls import UpstreamCall

IDLE_CONNECTION_S: Final = 4.0  # less than uvicorn's 5, on which vLLM and LiteLLM run: a
# connection that it closes just as a request is sent would cost that request
IDLE_TLS_CONNECTION_S: Final = 45.0  # load balancers before larger upstreams wait 60 or more
ATTEMPTS_MAX: Final = 2  # connections to an upstream that refuses them, as one that restarts does
PAUSE_S: Final = 0.1  # between the two
PARTING_S: Final = 1.0  # for the end of a stream that said it is done
MODELS_S: Final = 30.0
MODELS_KEPT_S: Final = 60.0
MODELS_FAILURE_KEPT_S: Final = 5.0  # so that those who waited for it do not ask again in turn
MODELS_BYTES_MAX: Final = 8 * 1024 * 1024  # OpenRouter's list has half a megabyte
PLAIN_MODELS_MAX: Final = 1_000  # that are known to take no wish for usage
HEADER_BYTES_MAX: Final = 64 * 1024
ENCODE_BYTES: Final = 1024 * 1024  # a larger request is written beside the loop, for milliseconds

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
        self._parting: set[aiohttp.ClientResponse] = set()
        self._plain_models: set[str | None] = set()
        self._models = _Models([], None, -math.inf)
        self._models_turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        limits = self._limits
        is_tls = self._base_url.startswith("https:")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.connections,
                keepalive_timeout=IDLE_TLS_CONNECTION_S if is_tls else IDLE_CONNECTION_S,
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
        for response in self._parting:
            response.close()
        if self._session is not None:
            await self._session.close()

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        """Pass one request on; see ``Agent.run``."""
        body, is_plain = request.body, request.body.get("model") in self._plain_models
        if request.stream and not is_plain:
            body = with_usage(body)
        data = await _encode(body)
        plan = plan_call(body, len(data), self._provider)
        grant = await request.gate(plan)
        call = UpstreamCall(grant, plan, sent_bytes=len(data))
        try:
            if grant.output_tokens is not None:
                body = with_output_limit(body, grant.output_tokens, self._provider)
                data = await _encode(body)
            async with self._answered(request, body, data, call) as (answer, hides_usage):
                events = answer.events(wants_stream=request.stream, hides_usage=hides_usage)
                async with aclosing(events):
                    async for event in events:
                        yield event
        except asyncio.CancelledError as exc:
            raise exc from call.interrupted()
        grant.ended()  # one that was not answered ends with the turn, and as that does
        yield call.completed()

    async def models(self) -> list[dict[str, Any]]:
        """Return the upstream's list, which is asked for now and then; see ``Agent.models``."""
        loop = asyncio.get_running_loop()
        async with self._models_turn:
            if loop.time() >= self._models.expires_at_s:
                try:
                    listed = await self._ask_models()
                except AgentFailed as failed:
                    self._models = _Models([], failed, loop.time() + MODELS_FAILURE_KEPT_S)
                else:
                    self._models = _Models(listed, None, loop.time() + MODELS_KEPT_S)
            if self._models.failure is not None:
                raise self._models.failure.with_traceback(None)
            return self._models.listed

    async def _ask_models(self) -> list[dict[str, Any]]:
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
                if response.status != HTTPStatus.OK:
                    raise _no_models(f"it answered {response.status}")
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MODELS_BYTES_MAX:
                        raise _no_models("the list is too long")
            return msgspec.json.decode(body, type=_ModelList).data
        except TimeoutError as exc:
            raise _no_models("it does not answer in time", HTTPStatus.GATEWAY_TIMEOUT) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise _no_models("it cannot be reached") from exc
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise _no_models("it does not answer with a list") from exc

    @asynccontextmanager
    async def _answered(
        self, request: Request, body: dict[str, Any], data: bytes, call: UpstreamCall
    ) -> AsyncGenerator[tuple[UpstreamAnswer, bool]]:
        """Send a body, written as ``data``; once more without our wish for usage if need be.

        Gives the answer, and whether it has usage in it that the client has not asked for.
        """
        ends_at_s = asyncio.get_running_loop().time() + self._limits.total_s
        is_wished = body.get("stream_options") != request.body.get("stream_options")
        with closing(await self._ask(request, data, call, ends_at_s)) as answer:
            if not (is_wished and await answer.refuses(b"stream_options")):
                yield answer, is_wished
                return
        data = await _encode(without_usage(body, request.body))
        with closing(await self._ask(request, data, call, ends_at_s)) as answer:
            if answer.is_good and len(self._plain_models) < PLAIN_MODELS_MAX:
                self._plain_models.add(body.get("model"))  # it was the wish that was refused
            yield answer, False

    async def _ask(
        self, request: Request, data: bytes, call: UpstreamCall, ends_at_s: float
    ) -> UpstreamAnswer:
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
        call.is_sent = True
        while True:
            try:
                async with asyncio.timeout(min(limits.idle_s, limits.total_s)):
                    response = await self._session.post(
                        f"{self._base_url}/chat/completions",
                        data=data,
                        headers=headers,
                        allow_redirects=False,
                        proxy=self._proxy.url,
                        proxy_headers=self._proxy.headers,
                    )
                return UpstreamAnswer(response, call, limits, ends_at_s=ends_at_s, part=self._part)
            except aiohttp.ClientConnectorError as exc:
                attempts -= 1
                if not attempts:
                    raise call.never_made(
                        "the upstream cannot be reached", HTTPStatus.BAD_GATEWAY
                    ) from exc
                await asyncio.sleep(PAUSE_S)
            except aiohttp.ConnectionTimeoutError as exc:
                raise call.never_made(
                    "the upstream takes no connection in time", HTTPStatus.GATEWAY_TIMEOUT
                ) from exc
            except (aiohttp.InvalidURL, aiohttp.ClientHttpProxyError) as exc:
                raise call.never_made(
                    "the way to the upstream is closed", HTTPStatus.BAD_GATEWAY
                ) from exc
            except TimeoutError as exc:
                raise call.too_late() from exc
            except (aiohttp.ClientError, OSError) as exc:
                raise call.disconnected() from exc

    def _part(self, response: aiohttp.ClientResponse) -> None:
        """Let an answer end by itself, so that its connection is free again; nobody waits."""
        self._parting.add(response)
        asyncio.get_running_loop().call_later(PARTING_S, self._close, response)

    def _close(self, response: aiohttp.ClientResponse) -> None:
        self._parting.discard(response)
        response.close()


class _ModelList(msgspec.Struct):
    data: list[dict[str, Any]]


class _Models(NamedTuple):
    """What the upstream last said of its models, and how long that counts by the loop's clock."""

    listed: list[dict[str, Any]]
    failure: AgentFailed | None
    expires_at_s: float


async def _encode(body: dict[str, Any]) -> bytes:
    is_large = is_long([body], size_bytes=ENCODE_BYTES)
    return await beside(is_large, partial(msgspec.json.encode, body))


def _no_models(why: str, status: int = HTTPStatus.BAD_GATEWAY) -> AgentFailed:
    error = UpstreamFailed(f"the upstream does not list its models: {why}", code="upstream_models")
    return AgentFailed(error, status=status)
