"""Traces: kept as given, replaced whole, listed by their start and by session."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hansard import HansardError, NotFound
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.traces import SPANS_MAX, Span, Trace, TraceQuery
from hansard.service.sessions import DatabaseSessions
from hansard.service.traces import TraceService
from hansard.store import traces
from tests.places import Place
from tests.samples import compete, together

ROOT = Span(span_id="a", name="request", start_time=100.5, end_time=102.0)
WHOLE = Trace(
    trace_id="trace_0123456789abcdef",
    started_at="2026-01-05T00:00:00.123456+00:00",
    ended_at="2026-01-05T00:00:01.623456+00:00",
    model="gpt-4o",
    session_id="event:/hooks/x",
    status="error",
    spans=[
        ROOT,
        Span(
            span_id="b",
            parent_span_id="a",
            name="model_call",
            start_time=0.1 + 0.2,
            attributes={
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "z": [1.0, None, "é\U0001f600"],
            },
            events=[{"b": 1, "a": {"2": True}}],
        ),
        Span(span_id="c", parent_span_id="a", name="tool:search", status="error"),
        Span(span_id="d", parent_span_id="a", name="model_call", attributes={"prompt_tokens": 7}),
    ],
)


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


@pytest.fixture
def place(record_url: str) -> Place:
    return Place(kind="", url="", database_url=record_url)


@pytest.fixture
def service(record: DatabaseSessions) -> TraceService:
    """Traces of whoever is not asked for a name."""
    return TraceService(record.runner)


def acting(
    record: DatabaseSessions, owner: str, *, tenant: str = "default", sees_all: bool = False
) -> TraceService:
    return TraceService(record.runner, actor=Actor(tenant, owner, sees_all=sees_all))


def at(record: DatabaseSessions, time_us: int) -> TraceService:
    """Traces that are saved at a moment."""
    return TraceService(record.runner, clock=lambda: time_us)


def trace(trace_id: str, second: int = 0, **more: Any) -> Trace:
    """A short trace that began so many seconds after midnight."""
    return Trace(trace_id=trace_id, started_at=f"2026-01-05T00:00:{second:02}Z", **more)


async def summaries(service: TraceService, **filters: Any) -> list[dict[str, Any]]:
    page = await service.list(TraceQuery(**filters))
    return [json.loads(summary.text) for summary in page.items]


async def ids(service: TraceService, **filters: Any) -> list[str]:
    return [summary["trace_id"] for summary in await summaries(service, **filters)]


async def test_trace_comes_back_as_it_was_given(service: TraceService) -> None:
    await service.save(WHOLE)
    found = json.loads(await service.get(WHOLE.trace_id))
    expected = msgspec.to_builtins(WHOLE)
    for span in expected["spans"]:
        span["trace_id"] = WHOLE.trace_id
    assert found == expected
    assert list(found["spans"][1]["events"][0]) == ["b", "a"]


async def test_summary_adds_up_the_spans(service: TraceService) -> None:
    await service.save(WHOLE)
    assert await summaries(service) == [
        {
            "trace_id": WHOLE.trace_id,
            "started_at": WHOLE.started_at,
            "ended_at": WHOLE.ended_at,
            "model": "gpt-4o",
            "session_id": "event:/hooks/x",
            "status": "error",
            "duration_ms": 1500.0,
            "span_count": 4,
            "tool_calls": 1,
            "prompt_tokens": 17,
            "completion_tokens": 4,
        }
    ]


@pytest.mark.parametrize(
    ("attributes", "end_time"),
    [
        ({}, None),
        ({"prompt_tokens": -1, "completion_tokens": "4"}, 1e308),
        ({"prompt_tokens": True, "completion_tokens": 2**70}, -1e308),
        ({"prompt_tokens": None, "completion_tokens": 1.5}, 1e306),
    ],
)
async def test_summary_says_nothing_of_what_cannot_be(
    service: TraceService, attributes: dict[str, Any], end_time: float | None
) -> None:
    start = -1e308 if end_time and end_time > 0 else 1e308
    span = Span(
        span_id="a",
        name="model_call",
        start_time=start,
        end_time=end_time,
        attributes=attributes,
    )
    await service.save(trace("t", spans=[span]))
    (summary,) = await summaries(service)
    assert [summary[name] for name in ("duration_ms", "prompt_tokens", "completion_tokens")] == [
        None
    ] * 3


async def test_trace_saved_again_is_replaced_whole(service: TraceService) -> None:
    await service.save(WHOLE)
    again = trace(WHOLE.trace_id, 7, session_id="s2")
    await service.save(again)
    assert json.loads(await service.get(WHOLE.trace_id)) == msgspec.to_builtins(again)
    (summary,) = await summaries(service)
    assert (summary["session_id"], summary["span_count"], summary["model"]) == ("s2", 0, None)
    assert await ids(service, session_id=WHOLE.session_id) == []


async def test_savers_of_one_trace_at_once_leave_one_whole(record: DatabaseSessions) -> None:
    versions = [
        trace("t", n, model=f"m{n}", spans=[ROOT] * n, session_id=f"s{n}") for n in range(20)
    ]
    await together([TraceService(record.runner).save(version) for version in versions])
    service = TraceService(record.runner)
    kept = json.loads(await service.get("t"))
    n = len(kept["spans"])
    assert (kept["model"], kept["session_id"]) == (f"m{n}", f"s{n}")
    assert await ids(service, session_id=f"s{n}") == ["t"]
    assert len(await ids(service)) == 1


async def test_owners_who_race_for_an_id_share_nothing(record: DatabaseSessions) -> None:
    """The first has it; the others are told as little as a reader."""
    owners = [f"owner{n}" for n in range(10)]
    _, errors = await compete(
        [acting(record, owner).save(trace("t", model=owner)) for owner in owners]
    )
    assert [error.code for error in errors] == ["trace_not_found"] * 9
    holders = [owner for owner in owners if await ids(acting(record, owner))]
    assert len(holders) == 1
    assert json.loads(await acting(record, holders[0]).get("t"))["model"] == holders[0]


async def test_another_owner_finds_and_changes_nothing(
    record: DatabaseSessions, place: Place
) -> None:
    await acting(record, "ann").save(WHOLE)
    before = place.dump()
    bob = acting(record, "bob")
    for act in (bob.get(WHOLE.trace_id), bob.save(trace(WHOLE.trace_id))):
        with pytest.raises(NotFound) as refused:
            await act
        assert refused.value.code == "trace_not_found"
    assert await ids(bob) == await ids(bob, session_id=WHOLE.session_id) == []
    assert place.dump() == before


async def test_tenants_may_use_the_same_id(record: DatabaseSessions) -> None:
    ann, other = acting(record, "ann"), acting(record, "ann", tenant="other", sees_all=True)
    await ann.save(WHOLE)
    kept = await ann.get(WHOLE.trace_id)
    with pytest.raises(NotFound):
        await other.get(WHOLE.trace_id)
    await other.save(trace(WHOLE.trace_id))
    assert await ann.get(WHOLE.trace_id) == kept
    assert await ids(other) == [WHOLE.trace_id]


async def test_who_sees_all_replaces_but_does_not_take(record: DatabaseSessions) -> None:
    await acting(record, "ann").save(WHOLE)
    await acting(record, "auditor", sees_all=True).save(trace(WHOLE.trace_id, model="m"))
    assert json.loads(await acting(record, "ann").get(WHOLE.trace_id))["model"] == "m"


async def test_list_is_newest_start_first(service: TraceService) -> None:
    for name, second in (("b", 1), ("a", 1), ("d", 0), ("c", 2)):
        await service.save(trace(name, second))
    assert await ids(service) == ["c", "b", "a", "d"]


async def test_starts_are_compared_as_moments(service: TraceService) -> None:
    await service.save(Trace(trace_id="first", started_at="2026-01-05T12:00:00+02:00"))
    await service.save(Trace(trace_id="third", started_at="2026-01-05T11:00:00Z"))
    await service.save(Trace(trace_id="second", started_at="2026-01-05T10:30:00"))
    assert await ids(service) == ["third", "second", "first"]


async def test_list_is_filtered(service: TraceService) -> None:
    await service.save(trace("a", 1, session_id="s", model="m", status="error"))
    await service.save(trace("b", 2, session_id="s"))
    await service.save(trace("c", 3, session_id="other"))
    await service.save(trace("d", 4))
    assert await ids(service, session_id="s") == ["b", "a"]
    assert await ids(service, session_id="s", limit=1, offset=1) == ["a"]
    assert await ids(service, model="m") == await ids(service, status="error") == ["a"]
    first_us = 1_767_571_201_000_000
    assert await ids(service, since_us=first_us + 1, until_us=first_us + 2_000_000) == ["b"]
    assert await ids(service, session_id="unknown") == []


async def test_cursor_goes_on_where_the_page_ended(service: TraceService) -> None:
    for n in range(7):
        await service.save(trace(f"t{n}", n // 3, session_id="s"))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await service.list(TraceQuery(limit=2, cursor=cursor, session_id="s"))
        seen += [summary.trace_id for summary in page.items]
        await service.save(trace(f"later{len(seen)}", 50, session_id="s"))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"trace_id": ""}, "invalid_id"),
        ({"trace_id": "a/b"}, "invalid_id"),
        ({"trace_id": "x" * 129}, "invalid_id"),
        ({"started_at": "yesterday"}, "invalid_time"),
        ({"started_at": "2026-13-01T00:00:00Z"}, "invalid_time"),
        ({"started_at": "2026-01-05"}, "invalid_time"),
        ({"started_at": "0000-01-01T00:00:00Z"}, "invalid_time"),
        ({"started_at": ""}, "invalid_time"),
        ({"ended_at": "soon"}, "invalid_time"),
        ({"ended_at": ""}, "invalid_time"),
        ({"model": "a\0b"}, "invalid_json"),
        ({"model": "x" * 257}, "invalid_field"),
        ({"session_id": "\ud83d"}, "invalid_json"),
        ({"status": "x" * 257}, "invalid_field"),
        ({"spans": [Span(span_id="")]}, "invalid_trace"),
        ({"spans": [ROOT] * (SPANS_MAX + 1)}, "invalid_trace"),
        ({"spans": [Span(span_id="a\0b")]}, "invalid_json"),
        ({"spans": [Span(span_id="a", name="\ud83d")]}, "invalid_json"),
        ({"spans": [Span(span_id="a", start_time=math.nan)]}, "invalid_json"),
        ({"spans": [Span(span_id="a", end_time=math.inf)]}, "invalid_json"),
        ({"spans": [Span(span_id="a", attributes={"x": math.nan})]}, "invalid_json"),
        ({"spans": [Span(span_id="a", attributes={"x\0": 1})]}, "invalid_json"),
        ({"spans": [Span(span_id="a", events=[{"x": "\ud83d"}])]}, "invalid_json"),
    ],
)
async def test_bad_input_is_refused_and_nothing_kept(
    service: TraceService, place: Place, bad: dict[str, Any], code: str
) -> None:
    await service.save(WHOLE)
    before = place.dump()
    with pytest.raises(InvalidInput) as refused:
        await service.save(msgspec.structs.replace(WHOLE, **bad))
    assert refused.value.code == code
    assert place.dump() == before


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"limit": 0}, "invalid_limit"),
        ({"limit": 1001}, "invalid_limit"),
        ({"offset": -1}, "invalid_offset"),
        ({"session_id": "a\0b"}, "invalid_json"),
        ({"status": "x" * 257}, "invalid_field"),
        ({"since_us": 2**63}, "invalid_time"),
    ],
)
def test_bad_filters_are_refused(filters: dict[str, Any], code: str) -> None:
    with pytest.raises(HansardError) as refused:
        TraceQuery(**filters)
    assert refused.value.code == code


async def test_purge_goes_by_when_a_trace_was_saved(record: DatabaseSessions) -> None:
    """A client's clock decides neither that a trace is kept for ever nor that it goes at once."""
    for n, year in enumerate(("9999", "0001", "2026", "2026")):
        await at(record, n).save(Trace(trace_id=f"t{n}", started_at=f"{year}-01-01T00:00:00Z"))
    await acting(record, "ann", tenant="other").save(trace("theirs"))

    async def purge(before_us: int, limit: int) -> int:
        return await record.runner.write(
            lambda tx: traces.purge_before(tx, "default", before_us, limit)
        )

    assert await purge(3, 2) == 2
    assert set(await ids(TraceService(record.runner))) == {"t2", "t3"}
    await at(record, 9).save(trace("t2"))
    assert await purge(4, 2) == 1
    assert await purge(4, 2) == 0
    assert await ids(TraceService(record.runner)) == ["t2"]
    assert await ids(acting(record, "ann", tenant="other")) == ["theirs"]


async def test_trace_and_session_come_and_go_apart(record: DatabaseSessions) -> None:
    service = TraceService(record.runner)
    await service.save(trace("t", session_id="s"))
    await record.create(session_id="s")
    await record.delete("s")
    assert await ids(service, session_id="s") == ["t"]
