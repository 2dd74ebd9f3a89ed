"""Traces: one request through an agent as a tree of spans, kept as it was given.

    Trace --check_trace--> NewTrace: two JSON texts, one to get and one to list, and beside
                           them what a list is filtered and sorted by

A trace names a session and is otherwise apart from it: it may come before the session does,
and stays when that goes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, to_builtins

from hansard.core import strict_json
from hansard.core.errors import InvalidInput
from hansard.core.ids import check_id
from hansard.core.paging import check_limit, check_offset
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.strict_json import check_optional_text, check_text
from hansard.core.times import check_us, parse_utc_us
from hansard.core.usage import TOKENS_MAX

SPANS_MAX = 10_000  # of one trace: a runaway loop, not a request
_MODEL_CALL = "model_call"
_TOOL_CALL = "tool:"


class Span(Struct, frozen=True, kw_only=True):
    """One step of a trace.

    Start and end are seconds of any clock: only their difference means something. A
    `trace_id` that is empty is that of the trace.
    """

    trace_id: str = ""
    span_id: str
    parent_span_id: str | None = None
    name: str = ""
    start_time: float = 0.0
    end_time: float | None = None
    status: str = "ok"
    attributes: dict[str, Any] = {}
    events: list[dict[str, Any]] = []


class Trace(Struct, frozen=True, kw_only=True):
    """One request through an agent.

    Times are RFC 3339; where one has no zone, it is UTC.
    """

    trace_id: str
    started_at: str
    ended_at: str | None = None
    model: str | None = None
    session_id: str | None = None
    status: str = "ok"
    spans: list[Span] = []


class TraceSummary(Struct, frozen=True, kw_only=True):
    """A trace without its spans.

    The duration is that of the first span that has no parent, the tokens are those of the spans
    called `model_call`; null if there is none that says.
    """

    trace_id: str
    started_at: str
    ended_at: str | None
    model: str | None
    session_id: str | None
    status: str
    duration_ms: float | None
    span_count: int
    tool_calls: int
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrace:
    """A checked trace; ``body`` and ``summary`` are JSON."""

    trace_id: str
    session_id: str | None
    model: str | None
    status: str
    started_at_us: int
    body: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces to list, newest start first; every part given must hold.

    Attributes:
        since_us: Bound of the start, inclusive; ``until_us`` is exclusive.
    """

    limit: int = 50
    offset: int = 0
    cursor: str | None = None
    session_id: str | None = None
    model: str | None = None
    status: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def __post_init__(self) -> None:
        check_limit(self.limit)
        check_offset(self.offset)
        for field in ("session_id", "model", "status"):
            check_optional_text(getattr(self, field), field, length_max=NAME_LENGTH_MAX)
        for field in ("since_us", "until_us"):
            if getattr(self, field) is not None:
                check_us(getattr(self, field), field.removesuffix("_us"))


def check_trace(trace: Trace) -> NewTrace:
    """Check a trace, and write it as it is kept.

    Raises:
        InvalidInput: If an id, a time or a number is none, or a text cannot be kept.
    """
    trace_id = check_id(trace.trace_id, "trace_id")
    started_at_us, _ = parse_utc_us(trace.started_at, "started_at")
    if trace.ended_at is not None:
        parse_utc_us(trace.ended_at, "ended_at")
    if len(trace.spans) > SPANS_MAX:
        raise InvalidInput(f"more than {SPANS_MAX} spans", code="invalid_trace")
    body = to_builtins(trace)
    for index, span in enumerate(body["spans"]):
        if not span["span_id"]:
            raise InvalidInput(f"span {index} has no id", code="invalid_trace", index=index)
        span["trace_id"] = span["trace_id"] or trace_id
    return NewTrace(
        trace_id=trace_id,
        session_id=check_optional_text(trace.session_id, "session_id", length_max=NAME_LENGTH_MAX),
        model=check_optional_text(trace.model, "model", length_max=NAME_LENGTH_MAX),
        status=check_text(trace.status, "status", length_max=NAME_LENGTH_MAX),
        started_at_us=started_at_us,
        body=strict_json.dumps(body),
        summary=strict_json.dumps(to_builtins(summarize(trace))),
    )


def summarize(trace: Trace) -> TraceSummary:
    """Sum up a trace."""
    calls = [span.attributes for span in trace.spans if span.name == _MODEL_CALL]
    root = next((span for span in trace.spans if span.parent_span_id is None), None)
    return TraceSummary(
        trace_id=trace.trace_id,
        started_at=trace.started_at,
        ended_at=trace.ended_at,
        model=trace.model,
        session_id=trace.session_id,
        status=trace.status,
        duration_ms=None if root is None else _duration_ms(root),
        span_count=len(trace.spans),
        tool_calls=sum(span.name.startswith(_TOOL_CALL) for span in trace.spans),
        prompt_tokens=_sum(attributes.get("prompt_tokens") for attributes in calls),
        completion_tokens=_sum(attributes.get("completion_tokens") for attributes in calls),
    )


def _duration_ms(span: Span) -> float | None:
    if span.end_time is None:
        return None
    duration_ms = (span.end_time - span.start_time) * 1000
    return duration_ms if math.isfinite(duration_ms) else None


def _sum(counts: Iterable[object]) -> int | None:
    """Add up what can be a count; None if nothing can."""
    possible = [count for count in counts if type(count) is int and 0 <= count <= TOKENS_MAX]
    return sum(possible) if possible else None
