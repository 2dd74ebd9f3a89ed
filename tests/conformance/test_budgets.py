"""Budgets: nothing is spent that was not held, and no hold is lost or given back twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hansard import Conflict, LimitReached, NotFound
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.usage import TOTAL_MAX
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock, find_hold, held_and_spent, limit, settle, take
from tests.places import Place
from tests.samples import compete

pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)

PICO = 1_000  # of a nano-dollar

TAKE = """
import asyncio, sys
from hansard import LimitReached
from hansard.compose import open_database
from tests.samples import compete, new_hold

async def main(url, name):
    async with open_database(url, retry_deadline_s=60) as record:
        print("ready", flush=True)
        sys.stdin.readline()
        holds = [record.take_hold(new_hold(f"{name}-{n}", 1)) for n in range(25)]
        admitted, _ = await compete(holds)
        print(len(admitted))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_fifty_concurrent_calls_for_ten_admit_exactly_ten(
    books: DatabaseSessions, place: Place
) -> None:
    await limit(books, 10)
    async with open_database(place.url) as other:
        records = (books, other)
        admitted, errors = await compete([take(records[n % 2], f"c{n}", 1) for n in range(50)])
    assert len(admitted) == 10
    assert [error.code for error in errors] == ["budget_exceeded"] * 40
    assert await held_and_spent(books) == (10, 0)


async def test_processes_share_a_budget_exactly(books: DatabaseSessions, place: Place) -> None:
    await limit(books, 10)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, place.url, f"p{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for n in range(2)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    told = [process.communicate("go\n", timeout=120)[0] for process in processes]
    assert sum(map(int, told)) == 10
    assert await held_and_spent(books) == (10, 0)


async def test_every_budget_must_admit(books: DatabaseSessions) -> None:
    await limit(books, 100, "a")
    await limit(books, 4, "b")
    with pytest.raises(LimitReached) as caught:
        await take(books, "c", 5)
    assert caught.value.details["budget"] == "b"
    assert await held_and_spent(books, budget_id="a") == (0, 0)


async def test_refusal_says_what_is_missing(books: DatabaseSessions, clock: Clock) -> None:
    await limit(books, 10**9, period="day", time_zone="Europe/Berlin")
    await settle(books, "before", 3 * 10**8)
    await take(books, "open", 2 * 10**8)
    with pytest.raises(LimitReached) as caught:
        await take(books, "c", 6 * 10**8)
    said = {name: caught.value.details[name] for name in ("spent", "held", "remaining", "required")}
    assert said == {"spent": "0.3", "held": "0.2", "remaining": "0.5", "required": "0.6"}
    assert caught.value.details["resets_at"] == "2026-03-10T23:00:00.000000Z"


