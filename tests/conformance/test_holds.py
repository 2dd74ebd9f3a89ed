"""Holds: each call counts once, where and when it was admitted, whatever comes first."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from hansard import Conflict, InvalidInput, LimitReached, NotFound, UsageTotals
from hansard.core.actors import Actor
from hansard.core.turns import check_usage_only
from hansard.core.usage import TOTAL_MAX, NewUsage
from hansard.service.sessions import DatabaseSessions
from hansard.store.batches import batch
from hansard.store.budgets import AdmissionJob
from hansard.store.turns import Append
from tests.ledgers import Clock, find_hold, held_and_spent, limit, settle, take
from tests.places import Place
from tests.samples import new_hold

pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


async def expired(books: DatabaseSessions, cost: int) -> None:
    """A hold on an account, of which nobody heard in time."""
    ann = books.acting_as(Actor(owner="ann", sees_all=False, key_id="k"))
    await take(ann, "c", cost, agent="helper", expires_at_us=books.clock())
    assert await books.expire_holds() == 1


async def test_expired_hold_stays_held(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await expired(books, 8)
    assert await held_and_spent(books) == (8, 0)
    assert (await find_hold(books, "unknown")).call_id == "c"


async def test_hold_that_was_let_go_of_is_not_taken_later(books: DatabaseSessions) -> None:
    """Others that are taken with it are."""
    await limit(books, 10)
    await books.release_holds(["c", "c"])
    takes = [take(books, call_id, 3) for call_id in ("a", "c", "d")]
    outcomes = await asyncio.gather(*takes, return_exceptions=True)
    assert [getattr(outcome, "code", "") for outcome in outcomes] == ["", "hold_exists", ""]
    assert await held_and_spent(books) == (6, 0)


@contextmanager
def windows_locked(place: Place) -> Iterator[None]:
    """Another transaction, before which no hold can be taken."""
    if place.dialect == "postgres":
        with psycopg.connect(place.database_url) as other:
            other.execute("SELECT FROM budget_windows FOR UPDATE")
            yield
    else:
        path = place.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield


async def test_hold_that_is_taken_after_its_caller_gave_up_is_let_go_of(
    books: DatabaseSessions, place: Place
) -> None:
    await limit(books, 10)
    await take(books, "first", 1)
    with windows_locked(place):
        taking = asyncio.ensure_future(take(books, "c", 3))
        if place.dialect == "postgres":
            while not place.execute("SELECT pid FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        releasing = asyncio.ensure_future(books.release_holds(["c"]))
        if place.dialect == "postgres":
            await releasing  # it waits for no window
    await releasing
    await take(books, "last", 1)  # behind all that came before it
    assert await held_and_spent(books) == (2, 0)


async def test_hold_that_is_taken_after_its_call_was_told_ends_when_that_is_told_again(
    books: DatabaseSessions,
) -> None:
    await limit(books, 10)
    at_us = books.clock()
    await settle(books, "c", 3, at_us=at_us)
    await take(books, "c", 5)
    assert await held_and_spent(books) == (5, 3)
    await settle(books, "c", 3, at_us=at_us)
    assert await held_and_spent(books) == (0, 3)


async def test_hold_does_not_expire_before_its_time(books: DatabaseSessions) -> None:
    await take(books, "c", 1)
    assert await books.expire_holds() == 0


async def test_expired_hold_may_still_be_settled(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await expired(books, 8)
    await settle(books, "c", 3)
    assert await held_and_spent(books) == (0, 3)


async def test_unknown_call_is_resolved_by_what_it_used(
    books: DatabaseSessions, place: Place
) -> None:
    """On the account that it was held on, whoever says so."""
    await limit(books, 10, scope="key", subject="*")
    await expired(books, 8)
    await books.resolve_hold("c", NewUsage(event_id="-", model="m", cost_nanousd=3))
    assert await held_and_spent(books, "k") == (0, 3)
    assert place.execute("SELECT event_id, owner, agent, confidence FROM usage_entries") == [
        ("c", "ann", "helper", "reconciled")
    ]


async def test_turn_that_comes_after_its_call_was_resolved_is_recorded(
    books: DatabaseSessions,
) -> None:
    """With its messages; what somebody found out that it cost stands."""
    await limit(books, 10)
    await books.create(session_id="s")
    await take(books, "c", 8, session_id="s", expires_at_us=books.clock())
    await books.expire_holds()
    await books.resolve_hold("c", NewUsage(event_id="-", cost_nanousd=3))
    receipt = await settle(books, "c", 5, session_id="s")
    assert (receipt.replayed, receipt.usage.cost_nanousd) == (False, 3)
    assert await held_and_spent(books) == (0, 3)


async def test_unknown_call_is_written_off(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await expired(books, 8)
    await books.resolve_hold("c", None)
    assert await held_and_spent(books) == (0, 0)
    assert (await find_hold(books, "written_off")).call_id == "c"


@pytest.mark.parametrize("is_made", [False, True])
async def test_call_of_a_session_that_is_gone_is_resolved(
    books: DatabaseSessions, *, is_made: bool
) -> None:
    """Or that was never there; it counts as one of a session that was deleted."""
    await limit(books, 10)
    await limit(books, 10, "s", scope="session", subject="*")
    if is_made:
        await books.create(session_id="s")
    await take(books, "c", 8, session_id="s", expires_at_us=books.clock())
    await books.expire_holds()
    if is_made:
        await books.delete("s")
    await books.resolve_hold("c", NewUsage(event_id="-", cost_nanousd=3))
    assert await held_and_spent(books) == (0, 3)
    assert await held_and_spent(books, "s", budget_id="s") == (0, 3)
    (bucket,) = (await books.usage_report(group_by=["session"])).buckets
    assert str(bucket.key[0]).startswith("s~")
    assert (await books.verify_ledger()).ok


async def test_call_is_resolved_by_the_first_who_says(books: DatabaseSessions) -> None:
    """Who says otherwise at once is told; what is sent again for want of an answer is no other."""
    await expired(books, 8)
    hold = await find_hold(books, "unknown")
    first, second = [
        await books.resolution(hold, NewUsage(event_id="-", cost_nanousd=cost), "")
        for cost in (3, 4)
    ]
    for _ in range(2):
        await books.runner.append(first)
    with pytest.raises(Conflict) as caught:
        await books.runner.append(second)
    assert caught.value.code == "hold_ended"
    assert (await books.usage_report()).totals.cost_nanousd == 3


async def test_turn_brings_no_session_back_that_was_there(books: DatabaseSessions) -> None:
    """What was used is then recorded of no session."""
    await limit(books, 10)
    await books.create(session_id="s")
    await take(books, "c", 8, session_id="s")
    await books.delete("s")
    with pytest.raises(NotFound):
        await settle(books, "c", 3, session_id="s", creates=False)
    assert not await books.exists("s")
    assert await held_and_spent(books) == (8, 0)
    await settle(books, "c", 3)
    assert await held_and_spent(books) == (0, 3)


async def test_call_that_ends_in_the_batch_that_admits_it_holds_nothing(
    books: DatabaseSessions,
) -> None:
    await limit(books, 10)
    at_us, tenant_id = books.clock(), books.actor.tenant_id
    call = check_usage_only({"event_id": "c", "cost_nanousd": 3}, clock=lambda: at_us)
    items: list[Append | AdmissionJob] = [
        AdmissionJob(books.actor, new_hold("c", 8), at_us),
        Append(books.actor, (tenant_id, ""), call, holds=("c",), ended_at_us=at_us),
    ]
    await books.runner.write(lambda tx: batch(tx, items, sure=True, wait=True))
    assert await held_and_spent(books) == (0, 3)
    assert (await find_hold(books, "settled")).is_counted


async def test_window_that_is_full_stays_full(books: DatabaseSessions, place: Place) -> None:
    """By how much more was spent than a column holds, nobody knows."""
    await limit(books, TOTAL_MAX)
    await settle(books, "c", 5)
    place.execute(f"UPDATE budget_windows SET spent = {TOTAL_MAX}")
    await books.update_token_usage("~", event_id="d", corrects="c", cost_nanousd=3)
    assert await held_and_spent(books) == (0, TOTAL_MAX)
    assert (await books.verify_ledger()).ok


async def test_hold_that_has_ended_is_not_resolved(books: DatabaseSessions) -> None:
    await expired(books, 8)
    await books.resolve_hold("c", None)
    with pytest.raises(Conflict) as caught:
        await books.resolve_hold("c", NewUsage(event_id="-", cost_nanousd=3))
    assert caught.value.code == "hold_ended"
    assert (await books.usage_report()).totals == UsageTotals()


async def test_hold_that_never_was_is_not_found(books: DatabaseSessions) -> None:
    with pytest.raises(NotFound):
        await books.resolve_hold("c", None)


async def test_open_call_is_not_resolved(books: DatabaseSessions) -> None:
    """It may be under way; its turn will say."""
    await limit(books, 10)
    await take(books, "c", 8)
    for usage in (None, NewUsage(event_id="-", cost_nanousd=3)):
        with pytest.raises(Conflict) as caught:
            await books.resolve_hold("c", usage)
        assert caught.value.code == "hold_open"
    assert await held_and_spent(books) == (8, 0)


async def test_call_counts_once_if_it_was_resolved_before_its_session_was_made(
    books: DatabaseSessions,
) -> None:
    await limit(books, 10)
    await take(books, "c", 8, session_id="s", expires_at_us=books.clock())
    await books.expire_holds()
    await books.resolve_hold("c", NewUsage(event_id="-", cost_nanousd=3))
    await settle(books, "c", 5, session_id="s")
    assert (await books.get("s")).turn_count == 1
    assert await held_and_spent(books) == (0, 3)
    assert (await books.usage_report()).totals.calls == 1


async def test_call_that_was_written_off_counts_if_its_turn_comes(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await expired(books, 8)
    await books.resolve_hold("c", None)
    for _ in range(2):
        await settle(books, "c", 5)
    assert await held_and_spent(books) == (0, 5)
    assert (await find_hold(books, "settled")).is_counted


async def test_turn_of_a_session_that_is_deleted_counts_once(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await take(books, "c", 8, session_id="s")
    await settle(books, "c", 3, session_id="s")
    await books.delete("s")
    await settle(books, "c", 3)
    assert await held_and_spent(books) == (0, 3)


async def test_call_counts_when_it_was_admitted(books: DatabaseSessions, clock: Clock) -> None:
    """In budgets, in reports and in the proof, however long its turn takes."""
    await limit(books, 10, period="hour")
    began_us = books.clock()
    clock.set("2026-03-10T13:00:01Z")
    await take(books, "c", 8)
    clock.set("2026-03-10T14:00:01Z")
    await settle(books, "c", 3, at_us=began_us)
    assert await held_and_spent(books) == (0, 0)
    (bucket,) = (await books.usage_report(group_by=["hour"])).buckets
    assert bucket.key == ("2026-03-10T13:00:00.000000Z",)
    clock.set("2026-03-10T13:30:00Z")
    assert await held_and_spent(books) == (0, 3)
    assert (await books.verify_ledger()).ok


async def test_agent_that_calls_pays_whatever_its_session_says(books: DatabaseSessions) -> None:
    await limit(books, 10, scope="agent", subject="helper")
    await books.create(session_id="s", agent="nobody")
    await take(books, "c", 8, session_id="s", agent="helper")
    assert await held_and_spent(books, "helper") == (8, 0)
    await settle(books, "c", 3, session_id="s", agent="helper")
    await settle(books, "without-a-hold", 4, session_id="s", agent="helper")
    assert await held_and_spent(books, "helper") == (0, 7)
    (bucket,) = (await books.usage_report(group_by=["agent"])).buckets
    assert (bucket.key, bucket.totals.calls) == (("helper",), 2)
    assert (await books.verify_ledger()).ok


async def test_refusal_tells_of_a_budget_that_its_caller_does_not_see(
    books: DatabaseSessions,
) -> None:
    await limit(books, 10, scope="agent", subject="helper")
    ann = books.acting_as(Actor(owner="ann", sees_all=False, sets_budgets=False))
    with pytest.raises(LimitReached) as caught:
        await take(ann, "c", 11, agent="helper")
    assert caught.value.details["budget"] == "b"
    with pytest.raises(NotFound):
        await ann.get_budget("b")


async def test_id_of_a_held_call_is_nobody_elses(books: DatabaseSessions) -> None:
    """Whoever took it before the turn ends would keep its usage out of the ledger."""
    await limit(books, 10)
    await books.create(session_id="s")
    await take(books, "c", 8, session_id="s")
    thefts = [
        books.update_token_usage("s", event_id="c"),
        books.append_turn("s", [], usage=[NewUsage(event_id="c")]),
        settle(books, "c", 0, holds=["d"]),
    ]
    for theft in thefts:
        with pytest.raises(Conflict) as caught:
            await theft
        assert caught.value.code == "usage_conflict"
    await settle(books, "c", 3, session_id="s")
    assert await held_and_spent(books) == (0, 3)


async def unpriced(books: DatabaseSessions) -> None:
    """A held call whose answer has no price, beside a budget in tokens."""
    await limit(books, 10)
    await limit(books, 100, "t", unit="tokens")
    await take(books, "c", 8, session_id="s", fixed_tokens=50)
    await settle(books, "c", None, session_id="s", model="other", input_tokens=20)


async def test_money_of_a_call_that_has_no_price_stays_held(books: DatabaseSessions) -> None:
    await unpriced(books)
    assert await held_and_spent(books) == (8, 0)
    assert await held_and_spent(books, budget_id="t") == (0, 20)
    hold = await find_hold(books, "unknown")
    assert (hold.is_counted, hold.budget_ids, hold.ended_at_us) == (True, ("b",), None)
    assert (await settle(books, "c", None, model="other", input_tokens=20)).usage.calls == 0
    assert (await books.verify_ledger()).ok


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_somebody_says_what_a_call_without_a_price_cost(
    books: DatabaseSessions, *, is_deleted: bool
) -> None:
    await unpriced(books)
    if is_deleted:
        await books.delete("s")
    with pytest.raises(InvalidInput) as caught:
        await books.resolve_hold("c", NewUsage(event_id="-", input_tokens=20))
    assert caught.value.code == "invalid_resolution"
    await books.resolve_hold("c", NewUsage(event_id="-", cost_nanousd=3))
    assert await held_and_spent(books) == (0, 3)
    assert await held_and_spent(books, budget_id="t") == (0, 20)
    totals = (await books.usage_report(group_by=["session"])).totals
    assert (totals.calls, totals.input_tokens, totals.unpriced_calls) == (1, 20, 0)
    with pytest.raises(Conflict):
        await books.resolve_hold("c", NewUsage(event_id="-", cost_nanousd=3))
    assert (await books.verify_ledger()).ok


async def test_call_without_a_price_is_written_off(books: DatabaseSessions) -> None:
    await unpriced(books)
    await books.resolve_hold("c", None)
    assert await held_and_spent(books) == (0, 0)
    assert (await books.usage("s")).totals.unpriced_calls == 1
    assert (await find_hold(books, "written_off")).is_counted


async def test_correction_lets_go_of_what_was_held_for_want_of_a_price(
    books: DatabaseSessions,
) -> None:
    await unpriced(books)
    with pytest.raises(InvalidInput) as caught:
        await books.update_token_usage("s", event_id="d", corrects="c", input_tokens=9)
    assert caught.value.code == "invalid_resolution"
    await books.update_token_usage("s", event_id="d", corrects="c", cost_nanousd=3, input_tokens=9)
    assert await held_and_spent(books) == (0, 3)
    assert await held_and_spent(books, budget_id="t") == (0, 9)
    assert (await find_hold(books, "settled")).call_id == "c"
    assert (await books.verify_ledger()).ok
