"""Budgets over time: whose calls count, in which window, and from when on."""

from __future__ import annotations

from typing import Any

import pytest

from hansard import LimitReached
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.times import parse_us
from hansard.core.usage import TOTAL_MAX, NewUsage
from hansard.service.sessions import DatabaseSessions
from hansard.store import limits
from tests.ledgers import Clock, held_and_spent, settle
from tests.places import Place
from tests.samples import collect, new_hold, together

pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)

SCOPES = {
    "tenant": "",
    "owner": "ann|1~x@example.com",
    "agent": "a helper",
    "session": "s",
    "key": "k",
}
"""A subject of each scope; all of one call."""


async def limit(books: DatabaseSessions, **more: Any) -> None:
    given: dict[str, Any] = {"scope": "tenant", "limit_amount": 100, **more}
    await books.put_budget("b", **given)


async def spend(books: DatabaseSessions, call_id: str, cost: int) -> None:
    """A call on the account of every subject in ``SCOPES``."""
    ann = books.acting_as(Actor(owner=SCOPES["owner"], sees_all=False, key_id=SCOPES["key"]))
    await settle(ann, call_id, cost, session_id=SCOPES["session"], agent=SCOPES["agent"])


async def spend_elsewhere(books: DatabaseSessions, call_id: str, cost: int) -> None:
    """A call on the account of others."""
    bob = books.acting_as(Actor(owner="bob", sees_all=False, key_id="l"))
    await settle(bob, call_id, cost, session_id="t", agent="other")


async def test_what_was_billed_is_counted_as_far_as_a_window_goes(
    books: DatabaseSessions, place: Place
) -> None:
    await limit(books, limit_amount=TOTAL_MAX, mode="observe")
    await settle(books, "c", 1)
    place.execute(f"UPDATE budget_windows SET spent = {TOTAL_MAX} - 1")
    await settle(books, "d", COST_MAX_NANOUSD)
    assert await held_and_spent(books) == (0, TOTAL_MAX)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("each", [False, True], ids=["one", "each"])
@pytest.mark.parametrize("made", ["before", "between", "after"])
async def test_budget_counts_the_calls_that_it_is_about(
    books: DatabaseSessions, scope: str, each: bool, made: str
) -> None:
    subject = "*" if each and scope != "tenant" else SCOPES[scope]
    if made == "before":
        await limit(books, scope=scope, subject=subject)
    await spend(books, "c", 3)
    await spend_elsewhere(books, "d", 20)
    if made == "between":
        await limit(books, scope=scope, subject=subject)
    await spend(books, "e", 4)
    if made == "after":
        await limit(books, scope=scope, subject=subject)
    expected = 27 if scope == "tenant" else 7
    assert await held_and_spent(books, SCOPES[scope]) == (0, expected)
    assert (await books.verify_ledger()).drifts == ()


async def test_call_whose_cost_is_told_after_its_session_was_deleted_counts_as_the_sessions(
    books: DatabaseSessions,
) -> None:
    await limit(books, scope="session", subject="*")
    await books.take_hold(new_hold("c", 3, session_id="s"))
    await settle(books, "c", None, session_id="s")
    await books.delete("s")
    await books.resolve_hold("c", NewUsage(event_id="c", cost_nanousd=2))
    assert await held_and_spent(books, "s") == (0, 2)
    assert (await books.verify_ledger()).drifts == ()


@pytest.mark.parametrize("scope", SCOPES)
async def test_call_is_held_on_the_account_that_it_is_spent_on(
    books: DatabaseSessions, scope: str
) -> None:
    """Also on that of a session that is yet to be made."""
    await limit(books, scope=scope, subject=SCOPES[scope])
    ann = books.acting_as(Actor(owner=SCOPES["owner"], sees_all=False, key_id=SCOPES["key"]))
    hold = new_hold("c", 9, session_id=SCOPES["session"], agent=SCOPES["agent"])
    assert (await ann.take_hold(hold)).is_budgeted
    assert await held_and_spent(books, SCOPES[scope]) == (9, 0)


