"""What OpenTelemetry is told of turns, with the SDK's own exporters into memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic_ai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from pydantic_ai.models.test import TestModel

from hansard.compose import open_database
from hansard.core.errors import UpstreamFailed
from hansard.core.prices import PriceBook
from hansard.core.usage import NewUsage
from hansard.formats.prices import load_builtin
from hansard.runtime.agents.protocol import Agent, AgentFailed, Headers
from hansard.runtime.agents.pydantic_ai import PydanticAgent
from hansard.runtime.agents.scripted import Scripted, read_script
from hansard.runtime.agents.upstream import Upstream
from hansard.runtime.chat import Chat
from hansard.runtime.telemetry import names
from hansard.runtime.telemetry.content import BYTES_MAX, write_messages
from hansard.runtime.telemetry.spans import MODELS_MAX, Telemetry
from hansard.runtime.turns import Asked, Turn
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import chatting
from tests.runtime.upstreams import FakeUpstream, answer, completion, serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CALLER: Headers = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=1"))

USAGE = {
    "prompt_tokens": 1_000,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
LINE: dict[str, Any] = {
    "text": "It rains.",
    "model": "gpt-4o-mini",
    "provider": "openai",
    "usage": USAGE,
}
TOOL = {"name": "weather", "arguments": {"city": "Rome"}, "result": "rain"}


@dataclass
class Stage:
    """A chat, and what it tells."""

    record: DatabaseSessions
    chat: Chat
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def begin(self, session_id: str | None = "s", headers: Headers = (), **fields: Any) -> Turn:
        messages = [{"role": "user", "content": "Weather?"}]
        return self.chat.begin(
            Asked(
                record=self.record,
                session_id=session_id,
                body={"model": "what-i-like", "messages": messages, **fields},
                size_bytes=100,
                way="auto",
                is_clamped=False,
                headers=headers,
                client_left=asyncio.Event().wait,  # type: ignore[arg-type]  # it never comes
            )
        )

    async def ask(self, session_id: str | None = "s", **asked: Any) -> list[ReadableSpan]:
        """Take one turn to its end; return its spans, the turn's first."""
        turn = self.begin(session_id, **asked)
        await turn.delivery.opened
        async for _ in turn.delivery.pipe.pieces():
            pass
        return self.spans()

    def spans(self) -> list[ReadableSpan]:
        found = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        self.exporter.clear()
        return found

    def points(self, name: str) -> list[HistogramDataPoint]:
        """The points of one histogram."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if isinstance(point, HistogramDataPoint)
        ]


async def prices(_record: DatabaseSessions) -> PriceBook:
    return load_builtin()


@asynccontextmanager
async def conversing(folder: Path, agent: Agent, **options: bool) -> AsyncIterator[Stage]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    async with AsyncExitStack() as stack:
        record = await stack.enter_async_context(open_database(f"sqlite:///{folder / 'a.db'}"))
        telemetry = Telemetry(
            tracers.get_tracer("test"),
            meters.get_meter("test"),
            record.clock,
            with_content=options.get("with_content", False),
        )
        chat = await stack.enter_async_context(
            chatting(record, folder, agent, prices=prices, observers=[telemetry])
        )
        yield Stage(record, chat, exporter, reader)


def scripted(*lines: Mapping[str, Any]) -> Scripted:
    return Scripted(read_script("\n".join(map(json.dumps, lines))))


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes, but for those that are new each time."""
    found = dict(span.attributes or {})
    assert str(found.pop(names.TURN_ID, "chat_")).startswith("chat_")
    assert str(found.pop(names.CALL_ID, "call_")).startswith("call_")
    return found


