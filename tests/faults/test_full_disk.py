"""Row 8: there is no room left, and then there is again."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import hansard
from hansard.compose import open_database
from hansard.service.threads import ThreadService
from tests.faults.harness import Load, run
from tests.faults.history import History
from tests.faults.served import Service
from tests.faults.test_killed_chat import ready
from tests.faults.test_killed_threads import check, until_told, watch
from tests.postgres import PostgresCluster

pytestmark = pytest.mark.faults

ROUNDS = 5
DISK_MIB = 24


async def test_service_on_sqlite_waits_for_room(sqlite_url: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of the disk; it needs no privilege."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))

    async def fill(history: History) -> None:
        for _ in range(ROUNDS):
            await history.more(50)
            largest = max(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
            _limit(service, largest)
            await history.more_failures(5)
            _limit(service, resource.RLIM_INFINITY)
        await history.more(50)

    with Service(sqlite_url, tmp_path) as service:
        async with (
            hansard.open(service.url, retry_deadline_s=0.5) as record,
            open_database(sqlite_url) as observer,
        ):
            await run(Load(seed=8), [record], observer, fill)


async def test_turn_of_a_thread_waits_for_room(sqlite_url: str, tmp_path: Path) -> None:
    """While an agent speaks nothing can be written, for less time than its lease has."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    script = tmp_path / "script"
    script.write_text(json.dumps({"text": "one two three " * 20, "pause_s": 0.05}))
    environment = {"HANSARD_SCRIPT": str(script), "HANSARD_LEASE_S": "60"}
    seen: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        service = stack.enter_context(Service(sqlite_url, tmp_path, environment))
        await ready(service)
        record = await stack.enter_async_context(open_database(sqlite_url))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        api = await stack.enter_async_context(httpx.AsyncClient(base_url=service.url))
        name = (await api.post("/v1/threads", json={})).json()["id"]
        watching = group.create_task(watch(service.url, name, seen.append))
        await api.post(f"/v1/threads/{name}/turns", json={"prompt": "count"}, timeout=60)
        await until_told(seen, "item.delta")
        _limit(service, max(file.stat().st_size for file in path.parent.glob(f"{path.name}*")))
        while (await api.post("/v1/threads", json={}, timeout=60)).is_success:
            pass
        _limit(service, resource.RLIM_INFINITY)
        await until_told(seen, "turn.completed")
        watching.cancel()
        await check(record, name, seen)
        (turn,) = await ThreadService(record.runner).list_turns(name)
        assert turn.status == "completed"


async def test_postgres_waits_for_room() -> None:
    """A small disk of its own, filled to the last byte by somebody else."""
    with PostgresCluster(durable=True) as cluster, small_disk(cluster) as disk:
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        cluster.execute("ALTER DATABASE template1 SET TABLESPACE small")
        url = cluster.create_database()

        async def fill(history: History) -> None:
            for _ in range(ROUNDS):
                await history.more(50)
                ballast = disk / "ballast"
                await asyncio.to_thread(_write_until_full, ballast)
                await history.more_failures(5)
                ballast.unlink()
            await history.more(50)

        async with (
            open_database(url, retry_deadline_s=0.5) as record,
            open_database(url) as observer,
        ):
            await run(Load(seed=80), [record], observer, fill)


@contextmanager
def small_disk(cluster: PostgresCluster) -> Iterator[Path]:
    """Mount a small file system for a server's account, or skip the test."""
    folder = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    owner = cluster.folder.stat()
    options = f"size={DISK_MIB}m,uid={owner.st_uid},gid={owner.st_gid},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "hansard", str(folder)]
    try:
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small disk takes root and its privileges")
        try:
            yield folder
        finally:
            cluster.stop()
            subprocess.run(["umount", folder], check=True)
    finally:
        shutil.rmtree(folder)


def _limit(service: Service, size_bytes: int) -> None:
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def _write_until_full(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            return
