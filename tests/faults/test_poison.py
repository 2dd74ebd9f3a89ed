"""Row 12: one bad turn in a batch of many fails alone, whoever finds it bad."""

from __future__ import annotations

import asyncio
import random
import threading

import psycopg
import pytest

from hansard import Conflict
from hansard.compose import open_database
from hansard.core.errors import Unavailable
from hansard.store.database import Tx
from tests.faults.harness import send, until
from tests.faults.history import History, Sent, make_turn
from tests.faults.invariants import check_invariants
from tests.places import Place
from tests.postgres import PostgresServer
from tests.samples import compete, together, user

COUNT = 64  # turns that are sent at once
BAD = 17  # which of them is bad

REFUSES = {
    "sqlite": """
        CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.body LIKE '%poison%'
        BEGIN SELECT RAISE(ABORT, 'no poison here'); END
    """,
    "postgres": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'no poison here'; END$$;
        CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW
        WHEN (NEW.body LIKE '%poison%') EXECUTE FUNCTION refuse();
    """,
}


def make_turns(session_ids: list[str]) -> list[Sent]:
    rng = random.Random(12)
    return [make_turn(rng, session_ids[n % len(session_ids)], f"turn-{n}") for n in range(COUNT)]


async def test_turn_that_only_the_database_refuses_fails_alone(empty_url: str) -> None:
    """The checks let it pass; the database finds it in the middle of the batch."""
    place = Place(kind="", url=empty_url, database_url=empty_url)
    turns = make_turns(["a", "b", "c"])
    turns[BAD].messages.append(user("poison"))
    history = History()
    async with open_database(empty_url) as record:
        for name in "abc":
            await record.create(session_id=name)
        place.execute(REFUSES[place.dialect])
        await together([send(record, history, sent) for sent in turns])
        assert list(history.refused) == [turns[BAD].key]
        assert isinstance(history.refused[turns[BAD].key], Conflict)
        assert len(history.acknowledged) == COUNT - 1
        assert not history.failures
        await check_invariants(record, history)


async def test_change_that_only_the_database_refuses_is_a_conflict(empty_url: str) -> None:
    """Also where it shares a transaction with others, behind a savepoint."""
    place = Place(kind="", url=empty_url, database_url=empty_url)
    async with open_database(empty_url) as record:
        await record.create(session_id="good")
        await record.create(session_id="bad")
        place.execute(REFUSES[place.dialect].replace("TRIGGER refuse", "TRIGGER again"))
        saves = [record.save_messages(name, [user(name)]) for name in ("good", "poison", "better")]
        saved, errors = await compete(saves)
        assert [len(saved), [error.code for error in errors]] == [2, ["refused"]]
        assert [await record.exists(name) for name in ("poison", "better")] == [False, True]


async def test_turn_that_another_transaction_has_just_recorded_fails_alone(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """It appears between look-up and write, as if somebody wrote without taking the lock."""
    turns = make_turns(["a"])
    history = History()
    async with open_database(postgres_url) as record:
        await record.create(session_id="a")
        async with await psycopg.AsyncConnection.connect(postgres_url) as other:
            await other.execute(
                "INSERT INTO turns (tenant_id, session_id, turn_id, status, content_hash, receipt,"
                " created_at_us) VALUES ('default', 'a', %s, 'completed', '', '[]', 0)",
                [turns[BAD].turn_id],
            )
            sending = [asyncio.create_task(send(record, history, sent)) for sent in turns]
            await until(lambda: postgres_server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
        await asyncio.wait(sending)
        assert {key: error.code for key, error in history.refused.items()} == {
            turns[BAD].key: "turn_conflict"
        }
        assert len(history.acknowledged) == COUNT - 1


async def test_write_that_misses_something_of_its_own_fails_alone(sqlite_url: str) -> None:
    """As an import whose source does not answer, while others write."""
    begun, go = threading.Event(), threading.Event()

    def hold(_tx: Tx) -> None:
        begun.set()
        go.wait()

    def miss(_tx: Tx) -> None:
        raise Unavailable("the database to be read does not answer")

    async with open_database(sqlite_url) as record:
        holding = asyncio.ensure_future(record.runner.write(hold))
        await asyncio.to_thread(begun.wait)
        missing = asyncio.ensure_future(record.runner.write(miss))
        creating = asyncio.ensure_future(record.create(session_id="s"))
        await asyncio.sleep(0)  # both wait for the same transaction now
        go.set()
        await holding
        with pytest.raises(Unavailable):
            await missing
        assert (await creating).id == "s"
