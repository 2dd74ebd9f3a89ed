"""Feedback: given once, changed by its giver, counted alike on both engines."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hansard import HansardError, NotFound
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.feedback import COUNTS_MAX, Feedback, FeedbackQuery, StatsQuery
from hansard.core.times import format_us, parse_us
from hansard.service.feedback import FeedbackService
from hansard.service.sessions import DatabaseSessions
from hansard.store import feedback
from tests.places import Place
from tests.samples import together

MONDAY_US = parse_us("2026-01-05T00:00:00Z")
HOUR_US = 3_600_000_000
WHOLE: dict[str, Any] = {
    "rating": -1,
    "trace_id": "trace_0123456789abcdef",
    "session_id": "event:/hooks/x",
    "comment": "wrong \U0001f44e",
    "correction": "'right' \\ \"so\"",
    "model_id": "gpt-4o",
    "latency_ms": 1234.5678,
    "turn_index": 2**53 - 1,
    "agent_type": "support",
}


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


@pytest.fixture
def place(record_url: str) -> Place:
    return Place(kind="", url="", database_url=record_url)


@pytest.fixture
def service(record: DatabaseSessions) -> FeedbackService:
    """Feedback of whoever is not asked for a name."""
    return FeedbackService(record.runner)


def acting(
    record: DatabaseSessions, owner: str, *, tenant: str = "default", sees_all: bool = False
) -> FeedbackService:
    return FeedbackService(record.runner, actor=Actor(tenant, owner, sees_all=sees_all))


def at(record: DatabaseSessions, time_us: int) -> FeedbackService:
    """Feedback that is given at a moment."""
    return FeedbackService(record.runner, clock=lambda: time_us)


async def ids(service: FeedbackService, **filters: Any) -> list[str]:
    return [item.feedback_id for item in (await service.list(FeedbackQuery(**filters))).items]


async def counts(service: FeedbackService, **filters: Any) -> list[tuple[Any, ...]]:
    return [
        (format_us(row.window_start_us)[:13], row.agent_type, row.thumbs_up, row.thumbs_down)
        for row in await service.count(StatsQuery(**filters))
    ]


async def test_feedback_comes_back_as_it_was_given(service: FeedbackService) -> None:
    given = await service.add(**WHOLE)
    found = await service.get(given.feedback_id)
    assert found == given
    assert {name: getattr(found, name) for name in WHOLE} == WHOLE
    assert found.owner is None
    assert re.fullmatch(r"fb_[0-9A-Z]{26}", found.feedback_id)


async def test_a_thumb_alone_is_enough(service: FeedbackService) -> None:
    given = await service.add(rating=1)
    found = await service.get(given.feedback_id)
    assert re.fullmatch(r"trace_[0-9a-f]{16}", found.trace_id)
    assert [getattr(found, name) for name in WHOLE if name not in {"rating", "trace_id"}] == [
        None
    ] * 7


@pytest.mark.parametrize("latency_ms", [0, -0.0, 10**12, 0.1 + 0.2, 5e-324])
async def test_latency_is_exact(service: FeedbackService, latency_ms: float) -> None:
    given = await service.add(rating=1, latency_ms=latency_ms)
    found = (await service.get(given.feedback_id)).latency_ms
    assert found == latency_ms
    assert math.copysign(1, found) == 1


async def test_update_leaves_what_is_none(service: FeedbackService) -> None:
    given = await service.add(**WHOLE)
    changed = await service.update(given.feedback_id, comment="right after all", rating=1)
    assert changed == replace(given, comment="right after all", rating=1)
    assert await service.update(given.feedback_id, correction="") == replace(changed, correction="")
    assert await service.update(given.feedback_id) == replace(changed, correction="")
    assert await service.get(given.feedback_id) == replace(changed, correction="")


async def test_updates_of_different_fields_at_once_lose_nothing(service: FeedbackService) -> None:
    given = [await service.add(rating=1) for _ in range(10)]
    changes: list[dict[str, Any]] = [{"rating": -1}, {"comment": "c"}, {"correction": "d"}]
    await together(
        [service.update(item.feedback_id, **change) for item in given for change in changes]
    )
    for item in given:
        expected = replace(item, rating=-1, comment="c", correction="d")
        assert await service.get(item.feedback_id) == expected


async def test_everything_given_at_once_is_kept(record: DatabaseSessions) -> None:
    services = [acting(record, f"owner{n % 5}") for n in range(50)]
    given = await together([service.add(rating=1) for service in services])
    everything = acting(record, "auditor", sees_all=True)
    assert sorted(await ids(everything)) == sorted(item.feedback_id for item in given)
    assert len(await ids(services[0])) == 10
    assert [sum(row[2:]) for row in await counts(everything, window="week")] == [50]


async def test_another_owner_and_another_tenant_find_nothing(
    record: DatabaseSessions, place: Place
) -> None:
    given = await acting(record, "ann").add(**WHOLE)
    before = place.dump()
    for stranger in (
        acting(record, "bob"),
        acting(record, "ann", tenant="other"),
        acting(record, "bob", tenant="other", sees_all=True),
    ):
        for act in (stranger.get, stranger.update):
            with pytest.raises(NotFound) as refused:
                await act(given.feedback_id)
            assert refused.value.code == "feedback_not_found"
        assert await ids(stranger) == await ids(stranger, user_id="ann") == []
        assert await counts(stranger) == []
    assert place.dump() == before
    auditor = acting(record, "auditor", sees_all=True)
    assert await auditor.get(given.feedback_id) == given
    changed = await auditor.update(given.feedback_id, comment="seen")
    assert changed.owner == "ann"


async def test_list_is_newest_first(record: DatabaseSessions) -> None:
    given = [await at(record, MONDAY_US + n // 2).add(rating=1) for n in range(10)]
    expected = sorted(given, key=lambda item: (item.created_at_us, item.feedback_id), reverse=True)
    assert await ids(at(record, 0)) == [item.feedback_id for item in expected]


async def test_pages_by_offset_and_by_cursor_give_the_same(record: DatabaseSessions) -> None:
    service = at(record, MONDAY_US)
    for _ in range(7):
        await service.add(rating=1)
    everything = await ids(service)
    assert [await ids(service, limit=3, offset=n) for n in (0, 3, 6, 9)] == [
        everything[:3],
        everything[3:6],
        everything[6:],
        [],
    ]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await service.list(FeedbackQuery(limit=3, cursor=cursor))
        seen += [item.feedback_id for item in page.items]
        await at(record, MONDAY_US + 1).add(rating=1)  # moves offsets, not cursors
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == everything


async def test_list_is_filtered(record: DatabaseSessions) -> None:
    first = await at(record, MONDAY_US).add(**WHOLE)
    await at(record, MONDAY_US + 1).add(rating=1)
    service = at(record, 0)
    for name in ("trace_id", "session_id", "model_id", "agent_type", "rating"):
        assert await ids(service, **{name: WHOLE[name]}) == [first.feedback_id], name
        assert await ids(service, **{name: WHOLE[name], "until_us": MONDAY_US}) == []
    assert await ids(service, until_us=MONDAY_US + 1) == [first.feedback_id]
    assert len(await ids(service, since_us=MONDAY_US)) == 2
    assert await ids(service, since_us=MONDAY_US + 2) == []
    assert await ids(service, model_id="unknown") == []


async def test_list_is_filtered_by_user(record: DatabaseSessions) -> None:
    nameless = await FeedbackService(record.runner).add(rating=1)
    anns = await acting(record, "ann").add(rating=1)
    auditor = acting(record, "auditor", sees_all=True)
    assert await ids(auditor, user_id="ann") == [anns.feedback_id]
    assert await ids(auditor, user_id="anonymous") == [nameless.feedback_id]
    assert await ids(acting(record, "ann"), user_id="ann") == [anns.feedback_id]
    assert await ids(acting(record, "ann"), user_id="anonymous") == []


async def test_cursor_of_another_is_refused(record: DatabaseSessions) -> None:
    for owner in ("ann", "bob"):
        for _ in range(2):
            await acting(record, owner).add(rating=1)
    cursor = (await acting(record, "ann").list(FeedbackQuery(limit=1))).next_cursor
    with pytest.raises(InvalidInput) as refused:
        await acting(record, "bob").list(FeedbackQuery(cursor=cursor))
    assert refused.value.code == "invalid_cursor"


async def test_thumbs_are_counted_by_window_and_agent(record: DatabaseSessions) -> None:
    moments = {
        "2026-01-04T23:59:59.999999Z": (1, None),  # a Sunday
        "2026-01-05T00:00:00Z": (1, "b"),
        "2026-01-05T00:59:59.999999Z": (-1, "b"),
        "2026-01-05T01:00:00Z": (-1, "a"),
        "2026-01-11T23:59:59.999999Z": (1, None),
        "2026-01-12T00:00:00Z": (1, None),
    }
    for moment, (rating, agent_type) in moments.items():
        await at(record, parse_us(moment)).add(rating=rating, agent_type=agent_type)
    service = at(record, 0)
    assert await counts(service, window="hour") == [
        ("2026-01-04T23", None, 1, 0),
        ("2026-01-05T00", "b", 1, 1),
        ("2026-01-05T01", "a", 0, 1),
        ("2026-01-11T23", None, 1, 0),
        ("2026-01-12T00", None, 1, 0),
    ]
    assert await counts(service) == [
        ("2026-01-04T00", None, 1, 0),
        ("2026-01-05T00", "a", 0, 1),
        ("2026-01-05T00", "b", 1, 1),
        ("2026-01-11T00", None, 1, 0),
        ("2026-01-12T00", None, 1, 0),
    ]
    weeks = [
        ("2025-12-29T00", None, 1, 0),
        ("2026-01-05T00", None, 1, 0),
        ("2026-01-05T00", "a", 0, 1),
        ("2026-01-05T00", "b", 1, 1),
        ("2026-01-12T00", None, 1, 0),
    ]
    assert await counts(service, window="week") == weeks
    within = {"since_us": MONDAY_US, "until_us": MONDAY_US + 7 * 24 * HOUR_US}
    assert await counts(service, window="week", **within) == weeks[1:4]
    assert await counts(service, window="week", agent_type="b") == [weeks[3]]
    assert await counts(service, since_us=MONDAY_US + 365 * 24 * HOUR_US) == []


async def test_windows_end_where_the_next_begins(record: DatabaseSessions) -> None:
    await at(record, MONDAY_US + 1).add(rating=1)
    for window, hours in (("hour", 1), ("day", 24), ("week", 168)):
        (row,) = await at(record, 0).count(StatsQuery(window=window))
        assert row.window_start_us == MONDAY_US
        assert row.window_end_us == MONDAY_US + hours * HOUR_US


async def test_time_begins_in_a_whole_week(record: DatabaseSessions) -> None:
    await at(record, 0).add(rating=1)
    assert await counts(at(record, 0), window="week") == [("1969-12-29T00", None, 1, 0)]


async def test_too_many_counts_are_refused(record: DatabaseSessions, place: Place) -> None:
    place.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers"
        f" WHERE n < {COUNTS_MAX})"
        f" INSERT INTO feedback (tenant_id, feedback_id, trace_id, rating, created_at_us)"
        f" SELECT 'default', 'fb_' || n, 't', 1, n * {HOUR_US} FROM numbers"
    )
    service = at(record, 0)
    with pytest.raises(InvalidInput) as refused:
        await service.count(StatsQuery(window="hour"))
    assert refused.value.code == "too_many_windows"
    assert len(await service.count(StatsQuery(window="hour", since_us=1))) == COUNTS_MAX


BAD: dict[str, list[Any]] = {
    "rating": [0, 2, 1.0, True, "1", None, 2**70],
    "trace_id": ["", "a/b", "a b", "x" * 129, 7, "é"],
    "session_id": ["x" * 257, "a\0b", "\ud83d", 7],
    "comment": ["x" * 100_001, "a\0b", "cut \ud83d", 7],
    "correction": ["x" * 100_001, "a\0b", "cut \ud83d", 7],
    "model_id": ["x" * 257, "a\0b", "\ud83d"],
    "agent_type": ["x" * 257, "a\0b", "\ud83d"],
    "latency_ms": [-1, -5e-324, math.nan, math.inf, 10**13, True, "1"],
    "turn_index": [-1, 2**53, 1.0, True, "1"],
}


@pytest.mark.parametrize("field", BAD)
async def test_bad_input_is_refused_and_nothing_kept(
    service: FeedbackService, place: Place, field: str
) -> None:
    given = await service.add(rating=1)
    before = place.dump()
    for value in BAD[field]:
        with pytest.raises(InvalidInput):
            await service.add(**{"rating": 1, field: value})
        if field in {"rating", "comment", "correction"} and value is not None:
            with pytest.raises(InvalidInput):
                await service.update(given.feedback_id, **{"rating": -1, field: value})
    assert place.dump() == before


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"limit": 0}, "invalid_limit"),
        ({"limit": -1}, "invalid_limit"),
        ({"limit": 1001}, "invalid_limit"),
        ({"offset": -1}, "invalid_offset"),
        ({"offset": 2**63}, "invalid_offset"),
        ({"rating": 0}, "invalid_field"),
        ({"trace_id": "a\0b"}, "invalid_json"),
        ({"user_id": "\ud83d"}, "invalid_json"),
        ({"agent_type": "x" * 257}, "invalid_field"),
        ({"since_us": 2**63}, "invalid_time"),
        ({"until_us": 0.5}, "invalid_time"),
    ],
)
def test_bad_filters_are_refused(filters: dict[str, Any], code: str) -> None:
    with pytest.raises(HansardError) as refused:
        FeedbackQuery(**filters)
    assert refused.value.code == code


@pytest.mark.parametrize("window", ["month", "", "Day", None])
def test_other_windows_are_refused(window: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        StatsQuery(window=window)
    assert refused.value.code == "invalid_window"


async def test_purge_takes_the_oldest_of_one_tenant(record: DatabaseSessions) -> None:
    given: list[Feedback] = [await at(record, MONDAY_US + n).add(rating=1) for n in range(5)]
    theirs = await acting(record, "ann", tenant="other").add(rating=1)

    async def purge(before_us: int, limit: int) -> int:
        return await record.runner.write(
            lambda tx: feedback.purge_before(tx, "default", before_us, limit)
        )

    assert await purge(MONDAY_US + 4, 3) == 3
    service = at(record, 0)
    assert await ids(service) == [given[4].feedback_id, given[3].feedback_id]
    assert await purge(MONDAY_US + 4, 3) == 1
    assert await purge(MONDAY_US + 4, 3) == 0
    assert await ids(service) == [given[4].feedback_id]
    assert await ids(acting(record, "ann", tenant="other")) == [theirs.feedback_id]


async def test_purges_at_once_count_each_row_once(record: DatabaseSessions) -> None:
    for n in range(20):
        await at(record, MONDAY_US + n).add(rating=1)
    removed = await together(
        [
            record.runner.write(lambda tx: feedback.purge_before(tx, "default", MONDAY_US + 20, 8))
            for _ in range(4)
        ]
    )
    assert sum(removed) + len(await ids(at(record, 0))) == 20
