"""Usage reports: sums of the ledger by one or two things, the same in every place."""

from __future__ import annotations

import pytest

from hansard import InvalidInput, SessionService
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.reports import GROUPS, NAMES, TIMES
from hansard.core.usage import NewUsage, UsageTotals
from tests.samples import call, together, user

HOUR_US = 3_600_000_000
START_US = 1_795_273_200_000_000  # 2026-11-21T15:00:00Z


class Ticking:
    """A clock that is set by hand."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


async def fill(record: SessionService) -> None:
    await record.create(session_id="a", agent="helper")
    await record.create(session_id="b")
    for session, model, tokens in (("a", "gpt-4o", 10), ("a", "o3", 20), ("b", "gpt-4o", 40)):
        await record.append_turn(
            session,
            [user("hi")],
            usage=[call(f"{model}-1", tokens, provider="openai", model=model)],
        )


async def test_empty_record_has_an_empty_report(record: SessionService) -> None:
    report = await record.usage_report(group_by=["model"])
    assert (report.totals, report.buckets) == (UsageTotals(), ())


async def test_report_sums_by_one_thing_in_order(record: SessionService) -> None:
    await fill(record)
    report = await record.usage_report(group_by=["model"])
    assert [(b.key, b.totals.calls, b.totals.input_tokens) for b in report.buckets] == [
        (("gpt-4o",), 2, 50),
        (("o3",), 1, 20),
    ]
    assert report.totals.input_tokens == 70


async def test_report_sums_by_two_things(record: SessionService) -> None:
    await fill(record)
    report = await record.usage_report(group_by=["session", "model"])
    assert [(b.key, b.totals.input_tokens) for b in report.buckets] == [
        (("a", "gpt-4o"), 10),
        (("a", "o3"), 20),
        (("b", "gpt-4o"), 40),
    ]


async def test_what_has_no_name_stands_last(record: SessionService) -> None:
    await fill(record)
    report = await record.usage_report(group_by=["agent"])
    assert [b.key for b in report.buckets] == [("helper",), (None,)]


@pytest.mark.parametrize("group", GROUPS)
async def test_every_grouping_adds_up_to_the_same_totals(
    record: SessionService, group: str
) -> None:
    await fill(record)
    totals = (await record.usage_report(group_by=["model"])).totals
    report = await record.usage_report(group_by=[group])
    assert report.totals == totals
    assert sum(bucket.totals.cost_nanousd for bucket in report.buckets) == totals.cost_nanousd


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "session"])
async def test_times_go_with_names(record: SessionService, time: str, name: str) -> None:
    await fill(record)
    report = await record.usage_report(group_by=[time, name])
    assert report.totals.calls == 3
    assert all(set(report.named(bucket)) == {time, name} for bucket in report.buckets)


async def test_list_detail_and_report_agree(record: SessionService) -> None:
    await fill(record)
    listed = {session.id: session.usage for session in (await record.list()).items}
    report = await record.usage_report(group_by=["session"])
    assert {bucket.key[0]: bucket.totals for bucket in report.buckets} == listed
    assert (await record.usage("a")).totals == listed["a"]


async def test_filters_narrow(record: SessionService) -> None:
    await fill(record)
    assert (await record.usage_report(model="o3")).totals.input_tokens == 20
    assert (await record.usage_report(agent="helper")).totals.input_tokens == 30
    assert (await record.usage_report(session_id="b")).totals.input_tokens == 40
    assert (await record.usage_report(provider="nobody")).buckets == ()


async def test_concurrent_turns_are_all_in_the_report(record: SessionService) -> None:
    usage = [call("only", 7, model="m")]
    await together(
        [record.append_turn(f"s{n}", [user("x")], usage=usage, create=True) for n in range(40)]
    )
    report = await record.usage_report(group_by=["model"])
    assert report.totals.calls == 40
    assert report.totals.input_tokens == 280


async def test_deleted_session_stays_in_the_report_by_a_name_of_its_own(
    record: SessionService,
) -> None:
    await fill(record)
    await record.delete("a")
    report = await record.usage_report(group_by=["session"])
    names = [bucket.key[0] or "" for bucket in report.buckets]
    assert [name.partition("~")[0] for name in names] == ["a", "b"]
    assert names[0] != "a"
    assert report.totals.input_tokens == 70


@pytest.mark.parametrize(
    "bad",
    [
        {"group_by": []},
        {"group_by": ["model", "day", "owner"]},
        {"group_by": ["model", "model"]},
        {"group_by": ["day", "month"]},
        {"group_by": ["weather"]},
        {"since_us": START_US, "until_us": START_US - 2 * HOUR_US},
        {"since_us": 2**63},
        {"colour": "red"},
        {"model": "\0"},
        {"session_id": "a b"},
    ],
)
async def test_bad_report_is_refused(record: SessionService, bad: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        await record.usage_report(**bad)  # type: ignore[arg-type]  # what is refused


async def test_bounds_are_full_hours_and_the_end_is_exclusive(record_url: str) -> None:
    clock = Ticking(START_US)
    async with open_database(record_url) as record:
        record.clock = clock
        for n in range(3):
            clock.now_us = START_US + n * HOUR_US
            await record.append_turn("s", [user("x")], usage=[call(f"c{n}", 1)], create=True)
        hours = await record.usage_report(group_by=["hour"])
        assert [bucket.key[0] for bucket in hours.buckets] == [
            "2026-11-21T15:00:00.000000Z",
            "2026-11-21T16:00:00.000000Z",
            "2026-11-21T17:00:00.000000Z",
        ]
        found = await record.usage_report(
            since_us=START_US + HOUR_US + 1, until_us=START_US + 2 * HOUR_US
        )
        assert found.totals.calls == 1
        widened = await record.usage_report(until_us=START_US + 1)
        assert widened.query.until_us == START_US + HOUR_US
        assert widened.totals.calls == 1


async def test_months_are_sums_of_days(record_url: str) -> None:
    day_us = 24 * HOUR_US
    clock = Ticking(START_US)
    async with open_database(record_url) as record:
        record.clock = clock
        for n in (0, 5, 9, 10):  # the 21st and 26th, the 30th, and the 1st
            clock.now_us = START_US + n * day_us
            await record.append_turn("s", [user("x")], usage=[call(f"c{n}", 1)], create=True)
        report = await record.usage_report(group_by=["month"])
    assert [(bucket.key, bucket.totals.calls) for bucket in report.buckets] == [
        (("2026-11",), 3),
        (("2026-12",), 1),
    ]


async def test_days_before_1970_are_days(record_url: str) -> None:
    async with open_database(record_url) as record:
        record.clock = Ticking(-HOUR_US // 2)
        await record.append_turn("s", [user("x")], usage=[call("c", 1)], create=True)
        report = await record.usage_report(group_by=["day"])
    assert [bucket.key for bucket in report.buckets] == [("1969-12-31",)]


async def test_reach_of_a_report_is_that_of_its_caller(record_url: str) -> None:
    async with open_database(record_url) as record:
        for tenant, owner in (("t", "alice"), ("t", "bob"), ("u", "alice")):
            mine = record.acting_as(Actor(tenant, owner, sees_all=False))
            await mine.append_turn(f"{owner}-1", [user("x")], usage=[call("c", 1)], create=True)
        alice = record.acting_as(Actor("t", "alice", sees_all=False))
        assert (await alice.usage_report(group_by=["owner"])).totals.calls == 1
        assert (await alice.usage_report(owner="bob")).buckets == ()
        assert (await alice.usage_report(session_id="bob-1")).buckets == ()
        everybody = record.acting_as(Actor("t"))
        keys = [b.key for b in (await everybody.usage_report(group_by=["owner"])).buckets]
        assert keys == [("alice",), ("bob",)]


async def test_usage_outside_of_a_session_is_in_the_report(record_url: str) -> None:
    async with open_database(record_url) as record:
        await record.settle_turn(
            None,
            [],
            usage=[NewUsage(event_id="c", model="m", input_tokens=3)],
            turn_id="t",
            status="completed",
            holds=[],
            at_us=START_US,
        )
        report = await record.usage_report(group_by=["session"])
    assert [(b.key, b.totals.input_tokens) for b in report.buckets] == [((None,), 3)]
