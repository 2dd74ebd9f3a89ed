"""Agents of pydantic-ai: every request of their model is admitted and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingPart,
    DeltaToolCall,
    DeltaToolCalls,
    FunctionModel,
)
from pydantic_ai.models.test import TestModel

from hansard.core.errors import InvalidInput, LimitReached
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallPlan,
    Event,
    Grant,
    Reasoning,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
)
from hansard.runtime.agents.pydantic_ai import PydanticAgent
from hansard.runtime.agents.pydantic_messages import read_messages
from tests.runtime.upstreams import OpenGate, ask, collect, ending

Deltas = AsyncIterator[str | DeltaToolCalls]


class City(BaseModel):
    name: str


def said(events: list[Event]) -> str:
    return "".join([event.text for event in events if isinstance(event, Text)])


async def weather_or_answer(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
    """A model that asks for the weather first."""
    if isinstance(messages[-1], ModelRequest) and any(
        isinstance(part, ToolReturnPart) for part in messages[-1].parts
    ):
        yield "It "
        yield "rains."
    else:
        yield "Let me look. "
        yield {1: DeltaToolCall(name="weather", json_args='{"city":', tool_call_id="w1")}
        yield {1: DeltaToolCall(json_args='"Bonn"}')}


def weather_agent(**options: Any) -> PydanticAgent:
    agent = Agent(FunctionModel(stream_function=weather_or_answer), name="weather", **options)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    return PydanticAgent(agent)


async def test_tools_run_and_every_request_is_counted() -> None:
    gate = OpenGate()
    async with weather_agent() as agent:
        events = await collect(agent, ask("Weather?", gate=gate, stream=True))
    assert events[:-1] == [
        Text("Let me look. "),
        ToolCalled("w1", "weather", '{"city":"Bonn"}'),
        ToolReturned("w1", "rain in Bonn"),
        Text("It "),
        Text("rains."),
    ]
    completed = ending(events)
    call = {
        "id": "w1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
    }
    assert completed.messages == [
        {"role": "assistant", "content": "Let me look. ", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "w1", "content": "rain in Bonn"},
        {"role": "assistant", "content": "It rains."},
    ]
    assert completed.finish_reason == "stop"
    assert [call.event_id for call in completed.calls] == ["call-1", "call-2"]
    assert all(call.input_tokens and call.output_tokens for call in completed.calls)
    assert [plan.provider for plan in gate.plans] == ["function", "function"]
    assert gate.plans[1].input_tokens_bound > gate.plans[0].input_tokens_bound > 0


async def test_whole_history_reaches_the_model() -> None:
    seen: list[ModelMessage] = []

    async def look(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        seen.extend(messages)
        yield "Yes."

    agent = Agent(
        FunctionModel(stream_function=look), system_prompt="Be kind.", instructions="Be brief."
    )
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Speak Latin."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
        {"role": "assistant", "content": "Salve."},
        {"role": "user", "content": "More"},
    ]
    request = Request(body={"messages": messages}, gate=OpenGate())
    await collect(PydanticAgent(agent), request)
    texts = [getattr(part, "content", None) for message in seen for part in message.parts]
    assert texts == ["Be kind.", "Hi", None, "done", "Salve.", "More"]
    last = seen[-1]
    assert isinstance(last, ModelRequest)
    assert last.instructions is not None
    assert "Be brief." in last.instructions
    assert "Speak Latin." in last.instructions


async def test_request_sets_how_the_model_answers() -> None:
    seen: list[AgentInfo] = []

    async def look(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        seen.append(info)
        yield "Yes."

    agent = PydanticAgent(Agent(FunctionModel(stream_function=look)))
    gate = OpenGate(output_tokens=20)
    await collect(agent, ask(temperature=0.5, max_tokens=50, stop="END"))
    await collect(agent, ask(gate=gate, max_completion_tokens=50))
    assert seen[0].model_settings == {
        "temperature": 0.5,
        "max_tokens": 50,
        "stop_sequences": ["END"],
    }
    assert seen[1].model_settings == {"max_tokens": 20}
    assert [plan.output_tokens for plan in gate.plans] == [50]


async def test_structured_output_is_text_to_the_client() -> None:
    agent = PydanticAgent(Agent(TestModel(custom_output_args={"name": "Bonn"}), output_type=City))
    events = await collect(agent, ask())
    assert said(events) == '{"name":"Bonn"}'
    assert ending(events).messages[-1] == {"role": "assistant", "content": '{"name":"Bonn"}'}


async def test_refusal_of_a_later_request_keeps_what_was_billed() -> None:
    class GateForOne(OpenGate):
        async def __call__(self, plan: CallPlan) -> Grant:
            if self.plans:
                raise LimitReached("no more", code="budget_exceeded")
            return await super().__call__(plan)

    with pytest.raises(AgentFailed) as caught:
        await collect(weather_agent(), ask(gate=GateForOne()))
    failed = caught.value
    assert (failed.status, failed.error.code) == (402, "budget_exceeded")
    assert [call.event_id for call in failed.calls] == ["call-1"]
    assert [message["role"] for message in failed.messages] == ["assistant", "tool"]


async def test_refusal_of_the_first_request_is_the_gates_own() -> None:
    class ClosedGate(OpenGate):
        async def __call__(self, plan: CallPlan) -> Grant:
            raise LimitReached("no money", code="budget_exceeded")

    with pytest.raises(LimitReached):
        await collect(weather_agent(), ask(gate=ClosedGate()))


async def test_broken_tool_keeps_what_was_billed_and_tells_no_secret() -> None:
    agent = Agent(FunctionModel(stream_function=weather_or_answer))

    @agent.tool_plain
    def weather(city: str) -> str:
        raise RuntimeError("password is tiger")

    with pytest.raises(AgentFailed) as caught:
        await collect(PydanticAgent(agent), ask())
    assert (caught.value.status, caught.value.error.code) == (500, "agent_failed")
    assert "tiger" not in str(caught.value)
    assert len(caught.value.calls) == 1


@pytest.mark.parametrize(
    ("error", "status", "unmade"),
    [
        (ModelHTTPError(429, "m"), 429, ("call-1",)),
        (ModelHTTPError(503, "m"), 503, ("call-1",)),
        (ModelHTTPError(500, "m"), 500, ()),
        (ModelHTTPError(500, "m", {"message": "sorry"}), 500, ("call-1",)),
        (ModelHTTPError(401, "m"), 502, ("call-1",)),
    ],
)
async def test_provider_that_refuses(
    error: ModelHTTPError, status: int, unmade: tuple[str, ...]
) -> None:
    async def refuse(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        raise error
        yield ""

    with pytest.raises(AgentFailed) as caught:
        await collect(PydanticAgent(Agent(FunctionModel(stream_function=refuse), retries=0)), ask())
    assert (caught.value.status, caught.value.error.code) == (status, "upstream_refused")
    assert (caught.value.unmade, caught.value.calls) == (unmade, [])


@pytest.mark.parametrize(
    ("cause", "unmade"),
    [(httpx.ConnectError("no"), ("call-1",)), (httpx.ReadTimeout("late"), ())],
)
async def test_provider_that_cannot_be_reached(cause: Exception, unmade: tuple[str, ...]) -> None:
    async def fail(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        raise ModelAPIError("m", "Connection error.") from cause
        yield ""

    with pytest.raises(AgentFailed) as caught:
        await collect(PydanticAgent(Agent(FunctionModel(stream_function=fail), retries=0)), ask())
    assert (caught.value.status, caught.value.unmade) == (502, unmade)


async def test_stream_that_breaks_off_is_estimated() -> None:
    async def break_off(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        yield "So far so "
        raise OSError("gone")

    with pytest.raises(AgentFailed) as caught:
        await collect(PydanticAgent(Agent(FunctionModel(stream_function=break_off))), ask())
    (call,) = caught.value.calls
    assert (call.confidence, call.event_id) == ("estimated", "call-1")
    assert call.output_tokens >= 3


async def test_cancelled_turn_says_how_far_it_came() -> None:
    async def hang(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        yield "One"
        await asyncio.Event().wait()

    run = PydanticAgent(Agent(FunctionModel(stream_function=hang))).run(ask())
    async with aclosing(run):
        assert await anext(run) == Text("One")
        waiting = asyncio.ensure_future(anext(run))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
    far = caught.value.__cause__
    assert isinstance(far, AgentFailed)
    assert [call.confidence for call in far.calls] == ["estimated"]


async def test_turn_that_is_cancelled_at_its_last_piece_is_counted() -> None:
    agent = PydanticAgent(Agent(TestModel(custom_output_args={"name": "Bonn"}), output_type=City))
    run = agent.run(ask())
    async with aclosing(run):
        while not isinstance(await anext(run), Text):
            pass
        with pytest.raises(asyncio.CancelledError) as caught:
            await run.athrow(asyncio.CancelledError())
    far = caught.value.__cause__
    assert isinstance(far, AgentFailed)
    assert [call.event_id for call in far.calls] == ["call-1"]
    assert far.messages


async def test_consumer_that_leaves_ends_the_run() -> None:
    ended = asyncio.Event()

    async def hang(messages: list[ModelMessage], info: AgentInfo) -> Deltas:
        try:
            yield "One"
            await asyncio.Event().wait()
        finally:
            ended.set()

    run = PydanticAgent(Agent(FunctionModel(stream_function=hang))).run(ask())
    async with aclosing(run):
        await anext(run)
    assert ended.is_set()


async def test_images_and_sound_are_read() -> None:
    url = "https://example.com/a.png"
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    (request,) = read_messages([{"role": "user", "content": content}])
    (part,) = request.parts
    assert isinstance(part, UserPromptPart)
    assert not isinstance(part.content, str)
    text, image, picture, sound = part.content
    assert text == "Look:"
    assert image == ImageUrl(url=url)
    assert isinstance(picture, BinaryContent)
    assert (picture.data, picture.media_type) == (b"\0\0\0", "image/png")
    assert isinstance(sound, BinaryContent)
    assert sound.media_type == "audio/wav"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%"}},
        {"type": "image_url", "image_url": {"url": "s3://bucket/of/the/operator"}},
        3,
    ],
)
def test_part_that_cannot_be_read_is_refused(part: object) -> None:
    with pytest.raises(InvalidInput):
        read_messages([{"role": "user", "content": [part]}])


def test_tool_call_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidInput):
        read_messages([{"role": "assistant", "tool_calls": [{"id": 3}]}])


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function"}]},
        {"n": 2},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "Hi"}]},
    ],
)
async def test_request_that_cannot_be_answered_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await collect(
            weather_agent(),
            Request(body={"messages": [{"role": "user", "content": "x"}], **body}, gate=OpenGate()),
        )


async def test_agent_is_loaded_by_name() -> None:
    async with PydanticAgent.load("tests.runtime.agents_of_users:polite") as agent:
        assert agent.name == "polite"
        assert said(await collect(agent, ask())) == "How do you do?"
        (model,) = await agent.models()
        assert model["id"] == "polite"
    assert PydanticAgent.load("tests.runtime.agents_of_users:nameless").name == "nameless"


@pytest.mark.parametrize(
    "reference",
    ["x", "no_such_module:a", "tests.runtime.agents_of_users:nobody"]
    + [f"tests.runtime.agents_of_users:{name}" for name in ("no_agent", "modelless")],
)
def test_what_is_no_agent_is_refused(reference: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PydanticAgent.load(reference)
    assert caught.value.code == "invalid_agent"


async def test_thoughts_are_told_apart() -> None:
    def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ThinkingPart("Hm."), TextPart("Yes.")])

    async def think_aloud(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        yield {0: DeltaThinkingPart(content="Hm.")}
        yield "Yes."

    agent = PydanticAgent(Agent(FunctionModel(think, stream_function=think_aloud)))
    events = await collect(agent, ask())
    assert events[:2] == [Reasoning("Hm."), Text("Yes.")]
    assert ending(events).messages == [
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    ]
