"""Legal holds: what is under one stays whole, while it goes on growing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from hansard import Conflict, SessionService, Unauthorized
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.sessions import PurgeReport
from hansard.service.retention import RetentionService
from hansard.service.sessions import DatabaseSessions
from tests.places import Place
from tests.samples import bodies, call, compete, dialogue, user

LATER_US = 4_000_000_000_000_000
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'legal_holds'::regclass"
Act = Callable[[SessionService], Awaitable[object]]

REMOVING: dict[str, Act] = {
    "delete": lambda r: r.delete("s"),
    "revert": lambda r: r.revert("s", 1),
    "save a shorter list": lambda r: r.save_messages("s", dialogue(2)),
    "save another list": lambda r: r.save_messages("s", dialogue(4, "other")),
    "save nothing": lambda r: r.save_messages("s", []),
}
KEEPING: dict[str, Act] = {
    "append_turn": lambda r: r.append_turn("s", dialogue(1), usage=[call("d", 1)]),
    "append_messages": lambda r: r.append_messages("s", dialogue(1)),
    "save a longer list": lambda r: r.save_messages("s", dialogue(5)),
    "save the same list": lambda r: r.save_messages("s", dialogue(3)),
    "revert to its end": lambda r: r.revert("s", 3),
    "update": lambda r: r.update("s", title="T", cost_data={"a": 1}),
    "update_token_usage": lambda r: r.update_token_usage("s", event_id="e", input_tokens=1),
    "fork": lambda r: r.fork("s", 1),
}


async def hold(record: SessionService) -> None:
    """A session with three messages, under legal hold."""
    await record.create(session_id="s", messages=dialogue(3))
    await record.update("s", legal_hold=True)


@pytest.mark.parametrize("name", REMOVING)
async def test_nothing_is_removed(record: SessionService, place: Place, name: str) -> None:
    await hold(record)
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await REMOVING[name](record)
    assert (caught.value.code, caught.value.details) == ("legal_hold", {"session_id": "s"})
    assert place.dump() == before


@pytest.mark.parametrize("name", KEEPING)
async def test_what_removes_nothing_goes_on(record: SessionService, name: str) -> None:
    await hold(record)
    await KEEPING[name](record)
    assert (await bodies(record, "s"))[:3] == dialogue(3)
    assert (await record.verify("s")).ok


@pytest.mark.parametrize("name", REMOVING)
async def test_lifted_hold_holds_nothing(record: SessionService, name: str) -> None:
    await hold(record)
    await record.update("s", legal_hold=False)
    await REMOVING[name](record)


async def test_hold_is_seen_and_told_as_a_change(record: SessionService) -> None:
    assert not (await record.create(session_id="s")).legal_hold
    receipt = await record.update("s", legal_hold=True)
    assert receipt.changes == ("legal_hold",)
    assert receipt.session.legal_hold
    assert receipt.session.version == 2
    assert (await record.update("s", legal_hold=True)).session.version == 2
    assert (await record.update("s", title="T")).session.legal_hold
    (listed,) = (await record.list()).items
    assert listed.legal_hold
    assert (await record.get("s")).legal_hold


async def test_fork_is_free(record: SessionService) -> None:
    await hold(record)
    fork = await record.fork("s")
    assert not fork.legal_hold
    await record.delete(fork.id)


async def test_purge_passes_by(record: SessionService) -> None:
    await hold(record)
    await record.create(session_id="free", messages=dialogue(1))
    for dry_run in (True, False):
        report = await record.purge(updated_before_us=LATER_US, dry_run=dry_run)
        assert report == PurgeReport(sessions=1, messages=1, dry_run=dry_run)
    assert [session.id for session in (await record.list()).items] == ["s"]


@pytest.fixture
async def database(place: Place, record: SessionService) -> AsyncIterator[DatabaseSessions]:
    """The database behind the record."""
    async with open_database(place.database_url) as database:
        yield database


@pytest.fixture
def tenant(database: DatabaseSessions) -> RetentionService:
    return RetentionService(database.runner, clock=database.clock)


@pytest.mark.parametrize("name", REMOVING)
async def test_hold_of_the_tenant_is_one_of_each_session(
    record: SessionService, place: Place, tenant: RetentionService, name: str
) -> None:
    await record.create(session_id="s", messages=dialogue(3))
    await tenant.place_legal_hold("default")
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await REMOVING[name](record)
    assert (caught.value.code, caught.value.details) == ("legal_hold", {"session_id": "s"})
    assert (await record.purge(updated_before_us=LATER_US)).sessions == 0
    assert place.dump() == before
    await record.append_messages("s", [user("more")])
    await tenant.lift_legal_hold("default")
    await REMOVING[name](record)


async def test_hold_of_the_tenant_is_that_tenants(
    record: SessionService, tenant: RetentionService
) -> None:
    await record.create(session_id="s")
    await tenant.place_legal_hold("other")
    await record.delete("s")


async def test_hold_of_the_tenant_lasts_from_its_first_placing(
    database: DatabaseSessions,
) -> None:
    for clock in (lambda: 5, lambda: 7):
        service = RetentionService(database.runner, clock=clock)
        await service.place_legal_hold("acme")
        assert await service.find_legal_hold("acme") == 5
    await service.lift_legal_hold("acme")
    assert await service.find_legal_hold("acme") is None


async def test_sessions_hold_outlives_the_tenants(
    record: SessionService, tenant: RetentionService
) -> None:
    await hold(record)
    await tenant.place_legal_hold("default")
    await tenant.lift_legal_hold("default")
    with pytest.raises(Conflict):
        await record.delete("s")


async def test_only_who_sets_retention_places_and_lifts(database: DatabaseSessions) -> None:
    await database.create(session_id="s")
    clerk = database.acting_as(Actor(sets_retention=False))
    for legal_hold in (True, False):
        with pytest.raises(Unauthorized) as caught:
            await clerk.update("s", title="T", legal_hold=legal_hold)
        assert caught.value.code == "forbidden"
    assert (await clerk.update("s", title="T")).session.version == 2


async def test_race_of_hold_and_removals_has_one_winner(record: SessionService) -> None:
    """Whoever places a hold that is acknowledged finds the session whole, or gone before."""
    for n in range(10):
        session_id = f"s{n}"
        await record.create(session_id=session_id, messages=dialogue(3))
        _, errors = await compete(
            [
                record.update(session_id, legal_hold=True),
                record.revert(session_id, 1),
                record.delete(session_id),
            ]
        )
        if await record.exists(session_id):
            assert (await record.get(session_id)).legal_hold
            assert "legal_hold" in {error.code for error in errors}
        else:
            assert {error.code for error in errors} <= {"session_not_found"}


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("whole_tenant", [True, False])
async def test_placing_waits_for_removals_under_way(
    place: Place, database: DatabaseSessions, tenant: RetentionService, whole_tenant: bool
) -> None:
    """Else one that had looked before would end after the hold was acknowledged."""
    await database.create(session_id="s")
    with psycopg.connect(place.url) as removal:
        removal.execute("SELECT since_us FROM legal_holds")
        placing: asyncio.Task[object] = asyncio.create_task(
            tenant.place_legal_hold("default")
            if whole_tenant
            else database.update("s", legal_hold=True)
        )
        while removal.execute(WAITING).fetchone() is None:
            await asyncio.sleep(0)
        assert not placing.done()
        removal.commit()
        await placing
