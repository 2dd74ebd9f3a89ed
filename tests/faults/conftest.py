"""Records under fault, and the one PostgreSQL server that may be killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresCluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[PostgresCluster]:
    """A server of our own with its usual rules for durability; tests may crash it."""
    with PostgresCluster(durable=True) as cluster:
        yield cluster


@pytest.fixture
def cluster_url(cluster: PostgresCluster) -> Iterator[str]:
    """An empty database on the server that may be killed."""
    url = cluster.create_database()
    yield url
    cluster.drop_database(url)
