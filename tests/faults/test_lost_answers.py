"""Rows 2 and 3: the answer to a commit is lost, or no answer ever comes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from hansard import Unavailable
from hansard.compose import open_database
from hansard.store.postgres import open_connection
from tests.faults.harness import Load, attempt, run, until, with_settings
from tests.faults.history import History, make_turn
from tests.faults.proxy import Proxy, passes
from tests.postgres import PostgresCluster
from tests.samples import collect, user

COMMITTED = b"COMMIT\0"  # the server's word for a commit that is done


@pytest.fixture
def wire(cluster_url: str) -> Iterator[Proxy]:
    """A wire to an empty database."""
    with Proxy(cluster_url) as wire:
        yield wire


@pytest.mark.parametrize("cuts", [20, pytest.param(500, marks=pytest.mark.faults)])
async def test_commit_whose_answer_is_lost_is_acknowledged_once(
    wire: Proxy, cluster_url: str, cuts: int
) -> None:
    rng = random.Random(2)

    async def cut(history: History) -> None:
        wire.cuts_answer = lambda data: COMMITTED in data and rng.random() < 0.3
        await history.until(lambda: wire.cuts >= cuts)
        wire.cuts_answer = passes

    async with open_database(wire.url) as record, open_database(cluster_url) as observer:
        await run(Load(seed=2), [record], observer, cut)


@pytest.mark.parametrize("cuts", [30, pytest.param(500, marks=pytest.mark.faults)])
async def test_wire_that_is_cut_anywhere_changes_nothing(
    wire: Proxy, cluster_url: str, cuts: int
) -> None:
    rng = random.Random(3)

    async def cut(history: History) -> None:
        wire.cuts_request = wire.cuts_answer = lambda _data: rng.random() < 0.03
        await history.until(lambda: wire.cuts >= cuts)
        wire.cuts_request = wire.cuts_answer = passes

    async with open_database(wire.url) as record, open_database(cluster_url) as observer:
        await run(Load(seed=3), [record], observer, cut)


async def test_caller_who_was_told_nothing_gets_the_first_receipt(
    wire: Proxy, cluster_url: str
) -> None:
    """The commit is done, its answer is cut off, and the server cannot be asked."""

    def cut(data: bytes) -> bool:
        wire.refusing = wire.refusing or COMMITTED in data
        return COMMITTED in data

    sent = make_turn(random.Random(1), "s", "turn")
    async with open_database(wire.url, retry_deadline_s=0.5) as record:
        await record.create(session_id="s")
        await record.pricing()  # reads the prices: the next answer to COMMIT is the turn's
        wire.cuts_answer = cut
        with pytest.raises(Unavailable) as caught:
            await attempt(record, sent)
        assert caught.value.code == "outcome_unknown"
        wire.cuts_answer, wire.refusing = passes, False
        receipt = await attempt(record, sent)
        assert (receipt.replayed, receipt.first_seq) == (True, 0)
        assert (await record.get("s")).message_count == len(sent.messages)


async def test_append_without_a_key_is_asked_after_and_not_repeated(wire: Proxy) -> None:
    async with open_database(wire.url) as record:
        await record.create(session_id="s")
        wire.cuts_answer = lambda data: COMMITTED in data and wire.cuts == 0
        receipt = await record.append_messages("s", [user("once")])
        assert (wire.cuts, receipt.first_seq) == (1, 0)
        assert [message.seq for message in await collect(record.messages("s"))] == [0]


async def test_id_of_a_lost_transaction_given_to_another_is_no_acknowledgement(
    wire: Proxy, cluster: PostgresCluster, cluster_url: str
) -> None:
    """A crash forgets the ids of what it lost; the next transactions get them, and commit."""

    def lose(data: bytes) -> bool:
        is_first = b"lost" in data and wire.cuts == 0  # it is sent again if it was cut early
        wire.refusing = wire.refusing or is_first
        return is_first

    wire.abandons_server = lose
    async with open_database(wire.url) as record:
        await record.create(session_id="s")
        asking = asyncio.create_task(record.append_messages("s", [user("lost")]))
        await until(lambda: wire.refusing)
        cluster.kill()
        cluster.start()
        with psycopg.connect(cluster_url, autocommit=True) as other:
            for _ in range(100):
                other.execute("SELECT pg_current_xact_id()")
        wire.refusing = False
        with suppress(Unavailable):
            await asking
        told = [] if asking.exception() else ["lost"]
        assert [message.body["content"] async for message in record.messages("s")] == told


async def test_client_that_vanished_within_a_transaction_blocks_nobody(wire: Proxy) -> None:
    """Its machine lost its power: the server is not told, and keeps the lock for a while."""
    url = with_settings(wire.url, idle_in_transaction_session_timeout="100ms")
    wire.abandons_server = lambda data: b"vanished" in data and wire.cuts == 0
    async with open_database(url) as record:
        await record.create(session_id="s")
        assert (await record.append_messages("s", [user("vanished")])).first_seq == 0


async def test_silent_wire_gives_an_error_and_no_false_acknowledgement(
    wire: Proxy, cluster_url: str
) -> None:
    """Bytes vanish in both directions, and no end is told."""

    async def swallow(history: History) -> None:
        await history.more(20)
        wire.silent = True
        await history.more_failures(10)
        wire.silent = False
        await history.more(20)

    url = with_settings(wire.url, statement_timeout="500ms")
    async with (
        open_database(url, retry_deadline_s=1.0) as record,
        open_database(cluster_url) as observer,
    ):
        history = await run(Load(seed=4), [record], observer, swallow)
    assert history.failures.keys() <= {"connection", "outcome_unknown", "overloaded"}


async def test_every_crash_begins_another_life_of_the_server(
    cluster: PostgresCluster, cluster_url: str
) -> None:
    """Also one after which the server goes on with other backends."""

    def life() -> str | None:
        with suppress(psycopg.OperationalError), open_connection(cluster_url) as connection:
            return connection.life
        return None

    lives = {life(), life()}
    assert len(lives) == 1
    (backend,) = cluster.execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    )
    os.kill(backend[0], signal.SIGKILL)
    await until(lambda: life() not in {None, *lives})
    lives.add(life())
    cluster.kill()
    cluster.start()
    assert life() not in lives