async def test_call_goes_on_the_account_of_its_session(books: DatabaseSessions) -> None:
    """Whoever makes it."""
    await limit(books, scope="owner", subject="*")
    await books.acting_as(Actor(owner="ann")).create(session_id="s")
    bob = books.acting_as(Actor(owner="bob"))
    await bob.take_hold(new_hold("c", 9, session_id="s"))
    assert await held_and_spent(books, "ann") == (9, 0)
    await settle(bob, "c", 5, session_id="s")
    assert await held_and_spent(books, "ann") == (0, 5)


async def test_subjects_do_not_share_what_each_has(books: DatabaseSessions) -> None:
    await limit(books, scope="owner", subject="*", limit_amount=5)
    for owner in ("ann", "bob"):
        await books.acting_as(Actor(owner=owner)).take_hold(new_hold(owner, 5))
    with pytest.raises(LimitReached) as caught:
        await books.acting_as(Actor(owner="ann")).take_hold(new_hold("c", 1))
    assert caught.value.details["subject"] == "ann"


async def test_session_budget_outlives_the_session(books: DatabaseSessions) -> None:
    await limit(books, scope="session", subject="s")
    await spend(books, "c", 3)
    await books.delete("s")
    await spend(books, "c", 4)
    assert await held_and_spent(books, "s") == (0, 7)
    assert (await books.verify_ledger()).drifts == ()


EDGES = {
    "hour": ("hour", "UTC", "2026-03-10T13:00:00Z"),
    "hour-half": ("hour", "Asia/Kolkata", "2026-03-10T12:30:00Z"),
    "day": ("day", "UTC", "2026-03-11T00:00:00Z"),
    "day-berlin": ("day", "Europe/Berlin", "2026-03-10T23:00:00Z"),
    "day-kolkata": ("day", "Asia/Kolkata", "2026-03-10T18:30:00Z"),
    "week": ("week", "UTC", "2026-03-16T00:00:00Z"),
    "week-auckland": ("week", "Pacific/Auckland", "2026-03-15T11:00:00Z"),
    "month": ("month", "UTC", "2026-04-01T00:00:00Z"),
    "month-berlin-in-summer": ("month", "Europe/Berlin", "2026-03-31T22:00:00Z"),
}


@pytest.mark.parametrize(("period", "zone", "edge"), EDGES.values(), ids=EDGES)
async def test_budget_begins_anew_at_the_edge_of_its_window(
    books: DatabaseSessions, clock: Clock, period: str, zone: str, edge: str
) -> None:
    await limit(books, period=period, time_zone=zone)
    clock.now_us = parse_us(edge) - 10
    await settle(books, "before", 100)
    with pytest.raises(LimitReached):
        await books.take_hold(new_hold("refused", 1))
    clock.now_us = parse_us(edge) - 1
    await books.take_hold(new_hold("c", 100))
    assert await held_and_spent(books) == (100, 0)


async def test_total_never_begins_anew(books: DatabaseSessions, clock: Clock) -> None:
    await limit(books, period="total")
    await settle(books, "c", 60)
    clock.set("2031-01-01T00:00:00Z")
    await settle(books, "d", 1)
    assert await held_and_spent(books) == (0, 61)


async def test_day_on_which_clocks_are_set_back_has_25_hours(
    books: DatabaseSessions, clock: Clock
) -> None:
    clock.set("2026-10-24T22:00:00Z")  # midnight in Berlin
    await limit(books, period="day", time_zone="Europe/Berlin")
    await settle(books, "first", 1)
    clock.set("2026-10-25T22:59:59Z")
    await settle(books, "last", 2)
    assert await held_and_spent(books) == (0, 3)
    clock.set("2026-10-25T23:00:00Z")
    assert await held_and_spent(books) == (0, 0)


