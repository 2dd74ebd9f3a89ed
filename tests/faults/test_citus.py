"""Row 16: a Citus server is killed while callers append to its distributed tables."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from hansard.compose import open_database
from tests.faults.harness import Load, run
from tests.faults.history import History
from tests.postgres import PostgresCluster

pytestmark = pytest.mark.faults

ROUNDS = 4
WITH_TENANT = """
    SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'tenant_id'
    ORDER BY table_name <> 'sessions', table_name
"""


async def test_turns_outlive_a_citus_server(cluster: PostgresCluster) -> None:
    """All tables are distributed by tenant, as one node of a larger cluster holds them."""
    if not cluster.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'citus'"):
        pytest.skip("the PostgreSQL at hand has no Citus")
    settings = {"shared_preload_libraries": "citus"}
    with PostgresCluster(durable=True, settings=settings) as node:
        url = node.create_database()
        async with open_database(url):
            _distribute(url)

        async def kill(history: History) -> None:
            for _ in range(ROUNDS):
                await history.more(20)
                await asyncio.to_thread(node.kill)
                await asyncio.to_thread(node.start)

        async with open_database(url) as record, open_database(url) as observer:
            await run(Load(seed=16), [record], observer, kill)


def _distribute(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION citus")
        for (table,) in connection.execute(WITH_TENANT).fetchall():
            connection.execute("SELECT create_distributed_table(%s, 'tenant_id')", [table])
