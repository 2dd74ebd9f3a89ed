"""Events: first the past, then live, one for each version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import hansard
from hansard import SessionService
from hansard.core.events import Event
from hansard.service.sessions import DatabaseSessions
from tests.places import Place
from tests.samples import call, dialogue, take, together


async def make(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(2))
    await record.append_turn("s", dialogue(2), usage=[call("c", 1)], turn_id="t1")
    await record.update_token_usage("s", event_id="e", input_tokens=1)
    await record.update("s", title="T")
    await record.save_messages("s", dialogue(1))


async def test_past_is_replayed_in_order(record: SessionService) -> None:
    await make(record)
    events = await take(record.events("s"), 6)
    told = [
        (
            event.number,
            event.kind,
            event.turn_id,
            event.first_seq,
            event.last_seq,
            event.message_count,
        )
        for event in events
    ]
    assert told == [
        (1, "session.created", None, None, None, 0),
        (2, "messages.appended", None, 0, 1, 2),
        (3, "turn.recorded", "t1", 2, 3, 4),
        (4, "usage.recorded", None, None, None, 4),
        (5, "session.updated", None, None, None, 4),
        (6, "messages.replaced", None, None, None, 1),
    ]


@pytest.mark.parametrize("since", [0, 1, 4, 5])
async def test_reader_resumes_after_what_it_has_seen(record: SessionService, since: int) -> None:
    await make(record)
    events = await take(record.events("s", since=since), 6 - since)
    assert [event.number for event in events] == list(range(since + 1, 7))


async def test_live_changes_follow_the_past(record: SessionService) -> None:
    await make(record)
    stream = record.events("s", since=5)
    assert (await anext(stream)).number == 6
    for n in range(3):
        waiting = asyncio.ensure_future(anext(stream))
        receipt = await record.append_turn("s", dialogue(1), turn_id=f"live-{n}")
        async with asyncio.timeout(30):
            event = await waiting
        assert (event.number, event.turn_id) == (receipt.version, f"live-{n}")
    await stream.aclose()  # type: ignore[attr-defined]  # the iterators are generators


async def test_changes_of_another_record_arrive(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")
    async with hansard.open(place.url) as other:
        reading = asyncio.ensure_future(take(record.events("s"), 11))
        for n in range(10):
            await other.append_turn("s", dialogue(1), turn_id=f"t{n}")
        events = await reading
    assert [event.number for event in events] == list(range(1, 12))
    assert [event.turn_id for event in events[1:]] == [f"t{n}" for n in range(10)]


async def test_no_change_is_missed_or_seen_twice_under_load(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s")
    async with hansard.open(place.url) as other:
        readers = [
            asyncio.ensure_future(take(reader.events("s", since=1), 60))
            for reader in (record, other, record)
        ]
        await together([(record, other)[n % 2].append_turn("s", dialogue(1)) for n in range(60)])
        for seen in await together(readers):
            assert [event.number for event in seen] == list(range(2, 62))
            assert [event.last_seq for event in seen] == list(range(60))


async def test_each_session_has_its_own_events(record: SessionService) -> None:
    await record.create(session_id="a")
    await record.create(session_id="b")
    reading = asyncio.ensure_future(take(record.events("a", since=1), 2))
    for _ in range(2):
        await record.append_messages("b", dialogue(1))
        await record.append_messages("a", dialogue(2))
    events: list[Event] = await reading
    assert [event.message_count for event in events] == [2, 4]


async def test_events_and_versions_never_differ(record: SessionService, place: Place) -> None:
    await make(record)
    fork = await record.fork("s")
    await record.append_messages(fork.id, dialogue(1))
    rows: list[Any] = place.execute(
        "SELECT s.version, count(e.number), min(e.number), max(e.number) FROM sessions AS s"
        " JOIN events AS e ON e.tenant_id = s.tenant_id AND e.session_id = s.session_id"
        " GROUP BY s.session_id, s.version"
    )
    assert len(rows) == 2
    for version, count, first, last in rows:
        assert (count, first, last) == (version, 1, version)


async def test_reader_that_goes_away_is_forgotten(record: SessionService) -> None:
    await record.create(session_id="s")
    for _ in range(20):
        await take(record.events("s"), 1)
    waiting = asyncio.ensure_future(take(record.events("s", since=1), 1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await record.append_messages("s", dialogue(1))
    assert (await record.get("s")).version == 2


@pytest.mark.parametrize("later", range(8))
async def test_reader_that_is_cancelled_while_it_is_woken_ends(later: int, sqlite_url: str) -> None:
    async with hansard.open(sqlite_url) as record:
        assert isinstance(record, DatabaseSessions)
        await record.create(session_id="s")
        events = record.events("s", since=1)
        reading = asyncio.ensure_future(anext(events))
        while not record.runner.database.bulletin._subscribers:
            await asyncio.sleep(0)
        await record.get("s")  # which is answered after the reader's own look
        await asyncio.sleep(0)
        record.runner.database.bulletin.announce((record.actor.tenant_id, "s"))
        for _ in range(later):
            await asyncio.sleep(0)
        reading.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        assert reading.cancelled()