async def test_hour_that_comes_twice_is_two_windows(books: DatabaseSessions, clock: Clock) -> None:
    clock.set("2026-10-25T00:30:00Z")  # half past two, for the first time
    await limit(books, period="hour", time_zone="Europe/Berlin")
    await settle(books, "first", 1)
    clock.set("2026-10-25T01:30:00Z")  # and for the second
    await settle(books, "second", 2)
    assert await held_and_spent(books) == (0, 2)


async def test_call_counts_in_the_window_of_its_admission(
    books: DatabaseSessions, clock: Clock
) -> None:
    await limit(books, period="day")
    clock.set("2026-03-10T23:59:59Z")
    admission = await books.take_hold(new_hold("c", 9))
    clock.set("2026-03-11T00:00:01Z")
    assert await held_and_spent(books) == (0, 0)
    await settle(books, "c", 5, at_us=admission.at_us)
    assert await held_and_spent(books) == (0, 0)
    clock.set("2026-03-10T23:59:59Z")
    assert await held_and_spent(books) == (0, 5)


@pytest.mark.parametrize(
    ("zone", "early"),
    [("UTC", "2026-03-10T00:15:00Z"), ("Asia/Kolkata", "2026-03-09T18:45:00Z")],
)
@pytest.mark.parametrize("scope", ["tenant", "session"])
async def test_new_budget_counts_from_the_start_of_its_window(
    books: DatabaseSessions, clock: Clock, scope: str, zone: str, early: str
) -> None:
    clock.set("2026-03-09T18:29:59Z")  # yesterday, also in Kolkata
    await spend(books, "yesterday", 50)
    clock.set(early)  # in the hour that the window begins in
    await spend(books, "early", 20)
    clock.set("2026-03-10T00:00:00Z")
    await spend(books, "today", 3)
    clock.set("2026-03-10T12:00:00Z")
    await limit(books, scope=scope, subject=SCOPES[scope], period="day", time_zone=zone)
    await spend(books, "now", 4)
    assert await held_and_spent(books, SCOPES[scope]) == (0, 27)


@pytest.mark.parametrize(
    ("zone", "early"),
    [("UTC", "2026-03-11T00:15:00Z"), ("Asia/Kolkata", "2026-03-10T18:45:00Z")],
)
@pytest.mark.parametrize("scope", ["tenant", "session"])
async def test_what_a_fast_clock_recorded_counts_in_its_own_window(
    books: DatabaseSessions, clock: Clock, scope: str, zone: str, early: str
) -> None:
    clock.set(early)  # in the hour that the window before it ends in
    await spend(books, "early", 7)
    clock.set("2026-03-11T06:00:00Z")
    await spend(books, "tomorrow", 5)
    clock.set("2026-03-10T12:00:00Z")
    await limit(books, scope=scope, subject=SCOPES[scope], period="day", time_zone=zone)
    assert await held_and_spent(books, SCOPES[scope]) == (0, 0)
    clock.set("2026-03-11T12:00:00Z")
    assert await held_and_spent(books, SCOPES[scope]) == (0, 12)


async def test_call_of_before_the_first_window_does_not_count(
    books: DatabaseSessions, clock: Clock
) -> None:
    """A turn that waited in a spool comes in late."""
    await limit(books, period="day")
    await settle(books, "c", 5, at_us=parse_us("2026-03-09T12:00:00Z"))
    clock.set("2026-03-09T12:00:00Z")
    assert await held_and_spent(books) == (0, 0)


@pytest.mark.parametrize("made", ["before", "after"])
async def test_import_moves_no_budget(books: DatabaseSessions, made: str) -> None:
    await spend(books, "c", 5)
    document = b"".join(await collect(books.export_session("s")))
    if made == "before":
        await limit(books)
    await books.import_session(document)
    if made == "after":
        await limit(books)
    assert await held_and_spent(books) == (0, 5)


