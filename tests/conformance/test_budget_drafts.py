"""Budgets in the making: what counts in a draft, and what it is to replace meanwhile."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hansard import Conflict, LimitReached, NotFound
from hansard.compose import open_database
from hansard.service.sessions import DatabaseSessions
from hansard.store import limits
from tests.ledgers import Clock, held_and_spent, limit, settle
from tests.places import Place
from tests.samples import compete, new_hold

pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


async def test_budget_that_was_never_finished_is_none_until_it_is_put_again(
    books: DatabaseSessions,
) -> None:
    await settle(books, "before", 3)
    await limit(books, 1)
    budget, _ = await books.get_budget("b")
    await books.delete_budget("b")
    await books.runner.write(lambda tx: limits.draft(tx, budget))  # and there its process ended
    with pytest.raises(NotFound):
        await books.get_budget("b")
    assert await books.list_budgets() == []
    await books.take_hold(new_hold("meanwhile", 4))
    await settle(books, "meanwhile", 4)
    assert (await books.verify_ledger()).drifts == ()
    await limit(books, 1)
    assert await held_and_spent(books) == (0, 7)
    with pytest.raises(Conflict) as caught:
        await books.runner.write(lambda tx: limits.finish(tx, budget))
    assert caught.value.code == "budget_replaced"


async def test_budget_that_was_never_finished_is_removed(
    books: DatabaseSessions, place: Place
) -> None:
    await limit(books, 100)
    budget, _ = await books.get_budget("b")
    await books.delete_budget("b")
    await books.runner.write(lambda tx: limits.draft(tx, budget))
    await books.delete_budget("b")
    assert place.execute("SELECT * FROM budgets") == []


async def test_what_a_draft_has_counted_is_not_added_to_it(books: DatabaseSessions) -> None:
    await limit(books, 100)
    budget, _ = await books.get_budget("b")
    await settle(books, "before", 3)
    await books.runner.write(lambda tx: limits.draft(tx, budget))
    await settle(books, "meanwhile", 4)
    uncounted = await books.runner.read(lambda tx: limits.find_uncounted(tx, budget))
    assert [amount for *_, amount in uncounted] == [3]


async def test_tenant_has_no_more_budgets_than_are_looked_at_for_each_call(
    books: DatabaseSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What replaces a budget is none more, whether it is finished or not."""
    monkeypatch.setattr(limits, "BUDGETS_MAX", 2)
    await limit(books, 100)
    budget, _ = await books.get_budget("b")
    await books.runner.write(lambda tx: limits.draft(tx, budget))
    await books.put_budget("c", scope="tenant", limit_amount=1)
    await limit(books, 100, unit="tokens")
    with pytest.raises(LimitReached) as refused:
        await books.put_budget("d", scope="tenant", limit_amount=1)
    assert refused.value.code == "too_many_budgets"


async def test_budget_stays_in_force_until_another_takes_its_place(
    books: DatabaseSessions,
) -> None:
    await limit(books, 10)
    await settle(books, "before", 3)
    budget, _ = await books.get_budget("b")
    other = replace(budget, period="day", created_at_us=books.clock())
    await books.runner.write(lambda tx: limits.draft(tx, other))  # and there its process ended
    await books.take_hold(new_hold("meanwhile", 7))
    with pytest.raises(LimitReached):
        await books.take_hold(new_hold("refused", 1))
    assert await held_and_spent(books) == (7, 3)
    assert (await books.verify_ledger()).drifts == ()
    await books.runner.write(lambda tx: limits.finish(tx, other))
    await settle(books, "meanwhile", 4)
    assert await held_and_spent(books) == (0, 4)
    assert [budget.period for budget, _ in await books.list_budgets()] == ["day"]


async def test_budget_that_many_put_at_once_counts_each_call_once(
    books: DatabaseSessions, place: Place, clock: Clock
) -> None:
    await settle(books, "before", 5)
    async with open_database(place.url) as other:
        other.clock = clock
        put = [
            record.put_budget("b", scope="tenant", limit_amount=9, period=period)
            for record in (books, other)
            for period in ("day", "week", "month", "total")
        ]
        made, errors = await compete(put)
    assert made
    assert {error.code for error in errors} <= {"budget_replaced"}
    assert await held_and_spent(books) == (0, 5)
    assert (await books.verify_ledger()).drifts == ()