async def test_turn_is_a_span_above_those_of_its_calls(tmp_path: Path) -> None:
    async with conversing(tmp_path, scripted(LINE | {"tools": [TOOL]})) as stage:
        turn, first, second = await stage.ask(max_tokens=50)
    assert [span.name for span in (turn, first, second)] == [
        "invoke_agent scripted",
        "chat gpt-4o-mini",
        "chat gpt-4o-mini",
    ]
    assert (turn.kind, first.kind, turn.parent) == (SpanKind.INTERNAL, SpanKind.CLIENT, None)
    assert turn.context is not None
    for call in (first, second):
        assert call.parent is not None
        assert call.parent.span_id == turn.context.span_id
        assert call.context is not None
        assert call.context.trace_id == turn.context.trace_id
    assert attributes(turn) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "scripted",
        "gen_ai.conversation.id": "s",
        "gen_ai.response.finish_reasons": ("stop",),
        "hansard.tenant_id": "default",
        "hansard.turn_status": "completed",
    }
    usage = NewUsage(
        event_id="any",
        provider="openai",
        model="gpt-4o-mini",
        input_tokens=1_000,
        cached_tokens=600,
        output_tokens=20,
    )
    price = load_builtin().price(usage, stage.record.clock())
    assert price is not None
    assert attributes(first) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "s",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "hansard.confidence": "provider_usage",
        "hansard.cost_nanousd": price.cost_nanousd,
    }


async def test_call_ends_when_it_is_answered(tmp_path: Path) -> None:
    async with conversing(tmp_path, scripted(LINE | {"tools": [TOOL]})) as stage:
        turn, first, second = await stage.ask()
    times = [first.end_time or 0, second.start_time or 0, second.end_time or 0, turn.end_time or 0]
    assert times == sorted(times)


async def test_calls_of_an_agent_of_pydantic_ai_end_one_after_another(tmp_path: Path) -> None:
    def weather(city: str) -> str:
        return f"rain in {city}"

    agent = PydanticAgent(pydantic_ai.Agent(TestModel(), tools=[weather], name="forecaster"))
    async with conversing(tmp_path, agent) as stage:
        turn, first, second = await stage.ask()
    assert turn.name == "invoke_agent forecaster"
    times = [first.end_time or 0, second.start_time or 0, second.end_time or 0, turn.end_time or 0]
    assert times == sorted(times)


async def test_trace_of_the_caller_goes_on_to_the_upstream(tmp_path: Path) -> None:
    whole = answer(json.dumps(completion()).encode())
    async with (
        serving(FakeUpstream(whole)) as upstream,
        conversing(tmp_path, Upstream(upstream.url, provider="openai")) as stage,
    ):
        turn, call = await stage.ask(headers=CALLER)
    assert turn.context is not None
    assert call.context is not None
    assert turn.parent is not None
    assert format_trace_id(turn.context.trace_id) == TRACE
    assert format_span_id(turn.parent.span_id) == PARENT
    sent = f"traceparent: 00-{TRACE}-{format_span_id(call.context.span_id)}-01\r\n"
    assert upstream.asked[0].head.count("traceparent") == 1
    assert sent in upstream.asked[0].head
    assert "tracestate: vendor=1\r\n" in upstream.asked[0].head


async def test_turn_without_a_trace_begins_one(tmp_path: Path) -> None:
    async with conversing(tmp_path, scripted(LINE)) as stage:
        turn = stage.begin(None, headers=(("traceparent", "nonsense"),))
        await turn.delivery.opened
        (span, call) = stage.spans()
    assert span.context is not None
    assert turn.watches.trace_id == format_trace_id(span.context.trace_id)
    assert names.CONVERSATION_ID not in attributes(span) | attributes(call)


async def test_failed_call_and_turn_say_why(tmp_path: Path) -> None:
    refusal = answer(b'{"error":{"message":"slow down"}}', status="429 Too Many Requests")
    async with (
        serving(FakeUpstream(refusal)) as upstream,
        conversing(tmp_path, Upstream(upstream.url, provider="mistral")) as stage,
    ):
        turn = stage.begin(headers=CALLER)
        with pytest.raises(AgentFailed) as caught:
            await turn.delivery.opened
        spans = stage.spans()
        (duration,) = stage.points(names.OPERATION_DURATION)
    assert isinstance(caught.value.error, UpstreamFailed)
    for span in spans:
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "upstream_refused"
    assert attributes(spans[0])["hansard.turn_status"] == "failed"
    assert dict(duration.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "what-i-like",
        "error.type": "upstream_refused",
    }


