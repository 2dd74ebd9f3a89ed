"""Retention: what is older than a rule allows goes, all the rest stays, and the ledger always."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.budgets import NewHold
from hansard.core.errors import HansardError, NotFound
from hansard.core.feedback import FeedbackQuery
from hansard.core.retention import DAY_US, EVERY_TENANT, KINDS, RetentionRule
from hansard.core.times import format_us
from hansard.core.traces import Trace, TraceQuery
from hansard.core.usage import NewUsage
from hansard.service.feedback import FeedbackService
from hansard.service.retention import RetentionService
from hansard.service.sessions import DatabaseSessions
from hansard.service.traces import TraceService
from tests.places import Place
from tests.samples import call, dialogue, together

START_US = 1_770_000_000_000_000
MINUTE_US = 60_000_000


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def record(record_url: str, clock: Clock) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield DatabaseSessions(record.runner, clock=clock)


@pytest.fixture
def place(record_url: str) -> Place:
    return Place(kind="", url="", database_url=record_url)


@pytest.fixture
def service(record: DatabaseSessions, clock: Clock) -> RetentionService:
    return RetentionService(record.runner, clock=clock)


def in_tenant(record: DatabaseSessions, tenant: str) -> DatabaseSessions:
    return record.acting_as(Actor(tenant))


async def fill(record: DatabaseSessions, name: str) -> None:
    """A session, its trace, its feedback, and a hold that ended."""
    clock, actor = record.clock, record.actor
    await record.create(session_id=name, messages=dialogue(2))
    await record.append_turn(name, dialogue(1), usage=[call("c", 5, cost_nanousd=7)], turn_id="t")
    await TraceService(record.runner, actor=actor, clock=clock).save(
        Trace(trace_id=name, started_at=format_us(clock()), session_id=name)
    )
    await FeedbackService(record.runner, actor=actor, clock=clock).add(rating=1, session_id=name)
    await record.put_budget(name, scope="tenant", limit_amount=1_000, unit="tokens")
    await record.take_hold(
        NewHold(
            call_id=name,
            session_id=None,
            turn_id="turn",
            agent=None,
            provider="",
            model_asked="",
            fixed_nanousd=None,
            fixed_tokens=0,
            output_pico_per_token=None,
            output_tokens=1,
            least_output_tokens=None,
            expires_at_us=clock(),
        )
    )
    await record.release_holds([name])


async def left(record: DatabaseSessions) -> dict[str, int]:
    """How much of each kind a tenant has."""
    actor = record.actor
    holds = await record.list_holds(state="released")
    return {
        "sessions": len((await record.list()).items),
        "traces": len((await TraceService(record.runner, actor=actor).list(TraceQuery())).items),
        "feedback": len(
            (await FeedbackService(record.runner, actor=actor).list(FeedbackQuery())).items
        ),
        "holds": len(holds.items),
    }


async def removed(service: RetentionService, tenant: str = "default") -> dict[str, int]:
    """Apply the rules; return what went, after the dry run has said the same."""
    announced = await service.preview(tenant)
    applied = await service.apply(tenant)
    assert announced == applied
    return {removal.kind: removal.count for removal in applied}


async def test_without_rules_only_ended_holds_and_alerts_go(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    await fill(record, "s")
    clock.now_us += 90 * DAY_US
    assert await removed(service) == {"holds": 0, "alerts": 0}
    clock.now_us += 1
    assert await removed(service) == {"holds": 1, "alerts": 0}
    assert await left(record) == {"sessions": 1, "traces": 1, "feedback": 1, "holds": 0}


@pytest.mark.parametrize("kind", ["sessions", "traces", "feedback", "holds"])
async def test_rule_removes_its_kind_at_its_age(
    record: DatabaseSessions, service: RetentionService, clock: Clock, kind: str
) -> None:
    await service.set_rule("default", kind, 7)
    await fill(record, "old")
    clock.now_us += MINUTE_US
    await fill(record, "young")
    clock.now_us = START_US + 7 * DAY_US
    assert (await removed(service))[kind] == 0
    clock.now_us += 1
    assert (await removed(service))[kind] == 1
    assert await left(record) == {
        other: 1 if other == kind else 2 for other in ("sessions", "traces", "feedback", "holds")
    }
    assert (await removed(service))[kind] == 0


async def test_session_goes_with_its_content_and_leaves_its_cost(
    record: DatabaseSessions, service: RetentionService, clock: Clock, place: Place
) -> None:
    await fill(record, "secret-name")
    before = await record.usage_report(group_by=["model"])
    await service.set_rule("default", "sessions", 1)
    clock.now_us += 2 * DAY_US
    assert (await removed(service))["sessions"] == 1
    dump = place.dump()
    for table in ("sessions", "session_details", "messages", "turns", "events"):
        assert dump[table] == [], table
    assert len(dump["usage_entries"]) == 1
    assert await record.usage_report(group_by=["model"]) == before
    assert (await record.verify_ledger()).ok
    await record.create(session_id="secret-name")
    assert (await record.usage("secret-name")).totals.calls == 0


async def test_last_change_counts(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    await fill(record, "s")
    await service.set_rule("default", "sessions", 7)
    clock.now_us += 6 * DAY_US
    await record.append_messages("s", dialogue(1))
    clock.now_us += 6 * DAY_US
    assert (await removed(service))["sessions"] == 0


async def test_open_and_unknown_holds_stay(
    record: DatabaseSessions, service: RetentionService, clock: Clock, place: Place
) -> None:
    await fill(record, "s")
    place.execute("UPDATE holds SET state = 'unknown', ended_at_us = NULL")
    clock.now_us += 1_000 * DAY_US
    assert (await removed(service))["holds"] == 0


async def test_alerts_go_once_nobody_is_to_be_told(
    record: DatabaseSessions, service: RetentionService, clock: Clock, place: Place
) -> None:
    await record.put_budget("b", scope="tenant", limit_amount=10, unit="tokens")
    await record.create(session_id="s")
    await record.update_token_usage("s", event_id="e", input_tokens=9)
    clock.now_us += 91 * DAY_US
    assert (await removed(service))["alerts"] == 0
    told = place.execute("SELECT count(*) FROM budget_alerts")
    place.execute("UPDATE budget_alerts SET due_at_us = NULL")
    assert [((await removed(service))["alerts"],)] == told != [(0,)]
    assert (await record.verify_ledger()).ok


async def test_rule_of_every_tenant_holds_where_there_is_no_other(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    for tenant in ("a", "b", "c"):
        await fill(in_tenant(record, tenant), "s")
    await service.set_rule(EVERY_TENANT, "sessions", 10)
    await service.set_rule("b", "sessions", None)
    await service.set_rule("c", "sessions", 20)
    clock.now_us += 11 * DAY_US
    assert [tenant async for tenant in service.iter_tenants()] == ["a", "b", "c"]
    for tenant in ("a", "b", "c"):
        await service.apply(tenant)
    sessions = [(await left(in_tenant(record, tenant)))["sessions"] for tenant in ("a", "b", "c")]
    assert sessions == [0, 1, 1]
    await service.unset_rule("c", "sessions")
    await service.apply("c")
    assert (await left(in_tenant(record, "c")))["sessions"] == 0


async def test_rules_are_listed_as_they_hold(service: RetentionService) -> None:
    await service.set_rule(EVERY_TENANT, "sessions", 10)
    await service.set_rule("acme", "sessions", None)
    await service.set_rule(EVERY_TENANT, "alerts", 20)
    await service.set_rule(EVERY_TENANT, "alerts", 30)
    assert await service.list_rules("acme") == (
        RetentionRule(tenant_id="acme", kind="sessions", keep_days=None),
        RetentionRule(tenant_id=None, kind="traces", keep_days=None),
        RetentionRule(tenant_id=None, kind="feedback", keep_days=None),
        RetentionRule(tenant_id=None, kind="holds", keep_days=90),
        RetentionRule(tenant_id=EVERY_TENANT, kind="alerts", keep_days=30),
    )


@pytest.mark.parametrize(
    ("tenant", "kind", "keep_days", "code"),
    [
        ("acme", "ledger", 1, "invalid_retention"),
        ("acme", "sessions", 0, "invalid_retention"),
        ("acme", "sessions", 36_526, "invalid_retention"),
        ("acme", "sessions", True, "invalid_retention"),
        ("acme", "sessions", 1.5, "invalid_retention"),
        ("a/b", "sessions", 1, "invalid_id"),
    ],
)
async def test_bad_rule_is_refused(
    service: RetentionService, place: Place, tenant: str, kind: str, keep_days: int, code: str
) -> None:
    with pytest.raises(HansardError) as caught:
        await service.set_rule(tenant, kind, keep_days)
    assert caught.value.code == code
    assert place.dump()["retention"] == []


async def test_rule_that_is_not_there_is_not_found(service: RetentionService) -> None:
    await service.set_rule(EVERY_TENANT, "sessions", 10)
    with pytest.raises(NotFound) as caught:
        await service.unset_rule("acme", "sessions")
    assert caught.value.code == "rule_not_found"


async def test_legal_hold_keeps_a_session_with_its_traces_and_feedback(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    for name in ("held", "free"):
        await fill(record, name)
    await record.update("held", legal_hold=True)
    for kind in KINDS:
        await service.set_rule("default", kind, 1)
    clock.now_us += 2 * DAY_US
    expected = {"sessions": 1, "traces": 1, "feedback": 1, "holds": 2, "alerts": 0}
    assert await removed(service) == expected
    assert (await record.get("held")).message_count == 3
    assert await left(record) == {"sessions": 1, "traces": 1, "feedback": 1, "holds": 0}


async def test_legal_hold_of_a_tenant_keeps_everything(
    record: DatabaseSessions, service: RetentionService, clock: Clock, place: Place
) -> None:
    await fill(record, "s")
    for kind in KINDS:
        await service.set_rule("default", kind, 1)
    await service.place_legal_hold("default")
    clock.now_us += 2 * DAY_US
    before = place.dump()
    assert set((await removed(service)).values()) == {0}
    assert place.dump() == before
    await service.lift_legal_hold("default")
    assert (await removed(service))["sessions"] == 1


async def test_only_the_kinds_asked_for_go(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    await fill(record, "s")
    for kind in KINDS:
        await service.set_rule("default", kind, 1)
    clock.now_us += 2 * DAY_US
    (removal,) = await service.apply("default", ["traces"])
    assert (removal.kind, removal.count) == ("traces", 1)
    assert await left(record) == {"sessions": 1, "traces": 0, "feedback": 1, "holds": 1}


async def test_much_goes_in_portions_and_large_sessions_alone(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    await together([record.create(session_id=f"s{n}") for n in range(230)])
    for n in range(2):
        await record.create(session_id=f"large{n}", messages=dialogue(2_500))
    await service.set_rule("default", "sessions", 1)
    clock.now_us += 2 * DAY_US
    assert (await removed(service))["sessions"] == 232
    assert (await left(record))["sessions"] == 0


async def test_two_at_once_do_no_harm(
    record: DatabaseSessions, service: RetentionService, clock: Clock, record_url: str
) -> None:
    names = [f"s{n}" for n in range(250)]
    await together([record.create(session_id=name, messages=dialogue(1)) for name in names])
    await together([record.append_turn(name, [], usage=[call("c", 1)]) for name in names])
    await service.set_rule("default", "sessions", 1)
    clock.now_us += 2 * DAY_US
    async with open_database(record_url) as other:
        runs = await together(
            [service.apply("default"), RetentionService(other.runner, clock=clock).apply("default")]
        )
    assert sum(run[0].count for run in runs) == 250
    assert (await record.usage_report(group_by=["model"])).totals.calls == 250
    assert (await record.verify_ledger()).ok


async def test_session_in_use_meanwhile_stays_or_goes_whole(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    """An append either comes first, and keeps the session, or finds none."""
    names = [f"s{n}" for n in range(40)]
    await together([record.create(session_id=name, messages=dialogue(2)) for name in names])
    await service.set_rule("default", "sessions", 1)
    clock.now_us += 2 * DAY_US
    outcomes = await asyncio.gather(
        service.apply("default"),
        *(record.append_messages(name, dialogue(1)) for name in names),
        return_exceptions=True,
    )
    for name, outcome in zip(names, outcomes[1:], strict=True):
        if isinstance(outcome, NotFound):
            assert not await record.exists(name)
        else:
            assert not isinstance(outcome, BaseException), outcome
            assert (await record.verify(name)).messages == 3


async def test_call_settled_after_its_hold_went_counts_once(
    record: DatabaseSessions, service: RetentionService, clock: Clock
) -> None:
    await fill(record, "s")
    clock.now_us += 91 * DAY_US
    assert (await removed(service))["holds"] == 1
    usage = [NewUsage(event_id="s", model="m", input_tokens=3, output_tokens=1)]
    for _ in range(2):
        await record.settle_turn(
            None, (), usage=usage, turn_id="late", status="completed", holds=["s"], at_us=clock()
        )
    assert (await record.usage_report(group_by=["model"])).totals.calls == 2
    assert (await record.verify_ledger()).ok
