"""Row 15: the primary is lost, and its standby takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from hansard.compose import open_database
from tests.faults.harness import Load, ask, run, until
from tests.faults.history import History
from tests.faults.proxy import Proxy, passes
from tests.faults.test_lost_answers import COMMITTED
from tests.postgres import PostgresCluster
from tests.samples import collect, user

pytestmark = pytest.mark.faults

STREAMING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
SYNCHRONOUS = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"


class Standby(PostgresCluster):
    """A server that follows another one, until it is promoted."""

    def __init__(self, primary: PostgresCluster) -> None:
        super().__init__(durable=True)
        self._primary = primary

    def _initialise(self) -> None:
        self._make_binaries_reachable()
        self._run(
            "pg_basebackup",
            *("-h", self._primary.folder, "-U", "hansard", "-D", self._data),
            *("-R", "-X", "stream", "-c", "fast", "--no-sync"),
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{self.folder}'\n")

    def promote(self) -> None:
        """Make it the primary."""
        self.execute("SELECT pg_promote()")


@pytest.fixture
def pair() -> Iterator[tuple[PostgresCluster, Standby]]:
    """A primary, and a standby that has caught up with it."""
    with PostgresCluster(durable=True) as primary, Standby(primary) as standby:
        yield primary, standby


async def test_no_acknowledged_turn_is_lost_in_a_failover(
    pair: tuple[PostgresCluster, Standby],
) -> None:
    """With a synchronous standby, as doctor demands."""
    primary, standby = pair
    await until(lambda: primary.execute(STREAMING))
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.execute("SELECT pg_reload_conf()")
    await until(lambda: primary.execute(SYNCHRONOUS))
    url = primary.create_database().replace(
        str(primary.folder), f"{primary.folder},{standby.folder}"
    )
    url += "&target_session_attrs=read-write"

    async def fail_over(history: History) -> None:
        await history.more(100)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.promote)
        await history.more(100)

    async with open_database(url) as record, open_database(url) as observer:
        await run(Load(seed=15), [record], observer, fail_over)


async def test_standby_that_may_lag_behind_is_warned_of(
    pair: tuple[PostgresCluster, Standby],
) -> None:
    primary, _ = pair
    await until(lambda: primary.execute(STREAMING))
    async with open_database(primary.create_database()) as record:
        findings = {one.name: one.severity for one in await record.diagnose()}
        assert findings["replication"] == "warning"
        await ask(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await ask(primary, "SELECT pg_reload_conf()")
        await until(lambda: primary.execute(SYNCHRONOUS))
        findings = {one.name: one.severity for one in await record.diagnose()}
        assert findings["replication"] == "ok"


async def test_standby_is_not_believed_about_a_lost_commit(
    pair: tuple[PostgresCluster, Standby],
) -> None:
    """It has not heard of the transaction, and the primary cannot be reached for a while."""
    primary, standby = pair
    await until(lambda: primary.execute(STREAMING))
    url = primary.create_database()
    with Proxy(url) as wire, Proxy(url.replace(str(primary.folder), str(standby.folder))) as other:
        questions: list[bytes] = []

        def lose(data: bytes) -> bool:
            wire.refusing = wire.refusing or COMMITTED in data
            return COMMITTED in data

        def listen(data: bytes) -> bool:
            questions.extend([data] if b"pg_xact_status" in data else [])
            return False

        other.cuts_request = listen
        host, standby_host = (str(conninfo_to_dict(one.url)["host"]) for one in (wire, other))
        hosts = wire.url.replace(host, f"{host},{standby_host}")
        async with open_database(hosts) as record:
            await record.create(session_id="s")
            (position,) = primary.execute("SELECT pg_current_wal_lsn()")[0]
            await until(
                lambda: standby.execute(f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{position}'")
            )
            standby.execute("SELECT pg_wal_replay_pause()")
            wire.cuts_answer = lose
            asking = asyncio.create_task(record.append_messages("s", [user("once")]))
            await until(lambda: questions)
            wire.cuts_answer, wire.refusing = passes, False
            assert (await asking).first_seq == 0
            assert [message.seq for message in await collect(record.messages("s"))] == [0]
        standby.execute("SELECT pg_wal_replay_resume()")