async def test_last_nano_dollar_may_be_spent(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await settle(books, "before", 7)
    assert (await take(books, "c", 3)).is_budgeted


async def test_call_without_a_budget_is_held_all_the_same(books: DatabaseSessions) -> None:
    assert not (await take(books, "c", 5)).is_budgeted
    assert (await find_hold(books, "open")).call_id == "c"


async def test_observed_budget_admits_and_counts(books: DatabaseSessions) -> None:
    await limit(books, 1, mode="observe")
    await take(books, "c", 5)
    assert await held_and_spent(books) == (5, 0)


async def test_observed_budget_admits_whatever_a_column_can_hold(books: DatabaseSessions) -> None:
    """Absurd calls are nobody else's trouble, and are let go of exactly."""
    absurd = {"output_tokens": 2**62, "output_pico_per_token": 10**9}
    assert not (await take(books, "before", 1, **absurd)).is_budgeted
    await limit(books, 10, mode="observe")
    await limit(books, 10, "t", mode="observe", unit="tokens")
    for call_id in ("absurd", "full"):
        await take(books, call_id, 1, **absurd)
    await take(books, "small", 1, fixed_tokens=1)
    assert await held_and_spent(books) == (TOTAL_MAX, 0)
    assert await held_and_spent(books, budget_id="t") == (TOTAL_MAX, 0)
    await books.release_holds(["absurd"])
    await settle(books, "full", 3)
    await take(books, "last", 1)
    assert await held_and_spent(books) == (1, 3)
    assert (await books.verify_ledger()).drifts == ()


async def test_tokens_may_be_limited_too(books: DatabaseSessions) -> None:
    await limit(books, 10, unit="tokens")
    await take(books, "c", None, fixed_tokens=6, output_tokens=4)
    with pytest.raises(LimitReached):
        await take(books, "d", None, fixed_tokens=1)


async def test_settled_call_is_spent_and_no_more_held(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await take(books, "c", 8)
    await settle(books, "c", 3)
    assert await held_and_spent(books) == (0, 3)
    assert (await find_hold(books, "settled")).is_overrun is False


async def test_call_that_was_not_made_is_given_back(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await take(books, "c", 8)
    for _ in range(2):
        await books.release_holds(["c"])
    assert await held_and_spent(books) == (0, 0)
    assert (await find_hold(books, "released")).call_id == "c"


async def test_holds_of_one_turn_end_together(books: DatabaseSessions) -> None:
    await limit(books, 10)
    for call_id in ("c", "d"):
        await take(books, call_id, 2)
    await settle(books, "c", 1, holds=["c", "d", "c", "never taken"])
    assert await held_and_spent(books) == (0, 1)


async def test_turn_sent_again_moves_no_budget(books: DatabaseSessions, place: Place) -> None:
    await limit(books, 10)
    await take(books, "c", 2)
    await settle(books, "c", 1, session_id="s", at_us=5)
    before = place.dump()
    assert (await settle(books, "c", 1, session_id="s", at_us=5)).replayed
    assert place.dump() == before


async def test_call_is_held_once(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await take(books, "c", 2)
    with pytest.raises(Conflict) as caught:
        await take(books, "c", 2)
    assert caught.value.code == "hold_exists"
    assert await held_and_spent(books) == (2, 0)


async def test_call_that_was_not_held_is_spent(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await books.create(session_id="s")
    await books.update_token_usage("s", event_id="e", cost_nanousd=4)
    assert await held_and_spent(books) == (0, 4)


async def test_correction_is_what_is_spent(books: DatabaseSessions) -> None:
    await limit(books, 10)
    await settle(books, "c", 4, session_id="s")
    await books.update_token_usage("s", event_id="d", corrects="c", cost_nanousd=1)
    assert await held_and_spent(books) == (0, 1)


@pytest.mark.parametrize(("unit", "cost", "tokens"), [("usd", 25, 0), ("tokens", 0, 25)])
async def test_more_than_was_held_is_spent_in_full(
    books: DatabaseSessions, unit: str, cost: int, tokens: int
) -> None:
    """The provider has billed it: it can be told, and not refused."""
    await limit(books, 10, unit=unit)
    await take(books, "c", 8, fixed_tokens=8)
    await settle(books, "c", cost, input_tokens=tokens)
    assert await held_and_spent(books) == (0, 25)
    assert (await find_hold(books, "settled")).is_overrun
    with pytest.raises(LimitReached):
        await take(books, "d", 1, fixed_tokens=1)


async def test_answer_is_shortened_to_what_fits(books: DatabaseSessions) -> None:
    await limit(books, 100)
    price = {"output_pico_per_token": 3 * PICO, "output_tokens": 1_000}
    admission = await take(books, "c", 10, least_output_tokens=30, **price)
    assert admission.output_tokens == 30
    assert await held_and_spent(books) == (100, 0)


async def test_shortest_of_all_budgets_counts(books: DatabaseSessions) -> None:
    await limit(books, 100, "a")
    await limit(books, 25, "b", unit="tokens")
    price = {"output_pico_per_token": PICO, "output_tokens": 1_000, "fixed_tokens": 5}
    assert (await take(books, "c", 0, least_output_tokens=1, **price)).output_tokens == 20
    assert await held_and_spent(books, budget_id="a") == (20, 0)


async def test_answer_is_not_shortened_below_what_is_enough(books: DatabaseSessions) -> None:
    await limit(books, 100)
    price = {"output_pico_per_token": 3 * PICO, "output_tokens": 1_000}
    with pytest.raises(LimitReached) as caught:
        await take(books, "c", 10, least_output_tokens=31, **price)
    assert caught.value.details["required"] == "0.000000103"  # the least that is enough
    assert await held_and_spent(books) == (0, 0)
    short = price | {"output_tokens": 30}
    assert (await take(books, "c", 10, least_output_tokens=31, **short)).output_tokens == 30


async def test_answer_that_fits_is_left_as_it_is(books: DatabaseSessions) -> None:
    await limit(books, 100)
    price = {"output_pico_per_token": PICO, "output_tokens": 100}
    assert (await take(books, "c", 0, least_output_tokens=1, **price)).output_tokens == 100


async def test_unpriced_model_is_refused_where_money_is_limited(books: DatabaseSessions) -> None:
    await limit(books, 10)
    with pytest.raises(LimitReached) as caught:
        await take(books, "c", None)
    assert (caught.value.code, caught.value.details["model"]) == ("unpriced_model", "m")


@pytest.mark.parametrize("kind", [{"mode": "observe"}, {"unit": "tokens"}])
async def test_unpriced_model_is_admitted_elsewhere(
    books: DatabaseSessions, kind: dict[str, str]
) -> None:
    await limit(books, 10, **kind)
    assert (await take(books, "c", None)).is_budgeted
    assert (await find_hold(books, "open")).amount_nanousd is None


async def test_nobody_holds_on_the_account_of_others(books: DatabaseSessions) -> None:
    await limit(books, 10, scope="session", subject="*")
    await books.acting_as(Actor(owner="ann", sees_all=False)).create(session_id="s")
    with pytest.raises(NotFound):
        await take(books.acting_as(Actor(owner="bob", sees_all=False)), "c", 1, session_id="s")
    assert await held_and_spent(books, "s") == (0, 0)


async def test_threshold_is_told_once_in_a_window(books: DatabaseSessions) -> None:
    await limit(books, 100, warn_percents=[50, 80])
    told = [(await take(books, f"c{n}", 30)).warnings for n in range(3)]
    assert [[warning.percent for warning in one] for one in told] == [[], [50], [80]]
    await books.release_holds(["c1", "c2"])
    assert (await take(books, "again", 30)).warnings == ()


async def test_threshold_that_a_hold_crossed_is_not_told_again_when_it_is_spent(
    books: DatabaseSessions, place: Place
) -> None:
    await limit(books, 100, warn_percents=[50])
    assert len((await take(books, "c", 60)).warnings) == 1
    await books.release_holds(["c"])
    await settle(books, "d", 70)
    assert place.execute("SELECT percent, used FROM budget_alerts") == [(50, 60)]


async def test_call_that_ends_as_it_was_held_crosses_nothing(
    books: DatabaseSessions, place: Place
) -> None:
    await limit(books, 100, warn_percents=[50])
    await take(books, "c", 40)
    await settle(books, "c", 40)
    assert place.execute("SELECT percent FROM budget_alerts") == []


async def test_call_that_was_not_held_may_cross(books: DatabaseSessions, place: Place) -> None:
    await limit(books, 100, warn_percents=[50, 80])
    await settle(books, "c", 90)
    assert place.execute("SELECT percent, used FROM budget_alerts ORDER BY percent") == [
        (50, 90),
        (80, 90),
    ]


async def test_another_limit_is_told_of_again(books: DatabaseSessions) -> None:
    await limit(books, 100, warn_percents=[50])
    await settle(books, "c", 60)
    await limit(books, 120, warn_percents=[50])
    (warning,) = (await take(books, "d", 1)).warnings
    assert (warning.percent, warning.used, warning.limit_amount) == (50, 61, 120)
