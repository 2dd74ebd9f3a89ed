"""Metrics of threads: what lives in a server, what waits, what was written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from hansard.core.actors import Actor
from hansard.server.edge import Edge
from hansard.settings import ChatSettings
from tests.runtime.logs import follow
from tests.server.applications import application, client_of

BOOK = {"name": "book", "result": "booked", "approval": True}


@pytest.fixture
async def app(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    script = tmp_path / "script"
    script.write_text(json.dumps({"text": "two", "tools": [BOOK]}))
    chat = ChatSettings(script=str(script), spool=str(tmp_path / "spool"))
    async with application(sqlite_url, chat=chat) as app:
        yield app


@pytest.fixture
async def api(app: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as api:
        yield api


async def metrics(api: httpx.AsyncClient) -> Callable[[str], float]:
    lines = (await api.get("/metrics")).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return lambda name: float(values[f"hansard_{name}"])


async def test_what_lives_in_threads_is_counted(app: Edge, api: httpx.AsyncClient) -> None:
    value = await metrics(api)
    waits = 'thread_waits{kind="approval"}'
    assert [value(name) for name in ("engines", "thread_turns", waits)] == [0, 0, 0]
    thread_id = (await api.post("/v1/threads", json={})).json()["id"]
    await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "hi"})
    runtime = app.context.runtime
    assert runtime is not None
    thread = await runtime.threads(Actor()).get(thread_id)
    async with aclosing(follow(runtime.source(Actor(), thread, after=0))) as events:
        async for event in events:
            if event["event"] == "approval.required":
                break
        value = await metrics(api)
        names = ("engines", "thread_turns", waits, "thread_readers", "leases_lost_total")
        assert [value(name) for name in names] == [1, 1, 1, 1, 0]
    (asked,) = (await api.get(f"/v1/threads/{thread_id}")).json()["pending_approvals"]
    await api.post(f"/v1/approvals/{asked['id']}", json={"decision": "allow"})
    saved = await api.put("/v1/sessions?wait=turn", json={"thread_id": thread_id})
    assert saved.status_code == 200
    value = await metrics(api)
    assert [value(name) for name in names] == [1, 0, 0, 0, 0]
    for kind in ("turn.started", "turn.completed", "approval.required", "approval.decided"):
        assert value(f'thread_events_total{{kind="{kind}"}}') == 1
    assert value("snapshots_total") == 1
    assert thread_id not in (await api.get("/metrics")).text


async def test_server_without_threads_tells_nothing_of_them(sqlite_url: str) -> None:
    async with application(sqlite_url) as app, client_of(app) as api:
        assert "hansard_engines" not in (await api.get("/metrics")).text
