"""Retention on a server: legal holds over HTTP, and what it removes by itself."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.core.actors import SCOPE_ALL_SESSIONS, SCOPE_SET_RETENTION, Actor
from hansard.core.retention import DAY_US, EVERY_TENANT
from hansard.server.context import Context
from hansard.server.edge import Edge
from hansard.server.logs import make_log
from hansard.server.retention_chore import RetentionChore
from hansard.service.retention import RetentionService
from hansard.service.sessions import DatabaseSessions
from hansard.settings import AccessSettings, ServerSettings, Settings
from tests.samples import dialogue
from tests.server.applications import application, client_of, keys_of

START_US = 1_770_000_000_000_000
SESSION = "/v1/sessions/s"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", SESSION, None),
        ("PUT", SESSION, {"messages": dialogue(1)}),
        ("POST", f"{SESSION}/revert", {"to_message_index": 1}),
    ],
)
async def test_nothing_is_removed_under_legal_hold(
    api: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    await api.post("/v1/sessions", json={"session_id": "s", "messages": dialogue(2)})
    await api.patch(SESSION, json={"legal_hold": True})
    before = (await api.get(SESSION)).json()
    answer = await api.request(method, path, json=body)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "legal_hold"
    assert answer.json()["error"]["details"] == {"session_id": "s"}
    assert (await api.get(SESSION)).json() == before
    await api.patch(SESSION, json={"legal_hold": False})
    assert (await api.request(method, path, json=body)).is_success


async def test_legal_hold_is_shown_wherever_a_session_is(api: httpx.AsyncClient) -> None:
    await api.post("/v1/sessions", json={"session_id": "s"})
    assert (await api.get(SESSION)).json()["legal_hold"] is False
    changed = (await api.patch(SESSION, json={"legal_hold": True})).json()
    assert (changed["legal_hold"], changed["changes"]) == (True, {"legal_hold": True})
    assert (await api.get(SESSION)).json()["legal_hold"] is True
    (listed,) = (await api.get("/v1/sessions")).json()["sessions"]
    assert listed["legal_hold"] is True


@pytest.mark.parametrize("value", [None, "true", 1])
async def test_legal_hold_is_true_or_false(api: httpx.AsyncClient, value: Any) -> None:
    await api.post("/v1/sessions", json={"session_id": "s"})
    assert (await api.patch(SESSION, json={"legal_hold": value})).status_code == 422


@asynccontextmanager
async def caller(app: Edge, owner: str, *scopes: str) -> AsyncIterator[httpx.AsyncClient]:
    key, _ = await keys_of(app).create("acme", owner, scopes)
    async with client_of(app, key) as client:
        yield client


async def test_only_a_scope_places_and_lifts_legal_holds(record_url: str) -> None:
    async with (
        application(record_url, access=AccessSettings(auth="key")) as app,
        caller(app, "ann") as ann,
        caller(app, "bob", SCOPE_SET_RETENTION) as bob,
        caller(app, "clerk", SCOPE_ALL_SESSIONS, SCOPE_SET_RETENTION) as clerk,
    ):
        await ann.post("/v1/sessions", json={"session_id": "s"})
        answer = await ann.patch(SESSION, json={"legal_hold": True})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert (await bob.patch(SESSION, json={"legal_hold": True})).status_code == 404
        assert (await clerk.patch(SESSION, json={"legal_hold": True})).status_code == 200
        assert (await ann.patch(SESSION, json={"legal_hold": False})).status_code == 403
        assert (await ann.patch(SESSION, json={"title": "T"})).status_code == 200
        assert (await ann.delete(SESSION)).status_code == 409


def sample(context: Context, name: str) -> float:
    """What the metrics say of retention."""
    (line,) = [
        line
        for line in context.metrics.write().decode().splitlines()
        if line.startswith(f"hansard_retention_{name} ")
    ]
    return float(line.rpartition(" ")[2])


async def test_server_removes_what_is_too_old_and_tells(record_url: str) -> None:
    now_us = START_US
    written = io.BytesIO()
    async with open_database(record_url) as opened:
        record = DatabaseSessions(opened.runner, clock=lambda: now_us)
        log = make_log(ServerSettings(), written)
        context = Context(record, Settings(), log=log, openapi=b"", docs=b"")
        chore = RetentionChore(context).chore()
        assert sample(context, "applied_timestamp_seconds") == 0
        for tenant in ("acme", "umbrella"):
            await record.acting_as(Actor(tenant)).create(session_id="secret-name")
        service = RetentionService(record.runner, clock=record.clock)
        await service.set_rule(EVERY_TENANT, "sessions", 7)
        await service.set_rule("umbrella", "sessions", None)
        now_us += 8 * DAY_US
        await chore.do()
        assert not await record.acting_as(Actor("acme")).exists("secret-name")
        assert await record.acting_as(Actor("umbrella")).exists("secret-name")
        assert sample(context, 'removed_total{kind="sessions"}') == 1
        assert sample(context, 'removed_total{kind="traces"}') == 0
        assert sample(context, "applied_timestamp_seconds") == now_us / 1_000_000
    (line,) = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (line["event"], line["sessions"], line["holds"]) == ("retention.applied", 1, 0)
    assert "acme" not in str(line)
