"""Row 17: PgBouncer between us and the server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest

from hansard.compose import open_database
from hansard.store.durability import diagnose
from hansard.store.opening import make_engine
from tests.faults.harness import Load, run
from tests.faults.history import History
from tests.postgres import PostgresCluster

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
ROUNDS = 10
CONFIGURATION = """
[databases]
* = host={server} user=hansard

[pgbouncer]
pool_mode = {mode}
auth_type = any
listen_addr =
listen_port = 5432
unix_socket_dir = {folder}
max_client_conn = 500
default_pool_size = 60
ignore_startup_parameters = options
"""

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed"),
]


class Pooler:
    """A PgBouncer before a server, reached by ``url``."""

    def __init__(self, cluster: PostgresCluster, url: str, mode: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pool-", dir="/tmp"))
        self._runner = cluster._runner
        self._process: subprocess.Popen[Any] | None = None
        self.url = url.replace(str(cluster.folder), str(self._folder))
        self._file = self._folder / "pgbouncer.ini"
        where = {"server": cluster.folder, "folder": self._folder}
        self._file.write_text(CONFIGURATION.format(mode=mode, **where))
        owner = cluster.folder.stat()
        for path in (self._folder, self._file):
            os.chown(path, owner.st_uid, owner.st_gid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it; callers try again until it listens."""
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [str(PROGRAM), str(self._file)], stdout=log, stderr=log, **self._runner
            )

    def kill(self) -> None:
        """End it without warning."""
        assert self._process
        self._process.kill()
        self._process.wait()


async def test_turns_outlive_a_pooler(cluster: PostgresCluster, cluster_url: str) -> None:
    async def restart(history: History) -> None:
        for _ in range(ROUNDS):
            await history.more(20)
            await asyncio.to_thread(pooler.kill)
            pooler.start()

    with Pooler(cluster, cluster_url, "session") as pooler:
        async with open_database(pooler.url) as record, open_database(cluster_url) as observer:
            history = await run(Load(seed=17), [record], observer, restart)
    assert not any(state.startswith(("26", "42")) for state in history.failures), "prepared"


def test_pooling_by_transaction_is_reported(cluster: PostgresCluster, cluster_url: str) -> None:
    """What one client prepares, another one meets, or misses."""
    with Pooler(cluster, cluster_url, "transaction") as pooler:
        engine = make_engine(pooler.url, deadline_s=10.0)
        found = [one for _ in range(3) for one in diagnose(engine) if one.name == "pooler"]
        assert "error" in {one.severity for one in found}