@pytest.mark.parametrize("scope", ["tenant", "session"])
async def test_budget_made_while_calls_are_recorded_counts_each_once(
    books: DatabaseSessions, place: Place, scope: str
) -> None:
    async with open_database(place.url) as other:
        records = (books, other)

        async def put(n: int) -> None:
            await records[n % 2].put_budget(
                f"b{n}", scope=scope, subject=SCOPES[scope], limit_amount=1, mode="observe"
            )

        await spend(books, "first", 1)
        calls = [spend(records[n % 2], f"c{n}", 1) for n in range(60)]
        budgets = [put(n) for n in range(6)]
        await together([one for n in range(6) for one in (budgets[n], *calls[10 * n :][:10])])
    for n in range(6):
        assert await held_and_spent(books, SCOPES[scope], budget_id=f"b{n}") == (0, 61)


async def test_proof_reads_windows_page_by_page(
    books: DatabaseSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_STEP", 2)
    await limit(books, scope="session", subject="*")
    for name in "abcd":
        await settle(books, name, 1, session_id=name)
    assert (await books.verify_ledger()).drifts == ()


async def test_other_limit_goes_on_with_what_was_spent_and_held(books: DatabaseSessions) -> None:
    await limit(books)
    await settle(books, "c", 3)
    await books.take_hold(new_hold("d", 4))
    await limit(books, limit_amount=8, mode="observe")
    assert await held_and_spent(books) == (4, 3)
    budget, _ = await books.get_budget("b")
    assert (budget.limit_amount, budget.mode) == (8, "observe")


async def test_limit_may_be_lowered_below_what_was_spent(books: DatabaseSessions) -> None:
    await limit(books)
    await settle(books, "c", 50)
    await limit(books, limit_amount=10)
    with pytest.raises(LimitReached) as caught:
        await books.take_hold(new_hold("d", 1))
    assert caught.value.details["remaining"] == "0"


@pytest.mark.parametrize(
    "change", [{"unit": "tokens"}, {"period": "day"}, {"scope": "agent", "subject": "a"}]
)
async def test_budget_about_something_else_begins_anew(
    books: DatabaseSessions, change: dict[str, str]
) -> None:
    await limit(books)
    await books.take_hold(new_hold("c", 4, agent="a"))
    await limit(books, **change)
    assert await held_and_spent(books, change.get("subject", "")) == (0, 0)
    await settle(books, "c", 3, agent="a", input_tokens=3)
    assert await held_and_spent(books, change.get("subject", "")) == (0, 3)


@pytest.mark.parametrize("end", ["settled", "released", "unknown"])
async def test_budget_made_again_knows_no_hold_of_before(books: DatabaseSessions, end: str) -> None:
    await limit(books)
    await books.take_hold(new_hold("old", 9, expires_at_us=books.clock()))
    await books.delete_budget("b")
    await limit(books)
    await books.take_hold(new_hold("new", 2))
    if end == "settled":
        await settle(books, "old", 3)
    elif end == "released":
        await books.release_holds(["old"])
    else:
        await books.expire_holds()
    assert await held_and_spent(books) == (2, 3 if end == "settled" else 0)
    assert (await books.verify_ledger()).drifts == ()


async def test_call_outlives_the_budget_that_admitted_it(books: DatabaseSessions) -> None:
    await limit(books)
    await books.take_hold(new_hold("c", 9))
    await books.delete_budget("b")
    await settle(books, "c", 3)
    assert (await books.usage_report()).totals.cost_nanousd == 3


async def test_hold_of_before_the_budget_is_spent_and_not_held(books: DatabaseSessions) -> None:
    await books.take_hold(new_hold("c", 9))
    await limit(books)
    assert await held_and_spent(books) == (0, 0)
    await settle(books, "c", 3)
    assert await held_and_spent(books) == (0, 3)
