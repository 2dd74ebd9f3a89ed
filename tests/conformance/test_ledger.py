"""The ledger: what calls cost, exact to the nano-dollar, whatever becomes of what was said."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hansard
from hansard import Conflict, UsageTotals
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.usage import TOTAL_MAX, NewUsage
from hansard.formats.prices import load_builtin, read_toml
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock, held_and_spent, limit, settle, take
from tests.places import Place
from tests.samples import call, collect, compete, dialogue, together, user

pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)

COLUMNS = """sum(calls), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(cost_nanousd), sum(unpriced_calls)"""

PRICES = read_toml(
    b'[[price]]\nprovider = "p"\nmodel = "m"\ninput_per_million = "2"\noutput_per_million = "3"\n'
)

WRITE = """
import asyncio, sys, hansard
from tests.samples import call

async def main(url, name):
    async with hansard.open(url, retry_deadline_s=60) as record:
        print("ready", flush=True)
        sys.stdin.readline()
        await asyncio.gather(*[
            record.append_turn(
                f"s{n % 5}", [], usage=[call(f"{name}-{n}", n, model="m", cost_nanousd=10 * n)],
                create=True,
            )
            for n in range(50)
        ])

asyncio.run(main(*sys.argv[1:]))
"""


def entries(place: Place, columns: str) -> list[tuple[Any, ...]]:
    return place.execute(f"SELECT {columns} FROM usage_entries ORDER BY event_id")


PARTS, WHOLE = "hourly_usage WHERE lane >= 0", "hourly_usage WHERE lane < 0"


def totals_of(place: Place, table: str) -> UsageTotals:
    """The sums of all sums."""
    return UsageTotals(*map(int, place.execute(f"SELECT {COLUMNS} FROM {table}")[0]))


async def spend(record: DatabaseSessions, session_id: str, event_id: str, cost: int) -> None:
    entry = call(event_id, 10, output_tokens=2, model="m", cost_nanousd=cost)
    await record.append_turn(session_id, [user("hi")], usage=[entry], create=True)


async def test_entries_survive_their_session(books: DatabaseSessions, place: Place) -> None:
    await spend(books, "s", "e1", 5)
    await books.delete("s")
    assert entries(place, "event_id, cost_nanousd") == [("e1", 5)]
    assert (await books.usage_report(group_by=["model"])).totals.cost_nanousd == 5


async def test_new_session_of_the_same_name_begins_with_nothing(books: DatabaseSessions) -> None:
    await spend(books, "s", "e1", 5)
    await books.delete("s")
    await books.create(session_id="s")
    assert (await books.usage("s")).totals == UsageTotals()
    assert (await books.usage("s")).models == ()


async def test_call_of_a_deleted_session_may_be_named_again(books: DatabaseSessions) -> None:
    for cost in (5, 6):
        await spend(books, "s", "e1", cost)
        await books.delete("s")
    assert (await books.usage_report()).totals.cost_nanousd == 11
    assert (await books.verify_ledger()).drifts == ()


async def test_entries_survive_a_purge(books: DatabaseSessions) -> None:
    await spend(books, "s", "e1", 5)
    assert (await books.purge(updated_before_us=books.clock())).sessions == 1
    assert (await books.usage_report()).totals.cost_nanousd == 5


async def test_entries_survive_a_revert(books: DatabaseSessions) -> None:
    await spend(books, "s", "e1", 5)
    await books.revert("s", 0)
    assert (await books.usage("s")).totals.cost_nanousd == 5


async def test_fork_has_spent_nothing(books: DatabaseSessions, place: Place) -> None:
    await spend(books, "s", "e1", 5)
    await books.fork("s")
    assert totals_of(place, PARTS).calls == len(entries(place, "event_id")) == 1


async def test_sums_by_session_and_by_hour_are_those_of_the_entries(
    books: DatabaseSessions, place: Place, clock: Clock
) -> None:
    for hour in range(3):
        clock.set(f"2026-03-10T{hour:02}:59:59Z")
        for session in ("a", "b"):
            await spend(books, session, f"e{hour}", 10**hour)
    await settle(books, "c", 7, model="n", input_tokens=1)
    found = totals_of(place, "session_usage")
    assert found == totals_of(place, PARTS) == totals_of(place, WHOLE)
    assert (found.calls, found.input_tokens, found.cost_nanousd) == (7, 61, 2 * 111 + 7)
    assert (await books.verify_ledger()).drifts == ()


@pytest.mark.parametrize("table", ["sessions", "session_usage", PARTS, WHOLE])
async def test_sum_that_was_tampered_with_is_found(
    books: DatabaseSessions, place: Place, table: str
) -> None:
    await spend(books, "s", "e1", 5)
    name, *rows = table.partition(" WHERE")
    place.execute(f"UPDATE {name} SET cost_nanousd = cost_nanousd + 1{''.join(rows)}")
    (drift,) = (await books.verify_ledger()).drifts
    assert drift.excess == UsageTotals(cost_nanousd=1)


async def test_window_that_is_missing_is_found(books: DatabaseSessions, place: Place) -> None:
    await limit(books, 10)
    await take(books, "c", 4)
    await settle(books, "d", 5)
    place.execute("DELETE FROM budget_windows")
    drifts = (await books.verify_ledger()).drifts
    assert [(drift.what, drift.excess) for drift in drifts] == [("spent", -5), ("held", -4)]


@pytest.mark.parametrize("what", ["held", "spent"])
async def test_window_that_was_tampered_with_is_found(
    books: DatabaseSessions, place: Place, what: str
) -> None:
    await limit(books, 10)
    await take(books, "c", 4)
    place.execute(f"UPDATE budget_windows SET {what} = {what} + 1")
    (drift,) = (await books.verify_ledger()).drifts
    assert (drift.what, drift.excess) == (what, 1)


async def test_absurd_usage_of_one_owner_is_nobody_elses_trouble(
    books: DatabaseSessions, clock: Clock
) -> None:
    """Sums that no column could hold are told all the same, and fill none that others share."""
    eve = books.acting_as(Actor(owner="eve", sees_all=False))
    bob = books.acting_as(Actor(owner="bob", sees_all=False))
    most: dict[str, Any] = {"input_tokens": 0, "model": "m", "cost_nanousd": COST_MAX_NANOUSD}
    for n in range(10):  # of two hours, since the sums of one are a column's
        clock.set(f"2026-03-10T{n // 5:02}:00:00Z")
        usage = [NewUsage(event_id=f"e{i}", **most) for i in range(1_000)]
        await eve.append_turn(f"e{n}", [], usage=usage, create=True)
    await spend(bob, "b", "b", 7)
    spent = 10_000 * COST_MAX_NANOUSD
    assert spent > TOTAL_MAX
    for group in ("hour", "model", "owner", "session"):
        report = await books.usage_report(group_by=[group])
        assert report.totals.cost_nanousd == spent + 7
    assert (await bob.usage_report()).totals.cost_nanousd == 7
    for scope, subject, found in (("tenant", "", TOTAL_MAX), ("owner", "bob", 7), ("key", "k", 0)):
        await books.put_budget("b", scope=scope, subject=subject, limit_amount=9)
        assert await held_and_spent(books, subject) == (0, found)
    assert (await books.verify_ledger()).drifts == ()


async def test_number_that_no_column_holds_is_refused(books: DatabaseSessions) -> None:
    """It is not tried again, since it will not be smaller then."""
    where = {"tenant_id": "default", "session_id": "s", "after": ""}
    with pytest.raises(Conflict) as caught:
        await books.runner.read(lambda tx: tx.rows("usage_list", (), limit=2**63, **where))
    assert caught.value.code == "refused"


async def test_refused_turn_leaves_no_trace_in_the_sums(books: DatabaseSessions) -> None:
    """Those that share its transaction are counted all the same."""
    await spend(books, "s", "e", 1)
    turns = [
        books.append_turn("s", [], usage=[call(name, 0, cost_nanousd=1)], expected_seq=seq)
        for n in range(10)
        for name, seq in ((f"good{n}", None), (f"bad{n}", 99))
    ]
    done, errors = await compete(turns)
    assert (len(done), len(errors)) == (10, 10)
    assert (await books.usage_report()).totals.calls == 11
    assert (await books.verify_ledger()).drifts == ()


async def test_concurrent_calls_of_several_records_add_up_exactly(
    books: DatabaseSessions, place: Place
) -> None:
    async with open_database(place.url) as second, open_database(place.url) as third:
        records = (books, second, third)
        calls = [spend(records[n % 3], f"s{n % 4}", f"e{n}", n) for n in range(90)]
        without = [settle(records[n % 3], f"c{n}", n) for n in range(90)]
        await together([*calls, *without])
    assert (await books.usage_report()).totals.cost_nanousd == 2 * sum(range(90))
    assert (await books.verify_ledger()).drifts == ()


async def test_concurrent_calls_of_several_processes_add_up_exactly(
    books: DatabaseSessions, place: Place
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, place.url, f"p{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for n in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    assert [process.communicate("go\n", timeout=120)[0] for process in processes] == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    found = (await books.usage_report()).totals
    assert (found.calls, found.input_tokens, found.cost_nanousd) == (150, 3_675, 36_750)
    assert (await books.verify_ledger()).drifts == ()


async def test_unpriced_is_null_and_free_is_nought(books: DatabaseSessions, place: Place) -> None:
    await books.create(session_id="s")
    await books.append_turn("s", [], usage=[call("a", 1), call("b", 1, cost_nanousd=0)])
    assert entries(place, "cost_nanousd, price_version") == [(None, None), (0, None)]
    assert (await books.usage("s")).totals.unpriced_calls == 1


async def test_call_is_priced_by_the_table_that_is_named(
    books: DatabaseSessions, place: Place
) -> None:
    entry = call("a", 1_000, provider="openai", model="gpt-4o")
    await books.append_turn("s", [], usage=[entry], create=True)
    version = load_builtin().version
    assert entries(place, "cost_nanousd, price_version, confidence") == [
        (2_500_000, version, "provider_usage")
    ]


async def test_cost_that_was_told_wins_over_the_table(
    books: DatabaseSessions, place: Place
) -> None:
    entry = call("a", 1_000, provider="openai", model="gpt-4o", cost_nanousd=7)
    await books.append_turn("s", [], usage=[entry], create=True)
    assert entries(place, "cost_nanousd, price_version, confidence") == [(7, None, "provider_cost")]


async def test_model_that_answered_decides_the_price(books: DatabaseSessions) -> None:
    answered = hansard.NewUsage(
        event_id="a", provider="openai", model="gpt-4o", model_asked="o3", input_tokens=1_000
    )
    receipt = await books.append_turn("s", [], usage=[answered], create=True)
    assert receipt.usage.cost_nanousd == 2_500_000


@pytest.mark.parametrize("first", [None, PRICES], ids=["unpriced", "priced"])
async def test_turn_sent_again_at_another_price_is_the_same_turn(place: Place, first: Any) -> None:
    turn: dict[str, Any] = {
        "usage": [call("a", 1_000, provider="p", model="m")],
        "turn_id": "t",
        "create": True,
    }
    async with open_database(place.url, prices=first) as record:
        receipt = await record.append_turn("s", dialogue(1), **turn)
    before = place.dump()
    async with open_database(place.url, prices=None if first else PRICES) as record:
        again = await record.append_turn("s", dialogue(1), **turn)
    assert (again.usage, again.replayed) == (receipt.usage, True)
    assert place.dump() == before


@pytest.mark.parametrize("first", [None, PRICES], ids=["unpriced", "priced"])
async def test_call_sent_again_at_another_price_is_the_same_call(place: Place, first: Any) -> None:
    entry: dict[str, Any] = {"event_id": "a", "input_tokens": 1_000, "provider": "p", "model": "m"}
    async with open_database(place.url, prices=first) as record:
        await record.create(session_id="s")
        totals = await record.update_token_usage("s", **entry)
    async with open_database(place.url, prices=None if first else PRICES) as record:
        assert await record.update_token_usage("s", **entry) == totals


async def test_entry_names_its_account(books: DatabaseSessions, place: Place) -> None:
    ann = books.acting_as(Actor(owner="ann", sees_all=False, key_id="k1"))
    await settle(ann, "a", 1, session_id="s", agent="helper")
    assert entries(place, "session_id, owner, agent, key_id, kind") == [
        ("s", "ann", "helper", "k1", "call")
    ]


async def test_call_without_a_session_is_counted(books: DatabaseSessions, place: Place) -> None:
    ann = books.acting_as(Actor(owner="ann", sees_all=False))
    receipt = await settle(ann, "a", 9, agent="helper")
    assert receipt.usage == UsageTotals(calls=1, cost_nanousd=9)
    assert entries(place, "session_id, owner, agent, turn_id") == [
        ("", "ann", "helper", "turn-of-a")
    ]
    assert (await books.list()).items == ()


async def test_call_without_a_session_sent_again_gets_the_first_answer(
    books: DatabaseSessions, place: Place
) -> None:
    first = await settle(books, "a", 9, at_us=5)
    before = place.dump()
    again = await settle(books, "a", 9, at_us=5)
    assert (again.usage, again.turn_id, again.replayed) == (first.usage, first.turn_id, True)
    assert place.dump() == before


async def test_other_call_of_the_same_name_is_a_conflict(books: DatabaseSessions) -> None:
    await settle(books, "a", 9)
    with pytest.raises(Conflict) as caught:
        await settle(books, "a", 10)
    assert caught.value.code == "usage_conflict"


async def test_session_tells_its_running_totals_beside_the_clients_keys(
    books: DatabaseSessions,
) -> None:
    """Also of turns that are recorded together, the last of which used nothing."""
    await books.create(session_id="s", cost_data={"mine": [1], "model": "old"})
    used: dict[str, Any] = {"model": "m", "input_tokens": 3, "output_tokens": 1}
    await asyncio.gather(
        *(settle(books, f"c{n}", 1, session_id="s", **used) for n in range(2)),
        books.settle_turn(
            "s", [user("hi")], usage=[], turn_id="t", status="failed", holds=[], at_us=1
        ),
    )
    assert await books.get_cost_data("s") == {
        "mine": [1],
        "model": "m",
        "input_tokens": 6,
        "output_tokens": 2,
        "cached_tokens": 0,
        "turn_count": 3,
    }


async def test_import_is_told_apart_and_adds_up(books: DatabaseSessions, place: Place) -> None:
    await spend(books, "s", "e1", 5)
    document = b"".join(await collect(books.export_session("s")))
    await books.import_session(document)
    kinds = place.execute("SELECT kind, cost_nanousd FROM usage_entries ORDER BY kind")
    assert kinds == [("call", 5), ("import", 5)]
    assert place.execute("SELECT count(*) FROM hourly_usage WHERE lane = 0") == [(1,)]
    assert (await books.verify_ledger()).drifts == ()
