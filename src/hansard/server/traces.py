"""Traces over HTTP, as existing clients speak of them: lists are bare arrays.

Where a list goes on is said in the header ``X-Next-Cursor``. Stored JSON goes out as it lies
in the database.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from hansard.core.shapes import Time
from hansard.core.traces import Trace, TraceQuery, TraceSummary
from hansard.server.bodies import Index, Limit, NoQuery
from hansard.server.calls import Call, Reply, next_cursor, page_limit, read_time_us, to_json
from hansard.server.endpoint import Body, Endpoint
from hansard.service.traces import TraceService


class TraceListQuery(Struct, frozen=True):
    """Which traces to list, by their start: `since` is inclusive, `until` is not."""

    limit: Limit = 50
    offset: Index = 0
    cursor: str | None = None
    session_id: str | None = None
    model: str | None = None
    status: str | None = None
    since: Time | None = None
    until: Time | None = None


class TraceSaved(Struct):
    """The trace is kept."""

    trace_id: str
    saved: bool


async def save_trace(call: Call[NoQuery, Trace]) -> Reply:
    """Keep a trace, or replace the one of its id."""
    await _service(call).save(call.body)
    return Reply(to_json(TraceSaved(call.body.trace_id, saved=True)))


async def list_traces(call: Call[TraceListQuery, None]) -> Reply:
    """List traces without their spans, newest first; `X-Next-Cursor` says where it goes on."""
    query = call.query
    page = await _service(call).list(
        TraceQuery(
            limit=page_limit(call, query.limit),
            offset=query.offset,
            cursor=query.cursor,
            session_id=query.session_id,
            model=query.model,
            status=query.status,
            since_us=read_time_us(query.since, "since"),
            until_us=read_time_us(query.until, "until"),
        )
    )
    texts = ",".join(summary.text for summary in page.items)
    return Reply(f"[{texts}]".encode(), headers=next_cursor(page))


async def get_trace(call: Call[NoQuery, None]) -> Reply:
    """Return a trace with its spans, as it was given."""
    return Reply((await _service(call).get(call.params["trace_id"])).encode())


def _service(call: Call[Any, Any]) -> TraceService:
    record = call.record
    return TraceService(record.runner, actor=record.actor, clock=record.clock)


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/traces",
        name="save_trace",
        summary="Keep a trace, or replace the one of its id.",
        handler=save_trace,
        body=Body(shape=Trace, large=True),
        answer=TraceSaved,
        status=201,
        errors=(404,),
    ),
    Endpoint(
        method="GET",
        path="/v1/traces",
        name="list_traces",
        summary="List traces without their spans, newest first.",
        handler=list_traces,
        query=TraceListQuery,
        answer=TraceSummary,
        listed=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/traces/{trace_id}",
        name="get_trace",
        summary="Get a trace with its spans.",
        handler=get_trace,
        answer=Trace,
        errors=(404,),
    ),
)
