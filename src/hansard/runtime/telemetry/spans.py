"""Turns as spans: one for the turn, one below it for each model call, and two histograms.

    the caller's span -> invoke_agent scripted -> chat gpt-5   -> the upstream's span
                                               `-> chat gpt-5

The SDK hands spans to a thread of its own, and throws them away where that falls behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from hansard.core.ids import Clock
from hansard.core.names import Names
from hansard.core.usage import NewUsage, charge
from hansard.runtime.agents.protocol import CallPlan, Headers
from hansard.runtime.observers import TurnEnd, TurnStart
from hansard.runtime.telemetry import names
from hansard.runtime.telemetry.content import write_messages

MODELS_MAX = 100  # told apart in metrics; clients may ask for as many as they like
TEXT_LENGTH_MAX = 256
_NS_PER_US = 1_000

Attributes = dict[str, AttributeValue]


class Telemetry:
    """Tells OpenTelemetry of turns; an ``Observer``.

    Args:
        clock: The record's.
        with_content: Tell it what was said, too.
    """

    def __init__(self, tracer: Tracer, meter: Meter, clock: Clock, *, with_content: bool) -> None:
        self.tracer = tracer
        self.clock = clock
        self.with_content = with_content
        self.propagator = TraceContextTextMapPropagator()
        self._models = Names(MODELS_MAX)
        self._tokens = meter.create_histogram(
            names.USED_TOKENS,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BOUNDS,
        )
        self._durations = meter.create_histogram(
            names.OPERATION_DURATION,
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=names.DURATION_BOUNDS_S,
        )

    def begin(self, start: TurnStart) -> TurnSpans:
        """Begin a turn's span, below that of the caller if it named one."""
        return TurnSpans(self, start)

    def measure(
        self, call: CallSpan, usage: NewUsage | None, error: str | None, context: Context
    ) -> None:
        """Add a call to the histograms; tokens that were only estimated are left out."""
        attributes: Attributes = {
            names.OPERATION_NAME: names.CHAT,
            names.PROVIDER_NAME: names.provider_name(call.plan.provider),
            names.REQUEST_MODEL: self._models.of(call.plan.model),
        }
        if usage is not None:
            attributes[names.RESPONSE_MODEL] = self._models.of(usage.model)
        if usage is not None and usage.confidence != "estimated":
            for kind, count in (
                (names.INPUT, usage.input_tokens),
                (names.OUTPUT, usage.output_tokens),
            ):
                self._tokens.record(count, {**attributes, names.TYPE_OF_TOKENS: kind}, context)
        if error is not None:
            attributes[names.ERROR_TYPE] = error
        assert call.ended_us is not None
        self._durations.record((call.ended_us - call.began_us) / 1e6, attributes, context)


@dataclass(slots=True)
class CallSpan:
    """A model call under way; times are in microseconds."""

    span: Span
    plan: CallPlan
    began_us: int
    ended_us: int | None = None


class TurnSpans:
    """The spans of one turn; a ``Watch``."""

    def __init__(self, telemetry: Telemetry, start: TurnStart) -> None:
        self._telemetry = telemetry
        self._start = start
        parent = telemetry.propagator.extract(dict(start.headers))
        attributes: Attributes = {
            names.OPERATION_NAME: names.INVOKE_AGENT,
            names.AGENT_NAME: _text(start.agent),
            names.TENANT_ID: start.tenant_id,
            names.TURN_ID: start.turn_id,
            **self._conversation(),
        }
        self._span = telemetry.tracer.start_span(
            f"{names.INVOKE_AGENT} {_text(start.agent)}",
            parent,
            SpanKind.INTERNAL,
            attributes,
            start_time=start.at_us * _NS_PER_US,
        )
        self._context = set_span_in_context(self._span, parent)
        self._calls: dict[str, CallSpan] = {}

    @property
    def trace_id(self) -> str | None:
        """The trace that the turn's span is in."""
        context = self._span.get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    def call_began(self, call_id: str, plan: CallPlan) -> Headers:
        """Begin a call's span; return the headers by which an upstream continues it."""
        telemetry, model = self._telemetry, _text(plan.model)
        began_us = telemetry.clock()
        attributes: Attributes = {
            names.OPERATION_NAME: names.CHAT,
            names.PROVIDER_NAME: names.provider_name(plan.provider),
            names.CALL_ID: call_id,
            **self._conversation(),
        }
        if model:
            attributes[names.REQUEST_MODEL] = model
        if plan.output_tokens is not None:
            attributes[names.MAX_TOKENS] = plan.output_tokens
        span = telemetry.tracer.start_span(
            f"{names.CHAT} {model}".rstrip(),
            self._context,
            SpanKind.CLIENT,
            attributes,
            start_time=began_us * _NS_PER_US,
        )
        self._calls[call_id] = CallSpan(span, plan, began_us)
        carrier: dict[str, str] = {}
        telemetry.propagator.inject(carrier, set_span_in_context(span, self._context))
        return tuple(carrier.items())

    def call_ended(self, call_id: str) -> None:
        """Note when; what it used is known at the turn's end."""
        self._calls[call_id].ended_us = self._telemetry.clock()

    def ended(self, end: TurnEnd) -> None:
        """End all spans; a call that was not answered before ends with the turn, and as it does."""
        telemetry, span = self._telemetry, self._span
        now_us = telemetry.clock()
        used = {usage.event_id: usage for usage in end.calls}
        for call_id, call in self._calls.items():
            error = None
            if call.ended_us is None:
                call.ended_us, error = now_us, end.error
            self._end_call(call, used.get(call_id), error, end)
        span.set_attribute(names.TURN_STATUS, end.status)
        if end.finish_reason:
            span.set_attribute(names.FINISH_REASONS, [_text(end.finish_reason)])
        if telemetry.with_content:
            said = write_messages(end.said, end.finish_reason)
            span.set_attribute(names.INPUT_MESSAGES, write_messages(end.sent))
            span.set_attribute(names.OUTPUT_MESSAGES, said)
        _fail(span, end.error)
        span.end(now_us * _NS_PER_US)

    def _end_call(
        self, call: CallSpan, usage: NewUsage | None, error: str | None, end: TurnEnd
    ) -> None:
        if usage is not None:
            call.span.set_attributes(_usage_attributes(usage))
            cost_nanousd = charge(usage, self._start.at_us, end.pricing).cost_nanousd
            if cost_nanousd is not None:
                call.span.set_attribute(names.COST_NANOUSD, cost_nanousd)
        _fail(call.span, error)
        context = set_span_in_context(call.span, self._context)
        self._telemetry.measure(call, usage, error, context)
        assert call.ended_us is not None
        call.span.end(call.ended_us * _NS_PER_US)

    def _conversation(self) -> Attributes:
        session_id = self._start.session_id
        return {} if session_id is None else {names.CONVERSATION_ID: session_id}


def _usage_attributes(usage: NewUsage) -> Attributes:
    found: Attributes = {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        names.CACHE_READ_TOKENS: usage.cached_tokens,
        names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
    }
    for name, text in (
        (names.RESPONSE_MODEL, usage.model),
        (names.CONFIDENCE, usage.confidence),
    ):
        if text:
            found[name] = _text(text)
    return found


def _fail(span: Span, error: str | None) -> None:
    if error is not None:
        span.set_attribute(names.ERROR_TYPE, error)
        span.set_status(StatusCode.ERROR)


def _text(text: str) -> str:
    """Text that came from outside: short, and such as can be encoded, or a batch is lost."""
    return text[:TEXT_LENGTH_MAX].encode(errors="replace").decode()
