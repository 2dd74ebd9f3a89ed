"""Feedback over HTTP, as existing clients speak of it: lists are bare arrays.

Where a list goes on is said in the header ``X-Next-Cursor``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from hansard.core.feedback import (
    ANONYMOUS,
    LATENCY_MAX_MS,
    RATINGS,
    WINDOWS_US,
    Feedback,
    FeedbackCount,
    FeedbackQuery,
    StatsQuery,
)
from hansard.core.shapes import Time
from hansard.core.times import format_us
from hansard.server.bodies import Id, Index, Limit, NoQuery
from hansard.server.calls import Call, Reply, next_cursor, page_limit, read_time_us, to_json
from hansard.server.endpoint import Body, Endpoint
from hansard.service.feedback import FeedbackService

_STATS_WINDOWS: Final = list(WINDOWS_US)

Rating = Annotated[int, Meta(extra_json_schema={"enum": list(RATINGS)})]
Latency = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": LATENCY_MAX_MS})]


class FeedbackBody(Struct):
    """What somebody thought of an answer; its id, its time and its giver are not theirs to say."""

    rating: Rating
    trace_id: Id | None = None
    session_id: str | None = None
    comment: str | None = None
    correction: str | None = None
    model_id: str | None = None
    latency_ms: Latency | None = None
    turn_index: Index | None = None
    agent_type: str | None = None


class FeedbackChangesBody(Struct):
    """Changes to feedback; what is absent or null stays as it is."""

    rating: Rating | None = None
    comment: str | None = None
    correction: str | None = None


class FeedbackListQuery(Struct, frozen=True):
    """Which feedback to list; `since` is inclusive, `until` is not."""

    limit: Limit = 50
    offset: Index = 0
    cursor: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    model_id: str | None = None
    agent_type: str | None = None
    rating: Rating | None = None
    since: Time | None = None
    until: Time | None = None


class FeedbackStatsQuery(Struct, frozen=True):
    """What to count, in windows of which length; `since` is inclusive, `until` is not."""

    window: Annotated[str, Meta(extra_json_schema={"enum": _STATS_WINDOWS})] = "day"
    agent_type: str | None = None
    since: Time | None = None
    until: Time | None = None


class FeedbackCreated(Struct):
    """The id of new feedback."""

    feedback_id: str


class FeedbackAnswer(Struct):
    """One piece of feedback."""

    feedback_id: str
    trace_id: str
    session_id: str | None
    rating: int
    comment: str | None
    correction: str | None
    model_id: str | None
    latency_ms: float | None
    turn_index: int | None
    agent_type: str | None
    created_at: Time
    user_id: str

    @classmethod
    def of(cls, feedback: Feedback) -> FeedbackAnswer:
        """Write feedback."""
        return cls(
            feedback.feedback_id,
            feedback.trace_id,
            feedback.session_id,
            feedback.rating,
            feedback.comment,
            feedback.correction,
            feedback.model_id,
            feedback.latency_ms,
            feedback.turn_index,
            feedback.agent_type,
            format_us(feedback.created_at_us),
            ANONYMOUS if feedback.owner is None else feedback.owner,
        )


class FeedbackStatsRow(Struct):
    """Thumbs for one type of agent in one window, whose end is exclusive."""

    window_start: Time
    window_end: Time
    agent_type: str | None
    thumbs_up: int
    thumbs_down: int
    total: int

    @classmethod
    def of(cls, counted: FeedbackCount) -> FeedbackStatsRow:
        """Write a count."""
        return cls(
            format_us(counted.window_start_us),
            format_us(counted.window_end_us),
            counted.agent_type,
            counted.thumbs_up,
            counted.thumbs_down,
            counted.thumbs_up + counted.thumbs_down,
        )


async def add_feedback(call: Call[NoQuery, FeedbackBody]) -> Reply:
    """Keep feedback on an answer."""
    feedback = await _service(call).add(**asdict(call.body))
    return Reply(to_json(FeedbackCreated(feedback.feedback_id)))


async def list_feedback(call: Call[FeedbackListQuery, None]) -> Reply:
    """List feedback, newest first; `X-Next-Cursor` says where it goes on."""
    query = call.query
    page = await _service(call).list(
        FeedbackQuery(
            limit=page_limit(call, query.limit),
            offset=query.offset,
            cursor=query.cursor,
            trace_id=query.trace_id,
            session_id=query.session_id,
            user_id=query.user_id,
            model_id=query.model_id,
            agent_type=query.agent_type,
            rating=query.rating,
            since_us=read_time_us(query.since, "since"),
            until_us=read_time_us(query.until, "until"),
        )
    )
    return Reply(
        to_json([FeedbackAnswer.of(item) for item in page.items]), headers=next_cursor(page)
    )


async def count_feedback(call: Call[FeedbackStatsQuery, None]) -> Reply:
    """Count thumbs by window and type of agent; weeks begin on Monday, all windows in UTC."""
    query = call.query
    counts = await _service(call).count(
        StatsQuery(
            window=query.window,
            agent_type=query.agent_type,
            since_us=read_time_us(query.since, "since"),
            until_us=read_time_us(query.until, "until"),
        )
    )
    return Reply(to_json([FeedbackStatsRow.of(counted) for counted in counts]))


async def get_feedback(call: Call[NoQuery, None]) -> Reply:
    """Return one piece of feedback."""
    feedback = await _service(call).get(call.params["feedback_id"])
    return Reply(to_json(FeedbackAnswer.of(feedback)))


async def update_feedback(call: Call[NoQuery, FeedbackChangesBody]) -> Reply:
    """Change one piece of feedback, and return it as it is then."""
    feedback = await _service(call).update(call.params["feedback_id"], **asdict(call.body))
    return Reply(to_json(FeedbackAnswer.of(feedback)))


def _service(call: Call[Any, Any]) -> FeedbackService:
    record = call.record
    return FeedbackService(record.runner, actor=record.actor, clock=record.clock)


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/feedback",
        name="add_feedback",
        summary="Keep feedback on an answer.",
        handler=add_feedback,
        body=Body(shape=FeedbackBody),
        answer=FeedbackCreated,
        status=201,
    ),
    Endpoint(
        method="GET",
        path="/v1/feedback",
        name="list_feedback",
        summary="List feedback, newest first.",
        handler=list_feedback,
        query=FeedbackListQuery,
        answer=FeedbackAnswer,
        listed=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/feedback/stats",
        name="count_feedback",
        summary="Count thumbs by window and type of agent.",
        handler=count_feedback,
        query=FeedbackStatsQuery,
        answer=FeedbackStatsRow,
        listed=True,
        errors=(400,),
    ),
    Endpoint(
        method="GET",
        path="/v1/feedback/{feedback_id}",
        name="get_feedback",
        summary="Get one piece of feedback.",
        handler=get_feedback,
        answer=FeedbackAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="PATCH",
        path="/v1/feedback/{feedback_id}",
        name="update_feedback",
        summary="Change one piece of feedback.",
        handler=update_feedback,
        body=Body(shape=FeedbackChangesBody),
        answer=FeedbackAnswer,
        errors=(404,),
    ),
)
