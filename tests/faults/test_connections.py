"""Row 14: the server has no connection left for us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from hansard.compose import open_database
from tests.faults.harness import Load, run, until
from tests.faults.history import History
from tests.postgres import PostgresCluster, database_name

CONNECTIONS = 20  # of the whole server; fewer than two records want
CALLERS = 100


@pytest.fixture
def small_cluster() -> Iterator[PostgresCluster]:
    """A server with few connections."""
    with PostgresCluster(settings={"max_connections": str(CONNECTIONS)}) as cluster:
        yield cluster


async def test_callers_are_served_when_connections_are_few_and_none_leaks(
    small_cluster: PostgresCluster,
) -> None:
    """Somebody takes all that is left, so that ours are refused (53300), and lets go again."""
    url = small_cluster.create_database()
    ours = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database_name(url)}'"

    async def hog(history: History) -> None:
        for _ in range(3):
            with ExitStack() as taken:
                small_cluster.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'hansard'"
                )
                with pytest.raises(psycopg.OperationalError):
                    while True:
                        taken.enter_context(psycopg.connect(small_cluster.admin_url))
                await history.more_failures(5)
            await history.more(CALLERS)

    async with (
        open_database(url, retry_deadline_s=0.5) as record,
        open_database(url, retry_deadline_s=0.5) as observer,
    ):
        await run(Load(seed=14, callers=CALLERS), [record], observer, hog)
    await until(lambda: not small_cluster.execute(ours))
