"""The metered model by itself: what providers report through pydantic-ai."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from hansard.core.usage import NewUsage
from hansard.runtime.agents.accounts import TurnAccount
from hansard.runtime.agents.metered_model import MeteredModel
from hansard.runtime.agents.pydantic_ai import PydanticAgent
from tests.runtime.upstreams import OpenGate, ask, collect, ending


def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise AssertionError


class Canned(FunctionModel):
    """Gives one response, as a provider's model class would have read it."""

    def __init__(self, response: ModelResponse) -> None:
        super().__init__(never)
        self._response = response

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        return self._response


async def count(usage: RequestUsage, **fields: Any) -> NewUsage:
    account = TurnAccount(OpenGate())
    response = ModelResponse(parts=[TextPart("x" * 40)], usage=usage, **fields)
    model = MeteredModel(Canned(response), account)
    await Agent(model).run("Hi")
    (call,) = account.calls
    return call


async def test_report_is_taken_over() -> None:
    call = await count(
        RequestUsage(
            input_tokens=100,
            cache_read_tokens=60,
            cache_write_tokens=30,
            cache_write_1h_tokens=10,
            output_tokens=50,
            output_reasoning_tokens=20,
            input_audio_tokens=5,
            output_audio_tokens=4,
        ),
        model_name="claude-9",
        provider_name="anthropic",
        provider_details={"service_tier": "priority"},
    )
    expected = NewUsage(
        event_id="call-1",
        provider="anthropic",
        model="claude-9",
        model_asked=call.model_asked,
        service_tier="priority",
        input_tokens=100,
        cached_tokens=60,
        cache_write_tokens=30,
        cache_write_1h_tokens=10,
        output_tokens=50,
        reasoning_tokens=20,
        input_audio_tokens=5,
        output_audio_tokens=4,
        confidence="provider_usage",
    )
    assert call == expected


@pytest.mark.parametrize(
    ("provider", "cost", "expected"),
    [
        ("openrouter", 0.00012345, 123_450),
        ("openrouter", 1e-9, 1),
        ("openrouter", "much", None),
        ("openrouter", None, None),
        ("openai", 0.5, None),
    ],
)
async def test_openrouter_says_what_it_billed(
    provider: str, cost: object, expected: int | None
) -> None:
    usage = RequestUsage(input_tokens=1, output_tokens=1)
    call = await count(usage, provider_name=provider, provider_details={"cost": cost})
    assert call.cost_nanousd == expected
    assert call.confidence == ("provider_usage" if expected is None else "provider_cost")


@pytest.mark.parametrize(
    "usage",
    [
        RequestUsage(),
        RequestUsage(unmeasured_requests=1),
        RequestUsage(input_tokens=5, cache_read_tokens=6, output_tokens=1),
        RequestUsage(input_tokens=-5, output_tokens=1),
    ],
)
async def test_report_that_cannot_be_believed_is_estimated(usage: RequestUsage) -> None:
    call = await count(usage)
    assert (call.confidence, call.output_tokens) == ("estimated", 10)
    assert call.input_tokens > 0


async def test_agent_that_a_tool_runs_on_the_same_model_is_counted() -> None:
    inner = Agent(name="inner")
    outer = Agent(TestModel(), name="outer")

    @outer.tool
    async def delegate(ctx: RunContext[object]) -> str:
        assert isinstance(ctx.model, Model)
        return str((await inner.run("You do it", model=ctx.model)).output)

    completed = ending(await collect(PydanticAgent(outer), ask()))
    assert [call.event_id for call in completed.calls] == ["call-1", "call-2", "call-3"]
