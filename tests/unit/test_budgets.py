"""Budgets: windows that follow each other on every calendar, and amounts that fit."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hansard.core.budgets import (
    EACH,
    SCOPES,
    SUBJECT_LENGTH_MAX,
    WARN_MAX,
    Budget,
    BudgetState,
    Subjects,
    check_budget,
    exceeded,
)
from hansard.core.errors import InvalidInput
from hansard.core.periods import PERIODS, Window, find_window
from hansard.core.times import format_us, parse_us
from hansard.core.usage import TOTAL_MAX, UsageTotals
from tests.samples import new_hold

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NOW_US = parse_us("2026-03-10T12:00:00Z")
CALENDAR = [period for period in PERIODS if period != "total"]
HOURS = {"hour": (1, 1), "day": (21, 27), "week": (165, 171), "month": (669, 747)}
"""How long a window is at least and at most: clocks are moved by three hours at most."""

UNUSUAL = (
    "Europe/Berlin",
    "America/St_Johns",  # half an hour off
    "Australia/Lord_Howe",  # moved by half an hour
    "Pacific/Chatham",  # moved at a quarter to the hour
    "Antarctica/Troll",  # moved by two hours
    "Africa/Cairo",  # moved at midnight
    "America/Havana",  # midnight comes twice
)

moments = st.integers(parse_us("2019-01-01T00:00:00Z"), parse_us("2037-12-31T00:00:00Z"))
zones = st.sampled_from(sorted(available_timezones() - {"localtime"}))
periods = st.sampled_from(CALENDAR)


def budget(**changes: Any) -> Budget:
    given: dict[str, Any] = {
        "tenant_id": "default",
        "budget_id": "b",
        "scope": "tenant",
        "subject": "",
        "period": "day",
        "time_zone": "UTC",
        "unit": "usd",
        "limit_amount": 100,
        "mode": "enforce",
        "warn_percents": (80, 100),
        "now_us": NOW_US,
        **changes,
    }
    return check_budget(**given)


@given(periods, zones, moments)
def test_window_contains_its_moment(period: str, zone: str, at_us: int) -> None:
    start_us, end_us = find_window(period, zone, at_us)
    assert end_us is not None
    assert start_us <= at_us < end_us


@given(periods, zones, moments)
def test_every_moment_of_a_window_finds_it(period: str, zone: str, at_us: int) -> None:
    window = find_window(period, zone, at_us)
    assert window.end_us is not None
    for other_us in (window.start_us, window.end_us - 1):
        assert find_window(period, zone, other_us) == window


@given(periods, zones, moments)
def test_windows_follow_each_other_without_a_gap(period: str, zone: str, at_us: int) -> None:
    window = find_window(period, zone, at_us)
    assert window.end_us is not None
    assert find_window(period, zone, window.end_us).start_us == window.end_us
    assert find_window(period, zone, window.start_us - 1).end_us == window.start_us


@given(st.sampled_from(["day", "week", "month"]), zones, moments)
def test_window_begins_where_the_calendar_says(period: str, zone: str, at_us: int) -> None:
    """Unless clocks are moved over that very moment."""
    start_us = find_window(period, zone, at_us).start_us
    start = datetime.fromtimestamp(start_us / 1_000_000, ZoneInfo(zone))
    before = datetime.fromtimestamp(start_us / 1_000_000 - 1, ZoneInfo(zone))
    assume(start.utcoffset() == before.utcoffset())
    assert (start.hour, start.minute, start.second) == (0, 0, 0)
    assert start.weekday() == 0 or period != "week"
    assert start.day == 1 or period != "month"


@given(periods, zones, moments)
def test_window_is_about_as_long_as_it_is_called(period: str, zone: str, at_us: int) -> None:
    window = find_window(period, zone, at_us)
    assert window.end_us is not None
    hours = (window.end_us - window.start_us) / HOUR_US
    shortest, longest = HOURS[period]
    assert shortest <= hours <= longest


@given(zones, moments)
def test_windows_of_days_make_up_weeks_and_months(zone: str, at_us: int) -> None:
    day = find_window("day", zone, at_us)
    for period in ("week", "month"):
        window = find_window(period, zone, at_us)
        assert window.end_us is not None
        assert day.end_us is not None
        assert window.start_us <= day.start_us < day.end_us <= window.end_us


WALLS = """
hour   UTC                  2026-03-10T12:34  2026-03-10T12:00  2026-03-10T13:00
hour   Asia/Kathmandu       2026-03-10T12:10  2026-03-10T11:15  2026-03-10T12:15
hour   Europe/Berlin        2026-10-25T00:30  2026-10-25T00:00  2026-10-25T01:00
hour   Europe/Berlin        2026-10-25T01:30  2026-10-25T01:00  2026-10-25T02:00
hour   Pacific/Chatham      2026-04-04T14:10  2026-04-04T13:15  2026-04-04T14:15
day    Europe/Berlin        2026-03-29T12:00  2026-03-28T23:00  2026-03-29T22:00
day    Europe/Berlin        2026-10-25T12:00  2026-10-24T22:00  2026-10-25T23:00
day    Africa/Cairo         2026-04-24T12:00  2026-04-23T22:00  2026-04-24T21:00
day    Australia/Lord_Howe  2026-04-05T00:00  2026-04-04T13:00  2026-04-05T13:30
week   UTC                  2026-03-15T23:59  2026-03-09T00:00  2026-03-16T00:00
month  America/New_York     2024-02-29T12:00  2024-02-01T05:00  2024-03-01T05:00
month  UTC                  2026-12-31T23:59  2026-12-01T00:00  2027-01-01T00:00
"""
"""Period, zone, a moment, start and end of its window, by UTC."""


@pytest.mark.parametrize("line", WALLS.strip().splitlines())
def test_window_is_that_of_the_clocks_on_the_wall(line: str) -> None:
    period, zone, at, *edges = line.split()
    window = find_window(period, zone, parse_us(f"{at}:00Z"))
    assert list(window) == [parse_us(f"{edge}:00Z") for edge in edges]


@pytest.mark.parametrize("zone", UNUSUAL)
def test_windows_follow_each_other_where_clocks_are_moved(zone: str) -> None:
    """Through a whole year, window by window, and back to each from its last moment."""
    for period in CALENDAR:
        at_us = find_window(period, zone, NOW_US).start_us
        while at_us < NOW_US + 366 * DAY_US:
            window = find_window(period, zone, at_us)
            assert window.end_us is not None
            assert window.start_us == at_us < window.end_us
            assert find_window(period, zone, window.end_us - 1) == window
            at_us = window.end_us


def test_total_is_one_window_for_ever() -> None:
    assert find_window("total", "UTC", 0) == find_window("total", "UTC", NOW_US)
    assert find_window("total", "UTC", 0).end_us is None


def test_new_budget_counts_from_the_start_of_its_window() -> None:
    assert format_us(budget(time_zone="Asia/Kolkata").counts_from_us)[:16] == "2026-03-09T18:30"


def test_thresholds_are_told_in_order_and_once() -> None:
    assert budget(warn_percents=[100, 50, 100]).warn_percents == (50, 100)


@pytest.mark.parametrize("subject", ["ann@example.com", "auth0|5f7~1", "a b", "é", EACH])
def test_subject_is_whatever_can_name_one(subject: str) -> None:
    assert budget(scope="owner", subject=subject).subject == subject


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scope": "team"}, "scope"),
        ({"scope": None}, "scope"),
        ({"period": "year"}, "window"),
        ({"unit": "eur"}, "unit"),
        ({"mode": "hope"}, "mode"),
        ({"subject": "ann"}, "subject"),
        ({"scope": "owner", "subject": ""}, "subject"),
        ({"scope": "owner", "subject": "x" * (SUBJECT_LENGTH_MAX + 1)}, "subject"),
        ({"limit_amount": -1}, "limit"),
        ({"limit_amount": TOTAL_MAX + 1}, "limit"),
        ({"limit_amount": 1.0}, "limit"),
        ({"limit_amount": True}, "limit"),
        ({"warn_percents": [0]}, "warn_percents"),
        ({"warn_percents": [101]}, "warn_percents"),
        ({"warn_percents": [50.0]}, "warn_percents"),
        ({"warn_percents": [True]}, "warn_percents"),
        ({"warn_percents": list(range(1, WARN_MAX + 2))}, "warn_percents"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"time_zone": "/etc/localtime"}, "time_zone"),
        ({"time_zone": "Europe"}, "time_zone"),
        ({"time_zone": "UTC\0"}, "time_zone"),
        ({"time_zone": "x" * 65}, "time_zone"),
        ({"budget_id": "a b"}, "budget_id"),
    ],
)
def test_impossible_budget_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        budget(**changes)
    assert caught.value.details.get("field", field) == field


@pytest.mark.parametrize("scope", SCOPES)
def test_budget_is_about_its_subject_and_no_other(scope: str) -> None:
    account = Subjects("ann", "airline", "s1", "k1")
    others = Subjects("bob", "hotel", "s2", "k2")
    subject = "" if scope == "tenant" else str(getattr(account, scope))
    one = budget(scope=scope, subject=subject)
    assert one.subject_in(account) == subject
    assert one.subject_in(others) == ("" if scope == "tenant" else None)


@pytest.mark.parametrize("scope", SCOPES[1:])
def test_each_has_its_own(scope: str) -> None:
    each = budget(scope=scope, subject=EACH)
    assert each.subject_in(Subjects("ann", "ann", "ann", "ann")) == "ann"
    assert each.subject_in(Subjects("", "", "", "")) is None


def test_tokens_are_what_went_in_and_out() -> None:
    totals = UsageTotals(
        calls=1, input_tokens=10, cached_tokens=9, output_tokens=5, reasoning_tokens=4,
        cost_nanousd=7,
    )  # fmt: skip
    assert budget(unit="tokens").amount_of(totals) == 15
    assert budget(unit="usd").amount_of(totals) == 7


@given(
    fixed=st.integers(0, 10**12),
    price=st.integers(0, 10**10),
    output=st.integers(0, 10**6),
    remaining=st.integers(-(10**6), 10**15),
    unit=st.sampled_from(["usd", "tokens"]),
)
def test_affordable_answer_is_the_longest_that_fits(
    fixed: int, price: int, output: int, remaining: int, unit: str
) -> None:
    hold = new_hold(
        "c", fixed, fixed_tokens=fixed, output_pico_per_token=price, output_tokens=output
    )
    fits = hold.affordable(unit, remaining)

    def amount(tokens: int) -> int:
        found = hold.amount(unit, tokens)
        assert found is not None
        return found

    if fits < 0:
        assert amount(0) > remaining
    else:
        assert amount(min(fits, output)) <= remaining
        assert fits >= output or amount(fits + 1) > remaining


def test_amount_is_rounded_up() -> None:
    assert new_hold("c", 5, output_pico_per_token=1).amount("usd", 1) == 6


def test_nobody_can_say_what_an_unpriced_call_takes() -> None:
    unpriced = new_hold("c", None, fixed_tokens=3)
    assert (unpriced.amount("usd", 1), unpriced.amount("tokens", 1)) == (None, 4)


def test_refusal_of_a_budget_for_ever_never_begins_anew() -> None:
    one = budget(period="total")
    state = BudgetState(
        budget=one, subject="", window=Window(*one.window_at(NOW_US)), held=2, spent=97
    )
    assert state.remaining == 1
    assert exceeded(state, 2).details["resets_at"] is None
