"""The field's own clients of feedback and traces, unchanged against a running server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from fipsagents.server.feedback import (  # type: ignore[import-untyped]  # it ships no types
    FeedbackRecord,
)
from fipsagents.server.http import (  # type: ignore[import-untyped]  # it ships no types
    HttpFeedbackStore,
    HttpTraceStore,
    PlatformError,
)
from fipsagents.server.tracing import (  # type: ignore[import-untyped]  # it ships no types
    Span,
    Trace,
)

from hansard.compose import open_database
from hansard.server.app import key_service
from hansard.settings import AccessSettings
from tests.places import serve

RECORD = FeedbackRecord(
    feedback_id="fb_theirs",
    trace_id="trace_0123456789abcdef",
    session_id="s",
    rating=-1,
    comment="wrong",
    correction=None,
    model_id="m",
    latency_ms=12.5,
    turn_index=0,
    agent_type="support",
    created_at="2001-01-01T00:00:00+00:00",
)


def make_trace(trace_id: str, started: datetime, **more: Any) -> Trace:
    ended = started + timedelta(seconds=1)
    spans = [
        Span(trace_id, "a", name="request", start_time=1.25, end_time=2.5),
        Span(trace_id, "b", "a", "model_call", attributes={"prompt_tokens": 5, "x": [1.5]}),
        Span(trace_id, "c", "a", "tool:search", status="error", events=[{"name": "retry"}]),
    ]
    return Trace(trace_id, started.isoformat(), ended.isoformat(), spans=spans, **more)


@pytest.fixture
def server(record_url: str) -> Iterator[str]:
    with serve(record_url) as url:
        yield url


@pytest.fixture
async def feedback(server: str) -> AsyncIterator[HttpFeedbackStore]:
    store = HttpFeedbackStore(server)
    yield store
    await store.close()


@pytest.fixture
async def traces(server: str) -> AsyncIterator[HttpTraceStore]:
    store = HttpTraceStore(server)
    yield store
    await store.close()


async def test_feedback_comes_back(feedback: HttpFeedbackStore) -> None:
    feedback_id = await feedback.add(RECORD)
    found = await feedback.get(feedback_id)
    assert feedback_id.startswith("fb_")
    assert datetime.now(UTC) - datetime.fromisoformat(found.created_at) < timedelta(hours=1)
    assert found == replace(RECORD, feedback_id=feedback_id, created_at=found.created_at)
    assert await feedback.query() == [found]


async def test_feedback_is_changed_by_what_is_given(feedback: HttpFeedbackStore) -> None:
    feedback_id = await feedback.add(RECORD)
    before = await feedback.get(feedback_id)
    after = await feedback.update(feedback_id, rating=1, correction="so")
    assert after == replace(before, rating=1, correction="so")
    assert await feedback.update(feedback_id) == after


async def test_feedback_is_found_by_filter_and_page(feedback: HttpFeedbackStore) -> None:
    made = [
        await feedback.add(replace(RECORD, session_id=f"s{n % 2}", trace_id=f"trace_{n}"))
        for n in range(6)
    ]

    async def ids(**filters: Any) -> list[str]:
        return [item.feedback_id for item in await feedback.query(**filters)]

    soon = datetime.now(UTC) + timedelta(hours=1)
    assert await ids() == made[::-1]
    assert await ids(limit=2, offset=3) == [made[2], made[1]]
    assert await ids(session_id="s1") == [made[5], made[3], made[1]]
    assert await ids(trace_id="trace_2") == [made[2]]
    assert await ids(user_id="anonymous", since=soon - timedelta(hours=2), until=soon) == made[::-1]
    assert await ids(since=soon) == []
    assert await ids(since=soon.replace(tzinfo=None)) == []
    assert await ids(user_id="somebody") == []


async def test_thumbs_are_counted(feedback: HttpFeedbackStore) -> None:
    for rating, agent_type in ((1, "a"), (1, "a"), (-1, "a"), (-1, None)):
        await feedback.add(replace(RECORD, rating=rating, agent_type=agent_type))
    for window, length in (("hour", 1), ("day", 24), ("week", 168)):
        rows = await feedback.stats(window=window)
        sums: dict[str | None, list[int]] = {}
        for row in rows:  # two windows, if an hour ends just now
            up, down, total = sums.setdefault(row.agent_type, [0, 0, 0])
            sums[row.agent_type] = [up + row.thumbs_up, down + row.thumbs_down, total + row.total]
            start = datetime.fromisoformat(row.window_start)
            assert datetime.fromisoformat(row.window_end) - start == timedelta(hours=length)
            assert window != "week" or start.weekday() == 0
        assert sums == {"a": [2, 1, 3], None: [0, 1, 1]}
    assert await feedback.stats(agent_type="unknown") == []
    assert await feedback.stats(since=datetime.now(UTC) + timedelta(days=1)) == []


async def test_unknown_feedback_is_none(feedback: HttpFeedbackStore) -> None:
    assert await feedback.get("fb_unknown") is None
    assert await feedback.update("fb_unknown", rating=1) is None
    assert await feedback.update("fb_unknown") is None


async def test_bad_feedback_is_an_error_with_its_status(feedback: HttpFeedbackStore) -> None:
    with pytest.raises(PlatformError) as refused:
        await feedback.add(replace(RECORD, rating=5))
    assert refused.value.status_code == 422
    with pytest.raises(PlatformError) as refused:
        await feedback.stats(window="month")
    assert refused.value.status_code == 400
    with pytest.raises(PlatformError) as refused:
        await feedback.query(limit=-1)
    assert refused.value.status_code == 422
    assert await feedback.query() == []


async def test_trace_comes_back(traces: HttpTraceStore) -> None:
    trace = make_trace("trace_a", datetime.now(UTC), model="m", session_id="s")
    await traces.save_trace(trace)
    assert await traces.get_trace("trace_a") == trace
    assert await traces.list_traces() == [trace.to_summary()]
    again = replace(trace, status="error", spans=trace.spans[:1])
    await traces.save_trace(again)
    assert await traces.get_trace("trace_a") == again
    assert await traces.list_traces() == [again.to_summary()]


async def test_traces_are_listed_by_their_start(traces: HttpTraceStore) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    made = [make_trace(f"trace_{n}", now + timedelta(minutes=n)) for n in range(5)]
    await asyncio.gather(*(traces.save_trace(trace) for trace in made))
    expected = [trace.to_summary() for trace in made][::-1]
    assert await traces.list_traces() == expected
    assert await traces.list_traces(limit=2, offset=2) == expected[2:4]
    for wrong in ({"limit": 0}, {"limit": 1001}, {"offset": -1}):
        with pytest.raises(PlatformError) as refused:
            await traces.list_traces(**wrong)
        assert refused.value.status_code == 422


async def test_unknown_trace_is_none(traces: HttpTraceStore) -> None:
    assert await traces.get_trace("trace_unknown") is None


async def test_bad_date_is_refused(traces: HttpTraceStore) -> None:
    with pytest.raises(PlatformError) as refused:
        await traces.save_trace(Trace("trace_a", "the other day"))
    assert refused.value.status_code == 422
    assert await traces.list_traces() == []


async def test_each_token_has_its_own(record_url: str) -> None:
    access = AccessSettings(auth="key")

    async def make_keys() -> list[str]:
        async with open_database(record_url) as record:
            keys = key_service(record, access)
            return [(await keys.create("acme", owner))[0] for owner in ("ann", "bob")]

    tokens = await make_keys()
    with serve(record_url, access) as url:
        ann, bob = (HttpFeedbackStore(url, static_token=token) for token in tokens)
        ann_traces, bob_traces = (HttpTraceStore(url, static_token=token) for token in tokens)
        feedback_id = await ann.add(RECORD)
        assert (await ann.get(feedback_id)).user_id == "ann"
        assert await bob.get(feedback_id) is None
        assert await bob.update(feedback_id, comment="mine") is None
        assert await bob.query() == []
        trace = make_trace("trace_a", datetime.now(UTC))
        await ann_traces.save_trace(trace)
        assert await bob_traces.get_trace("trace_a") is None
        with pytest.raises(PlatformError) as refused:
            await bob_traces.save_trace(replace(trace, status="error"))
        assert refused.value.status_code == 404
        assert await ann_traces.get_trace("trace_a") == trace
        async with anyio.create_task_group() as group:
            for store in (ann, bob, ann_traces, bob_traces):
                group.start_soon(store.close)
