"""Lists of sessions: complete, stable, filtered and sorted the same everywhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hansard
from hansard import InvalidInput, Session, SessionQuery, SessionService
from hansard.core.sessions import SORT_FIELDS, SORTS
from tests.places import Place
from tests.samples import call, dialogue

AGENTS = ["airline", "Retail", None]
TITLES = ["Rebooking", "re: 100%_sure", None, "Über \\ 'quoted'"]


async def fill(record: SessionService, count: int = 12) -> list[Session]:
    made = []
    for n in range(count):
        session = await record.create(
            session_id=f"s{n * 7 % count:02d}", agent=AGENTS[n % 3], title=TITLES[n % 4]
        )
        made.append(session)
    for session in made[::3]:
        await record.update(session.id, archived=True)
    return [await record.get(session.id) for session in made]


async def walk(record: SessionService, **filters: Any) -> list[Session]:
    """Every session that matches, page by page."""
    found: list[Session] = []
    cursor = None
    while True:
        page = await record.list(cursor=cursor, **filters)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


def ids(sessions: list[Session]) -> list[str]:
    return [session.id for session in sessions]


async def test_newest_come_first(record: SessionService) -> None:
    made = await fill(record)
    assert ids(await walk(record)) == ids(made)[::-1]
    assert (await record.list()).next_cursor is None


async def test_summaries_are_the_sessions(record: SessionService) -> None:
    await record.create(session_id="s", metadata={"a": [1]}, messages=dialogue(3), model="m")
    await record.append_turn("s", dialogue(1), usage=[call("c", 5)])
    (summary,) = (await record.list()).items
    session = await record.get("s")
    for name in ("id", "metadata", "model", "message_count", "turn_count", "version", "usage"):
        assert getattr(summary, name) == getattr(session, name)
    assert (summary.digest, summary.updated_at_us) == (session.digest, session.updated_at_us)


@pytest.mark.parametrize("sort", sorted(SORTS))
@pytest.mark.parametrize("limit", [1, 3, 5, 11, 12, 1_000])
async def test_pages_of_any_size_make_the_same_whole(
    record: SessionService, sort: str, limit: int
) -> None:
    made = await fill(record)
    field = SORT_FIELDS[sort.strip("-")]
    expected = sorted(
        made,
        key=lambda session: (
            getattr(session, field) or ("" if field == "title" else 0),
            session.id,
        ),
        reverse=sort[0] == "-",
    )
    assert ids(await walk(record, sort=sort, limit=limit)) == ids(expected)


@given(
    limit=st.integers(1, 13),
    sort=st.sampled_from(sorted(SORTS)),
    agent=st.none() | st.sampled_from(["airline", "Retail", "nobody"]),
    archived=st.none() | st.booleans(),
    search=st.none() | st.sampled_from(["re", "RE", "%", "_", "\\", "'", "s0", "zzz"]),
    first=st.none() | st.integers(0, 11),
    last=st.none() | st.integers(0, 11),
)
@settings(max_examples=60)
async def test_filters_hold_together(
    filled: tuple[SessionService, list[Session]],
    limit: int,
    sort: str,
    agent: str | None,
    archived: bool | None,
    search: str | None,
    first: int | None,
    last: int | None,
) -> None:
    record, made = filled
    after_us = None if first is None else made[first].created_at_us
    before_us = None if last is None else made[last].created_at_us

    def matches(session: Session) -> bool:
        texts = [session.title or "", session.agent or "", session.id]
        return all(
            [
                agent is None or session.agent == agent,
                archived is None or session.archived == archived,
                search is None or any(search.lower() in text.lower() for text in texts),
                after_us is None or session.created_at_us >= after_us,
                before_us is None or session.created_at_us < before_us,
            ]
        )

    found = await walk(
        record,
        limit=limit,
        sort=sort,
        agent=agent,
        archived=archived,
        search=search,
        created_after_us=after_us,
        created_before_us=before_us,
    )
    assert sorted(ids(found)) == sorted(session.id for session in made if matches(session))


@pytest.fixture
async def filled(record: SessionService) -> tuple[SessionService, list[Session]]:
    return record, await fill(record)


async def test_updated_sessions_are_found_by_time(record: SessionService) -> None:
    made = await fill(record)
    touched = await record.append_messages("s03", dialogue(1))
    since = (await record.get("s03")).updated_at_us
    assert since > max(session.created_at_us for session in made)
    assert ids(await walk(record, updated_after_us=since)) == ["s03"]
    assert (await walk(record, sort="-updated_at"))[0].version == touched.version


async def test_query_object_and_filters_mean_the_same(record: SessionService) -> None:
    await fill(record)
    query = SessionQuery(agent="airline", limit=2, sort="created_at")
    assert await record.list(query) == await record.list(
        agent="airline", limit=2, sort="created_at"
    )


async def test_sessions_made_meanwhile_shift_no_page(record: SessionService) -> None:
    made = await fill(record)
    first = await record.list(limit=4)
    await record.create(session_id="late")
    await record.delete(first.items[-1].id)
    second = await record.list(limit=100, cursor=first.next_cursor)
    assert ids([*first.items, *second.items]) == ids(made)[::-1]


async def test_sessions_of_the_same_moment_are_all_listed(
    record: SessionService, place: Place
) -> None:
    await fill(record)
    place.execute("UPDATE session_details SET created_at_us = 5")
    place.execute("UPDATE sessions SET updated_at_us = 5")
    for sort in [sort for sort in SORTS if sort.endswith("ed_at")]:
        found = ids(await walk(record, sort=sort, limit=5))
        assert found == sorted(found, reverse=sort[0] == "-")
        assert len(found) == 12


@pytest.mark.parametrize("sort", sorted(SORTS - {"-created_at"}))
async def test_cursor_of_another_order_is_refused(record: SessionService, sort: str) -> None:
    await fill(record)
    cursor = (await record.list(limit=2)).next_cursor
    assert cursor
    with pytest.raises(InvalidInput) as caught:
        await record.list(limit=2, cursor=cursor, sort=sort)
    assert caught.value.code == "invalid_cursor"


async def test_page_may_grow_on_the_way(record: SessionService) -> None:
    made = await fill(record)
    first = await record.list(limit=2)
    rest = await record.list(limit=100, cursor=first.next_cursor)
    assert ids([*first.items, *rest.items]) == ids(made)[::-1]


async def test_cursor_of_another_record_is_refused(record: SessionService, tmp_path: Any) -> None:
    await fill(record)
    async with hansard.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        await fill(other)
        cursor = (await other.list(limit=2)).next_cursor
    with pytest.raises(InvalidInput) as caught:
        await record.list(limit=2, cursor=cursor)
    assert caught.value.code == "invalid_cursor"


async def test_cursor_of_turns_is_refused_elsewhere(record: SessionService) -> None:
    for session_id in ("a", "b"):
        await record.create(session_id=session_id)
        for _ in range(3):
            await record.append_turn(session_id, dialogue(1))
    cursor = (await record.list_turns("a", limit=1)).next_cursor
    assert cursor
    with pytest.raises(InvalidInput):
        await record.list_turns("b", limit=1, cursor=cursor)
    with pytest.raises(InvalidInput):
        await record.list(limit=1, cursor=cursor)
