"""Purge: removes what nobody touched, and nothing else."""

from __future__ import annotations

import hansard
from hansard import SessionService
from hansard.core.sessions import PurgeReport
from tests.places import Place
from tests.samples import call, dialogue


async def make(record: SessionService) -> int:
    """Two untouched sessions and two touched ones; returns the moment between."""
    for session_id in ("old-1", "old-2", "old-but-touched"):
        await record.create(session_id=session_id, messages=dialogue(3))
        await record.append_turn(session_id, dialogue(2), usage=[call("c", 1, model="m")])
    moment = (await record.create(session_id="new", messages=dialogue(1))).created_at_us
    await record.update("old-but-touched", title="still of use")
    return moment


async def test_dry_run_counts_and_removes_nothing(record: SessionService, place: Place) -> None:
    moment = await make(record)
    before = place.dump()
    report = await record.purge(updated_before_us=moment, dry_run=True)
    assert report == PurgeReport(sessions=2, messages=10, dry_run=True)
    assert place.dump() == before


async def test_untouched_sessions_leave_nothing(record: SessionService, place: Place) -> None:
    moment = await make(record)
    report = await record.purge(updated_before_us=moment)
    assert report == PurgeReport(sessions=2, messages=10, dry_run=False)
    left = {session.id for session in (await record.list()).items}
    assert left == {"new", "old-but-touched"}
    for table, rows in place.dump().items():
        assert not [row for row in rows if {"old-1", "old-2"} & set(map(str, row))], table
    again = await record.purge(updated_before_us=moment)
    assert again == PurgeReport(sessions=0, messages=0, dry_run=False)


async def test_moment_itself_is_excluded(record: SessionService) -> None:
    session = await record.create(session_id="s")
    assert (await record.purge(updated_before_us=session.updated_at_us)).sessions == 0
    assert (await record.purge(updated_before_us=session.updated_at_us + 1)).sessions == 1


async def test_sessions_from_before_1970_are_purged(record: SessionService, place: Place) -> None:
    session = await record.create(session_id="s")
    place.execute("UPDATE sessions SET updated_at_us = -5")
    assert (await record.purge(updated_before_us=session.created_at_us)).sessions == 1


async def test_many_sessions_are_purged_in_portions(record: SessionService) -> None:
    for n in range(230):
        await record.create(session_id=f"s{n}", messages=dialogue(1))
    kept = await record.create()
    report = await record.purge(updated_before_us=kept.created_at_us)
    assert report == PurgeReport(sessions=230, messages=230, dry_run=False)
    assert [session.id for session in (await record.list()).items] == [kept.id]


async def test_purge_stays_within_its_tenant(record_url: str) -> None:
    async with (
        hansard.open(record_url, tenant="a") as mine,
        hansard.open(record_url, tenant="b") as theirs,
    ):
        await theirs.create(session_id="s")
        session = await mine.create(session_id="s")
        assert (await mine.purge(updated_before_us=session.updated_at_us + 10**12)).sessions == 1
        assert await theirs.exists("s")