async def test_tokens_and_durations_are_measured(tmp_path: Path) -> None:
    async with conversing(tmp_path, scripted(LINE)) as stage:
        await stage.ask()
        tokens = stage.points(names.USED_TOKENS)
        (duration,) = stage.points(names.OPERATION_DURATION)
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini",
    }
    assert {point.sum: dict(point.attributes or {}) for point in tokens} == {
        1_000: {**told, "gen_ai.token.type": "input"},
        20: {**told, "gen_ai.token.type": "output"},
    }
    assert (duration.count, dict(duration.attributes or {})) == (1, told)
    assert tuple(duration.explicit_bounds) == names.DURATION_BOUNDS_S


async def test_estimated_tokens_are_not_measured(tmp_path: Path) -> None:
    line = LINE | {"usage": {"prompt_tokens": -1, "completion_tokens": 1}}
    async with conversing(tmp_path, scripted(line)) as stage:
        _, call = await stage.ask()
        assert attributes(call)["hansard.confidence"] == "estimated"
        assert stage.points(names.USED_TOKENS) == []


async def test_models_without_end_share_one_name_in_metrics(tmp_path: Path) -> None:
    async with (
        serving(FakeUpstream(answer(json.dumps(completion()).encode()))) as upstream,
        conversing(tmp_path, Upstream(upstream.url)) as stage,
    ):
        for number in range(MODELS_MAX + 2):
            await stage.ask(None, model=f"model-{number}")
        asked = [
            dict(point.attributes or {})["gen_ai.request.model"]
            for point in stage.points(names.OPERATION_DURATION)
        ]
    assert len(asked) == len(set(asked)) <= MODELS_MAX + 1
    assert "other" in asked


async def test_nothing_that_was_said_is_told(tmp_path: Path) -> None:
    async with conversing(tmp_path, scripted(LINE)) as stage:
        spans = await stage.ask()
    assert not any("Weather" in span.to_json() or "rains" in span.to_json() for span in spans)


async def test_what_was_said_is_told_if_that_is_wanted(tmp_path: Path) -> None:
    agent = scripted(LINE | {"tools": [TOOL]})
    async with conversing(tmp_path, agent, with_content=True) as stage:
        turn, *_ = await stage.ask()
    told = attributes(turn)
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]}
    ]
    called, returned, said = json.loads(told["gen_ai.output.messages"])
    (call,) = called["parts"]
    assert (call["type"], call["name"], json.loads(call["arguments"])) == (
        "tool_call",
        "weather",
        {"city": "Rome"},
    )
    assert returned == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": call["id"], "response": "rain"}],
    }
    assert said == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "It rains."}],
        "finish_reason": "stop",
    }


def test_long_histories_are_told_from_the_end() -> None:
    messages = [{"role": "user", "content": f"{number} " + "x" * 1_000} for number in range(100)]
    written = write_messages(messages)
    told = [message["parts"][0]["content"].split()[0] for message in json.loads(written)]
    assert len(written) <= BYTES_MAX + len(told) + 1
    assert told == [str(number) for number in range(100 - len(told), 100)]
    assert write_messages([{"role": "user", "content": "x" * BYTES_MAX}]) == "[]"


def test_reasoning_and_odd_messages_are_told_as_far_as_they_can_be() -> None:
    message = {
        "role": "assistant",
        "content": [{"type": "image_url"}, {"type": "text", "text": "seen"}],
        "reasoning_content": "hm",
        "tool_calls": ["nonsense", {"id": "c", "function": None}],
    }
    assert json.loads(write_messages([message])) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "seen"},
                {"type": "tool_call", "id": "c", "name": "None", "arguments": None},
            ],
        }
    ]
