"""A pydantic-ai model that asks the gate before each request and counts it afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx
from msgspec import Struct
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_core import to_json

from hansard.core.errors import InvalidInput
from hansard.core.money import parse_usd
from hansard.core.provider_usage import (
    Estimate,
    ModelCall,
    cut_off,
    estimate,
    estimated,
    measured,
)
from hansard.core.usage import NewUsage
from hansard.runtime.agents.accounts import TurnAccount, is_unbilled
from hansard.runtime.agents.chat_requests import BYTES_PER_TOKEN_BOUND
from hansard.runtime.agents.openai_wire import text_bytes
from hansard.runtime.agents.protocol import CallPlan, Grant
from hansard.runtime.agents.pydantic_messages import write_messages

_NEVER_CONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_WEB_SEARCHES: Final = "web_searches"  # which pydantic-ai sets where a provider bills them


class _Admitted(Struct, frozen=True):
    """A call that may be made, with the settings that it must be made with."""

    grant: Grant
    plan: CallPlan
    settings: ModelSettings
    sent_bytes: int


class MeteredModel(WrapperModel):
    """Wraps the model of one run."""

    def __init__(self, wrapped: Model, account: TurnAccount) -> None:
        super().__init__(wrapped)
        self._account = account

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Make one call."""
        call = await self._admit(messages, model_settings, model_request_parameters)
        with self._noting_refusal(call):
            response = await self.wrapped.request(messages, call.settings, model_request_parameters)
        call.grant.ended()
        self._account.calls.append(_entry(call, response))
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Make one call whose answer comes in pieces; one that breaks off counts so far."""
        call = await self._admit(messages, model_settings, model_request_parameters)
        stream: StreamedResponse | None = None
        is_whole = False
        try:
            with self._noting_refusal(call):
                async with self.wrapped.request_stream(
                    messages, call.settings, model_request_parameters, run_context
                ) as stream:
                    yield stream
            is_whole = True
        finally:
            if stream is not None:
                response = stream.get()
                if is_whole:
                    call.grant.ended()
                    self._account.calls.append(_entry(call, response))
                elif response.parts:
                    entry = cut_off(_entry(call, response), _estimate(call, response))
                    self._account.calls.append(entry)

    async def _admit(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> _Admitted:
        sent_bytes = len(ModelMessagesTypeAdapter.dump_json(messages)) + len(
            to_json([*parameters.function_tools, *parameters.output_tools], fallback=repr)
        )
        merged = merge_model_settings(self.wrapped.settings, settings) or ModelSettings()
        plan = CallPlan(
            provider=self.wrapped.system,
            model=self.wrapped.model_name,
            input_tokens_bound=sent_bytes // BYTES_PER_TOKEN_BOUND + 1,
            output_tokens=merged.get("max_tokens"),
        )
        grant = await self._account.admit(plan)
        if grant.output_tokens is not None:
            merged = {**merged, "max_tokens": grant.output_tokens}
        return _Admitted(grant, plan, merged, sent_bytes)

    @contextmanager
    def _noting_refusal(self, call: _Admitted) -> Iterator[None]:
        try:
            yield
        except ModelAPIError as exc:
            if _was_not_billed(exc):
                self._account.unmade.append(call.grant.call_id)
            raise


def _was_not_billed(error: ModelAPIError) -> bool:
    if isinstance(error, ModelHTTPError):
        return is_unbilled(error.status_code, is_told=isinstance(error.body, dict))
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, _NEVER_CONNECTED):
        cause = cause.__cause__
    return cause is not None


def _entry(call: _Admitted, response: ModelResponse) -> NewUsage:
    """What the provider reported, as pydantic-ai reads it: wholes include their parts."""
    usage, about = response.usage, _about(call, response)
    counted = _estimate(call, response)
    if usage.unmeasured_requests or not (usage.input_tokens or usage.output_tokens):
        return estimated(about, counted)
    cost_nanousd = _cost_nanousd(response)
    return measured(
        about,
        counted,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.output_reasoning_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        cached_audio_tokens=usage.cache_audio_read_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        web_searches=getattr(usage, _WEB_SEARCHES, 0),
        cost_nanousd=cost_nanousd,
    )


def _about(call: _Admitted, response: ModelResponse) -> ModelCall:
    tier = (response.provider_details or {}).get("service_tier")
    return ModelCall(
        event_id=call.grant.call_id,
        provider=response.provider_name or call.plan.provider,
        model=response.model_name or "",
        model_asked=call.plan.model,
        service_tier=tier if isinstance(tier, str) else "",
    )


def _estimate(call: _Admitted, response: ModelResponse) -> Estimate:
    written = text_bytes(write_messages([response]))
    return estimate(sent_bytes=call.sent_bytes, received_bytes=written)


def _cost_nanousd(response: ModelResponse) -> int | None:
    """What OpenRouter billed, of which pydantic-ai keeps the shortest decimal."""
    cost = (response.provider_details or {}).get("cost")
    if response.provider_name != "openrouter" or cost is None:
        return None
    try:
        return max(0, parse_usd(str(cost)))
    except InvalidInput:
        return None
