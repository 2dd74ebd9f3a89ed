"""Metrics of chat turns and of the usage that was recorded, whoever recorded it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.names import Names
from hansard.core.usage import NewUsage, UsageTotals
from hansard.runtime.agents.scripted import Scripted, read_script
from hansard.server.app import create_app
from hansard.server.edge import Edge
from hansard.settings import ChatSettings, TelemetrySettings
from hansard.store.tallies import MODELS_MAX, TENANTS_MAX, UsageTally
from tests.server.applications import QUIET, client_of, started

USAGE = '{"prompt_tokens": 7, "completion_tokens": 2}'
SCRIPT = f"""\
{{"text": "Hello there", "model": "parrot-2", "usage": {USAGE}}}
{{"text": "", "model": "parrot-2", "error": {{"message": "overloaded"}}, "status": 503}}
"""


@asynccontextmanager
async def chatting(url: str, folder: Path, **telemetry: Any) -> AsyncIterator[Edge]:
    settings = replace(
        QUIET,
        chat=ChatSettings(spool=str(folder / "spool")),
        telemetry=TelemetrySettings(**telemetry),
    )
    agent = Scripted(read_script(SCRIPT))
    async with started(create_app(open_database(url), settings, agent=agent)) as app:
        yield app


@pytest.fixture
async def app(record_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    async with chatting(record_url, tmp_path) as app:
        yield app


async def ask(api: httpx.AsyncClient, *, session_id: str = "s", **fields: Any) -> httpx.Response:
    messages = [{"role": "user", "content": "Hi"}]
    body = {"model": "what-i-like", "messages": messages, "session_id": session_id, **fields}
    answer = await api.post("/v1/chat/completions", json=body)
    await answer.aread()
    return answer


async def samples(api: httpx.AsyncClient, *prefixes: str) -> dict[str, float]:
    """What the metrics of these names say, sums of durations apart; labels by the alphabet."""
    lines = (await api.get("/metrics")).text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith(prefixes))
    return {name: float(value) for name, value in found.items() if "_sum" not in name}


async def test_chat_turns_are_counted_by_the_model_that_answered(api: httpx.AsyncClient) -> None:
    assert (await ask(api)).status_code == 200
    assert (await ask(api, session_id="t", stream=True)).status_code == 200
    assert (await ask(api)).status_code == 503
    assert (await ask(api, n=2)).status_code == 422
    found = await samples(api, "agent_requests")
    assert found == {
        'agent_requests_total{model="parrot-2",status="ok",stream="false"}': 1,
        'agent_requests_total{model="parrot-2",status="ok",stream="true"}': 1,
        'agent_requests_total{model="parrot-2",status="error",stream="false"}': 1,
        'agent_requests_total{model="unknown",status="refused",stream="false"}': 1,
    }


async def test_chat_turns_and_their_calls_are_timed(api: httpx.AsyncClient) -> None:
    await ask(api)
    await ask(api, n=2)
    found = await samples(api, "agent_request_duration", "agent_model_call_duration")
    counts = {name: value for name, value in found.items() if "_count" in name}
    assert counts == {
        'agent_request_duration_seconds_count{model="parrot-2"}': 1,
        'agent_request_duration_seconds_count{model="unknown"}': 1,
        'agent_model_call_duration_seconds_count{model="parrot-2"}': 1,
    }


async def test_tokens_of_a_chat_turn_are_counted_once(api: httpx.AsyncClient) -> None:
    await ask(api)
    assert await samples(api, "agent_tokens", "hansard_model_calls", "hansard_unpriced") == {
        'agent_tokens_total{direction="prompt",model="parrot-2"}': 7,
        'agent_tokens_total{direction="completion",model="parrot-2"}': 2,
        'hansard_model_calls_total{model="parrot-2"}': 1,
        'hansard_unpriced_calls_total{model="parrot-2"}': 1,
    }


async def test_usage_that_clients_record_is_counted_once(api: httpx.AsyncClient) -> None:
    call = {
        "event_id": "call-1",
        "model": "gpt-4o",
        "input_tokens": 100,
        "cached_tokens": 40,
        "output_tokens": 9,
        "reasoning_tokens": 3,
        "cost_usd": "0.5",
    }
    turn = {"messages": [{"role": "user", "content": "Hi"}], "usage": [call], "turn_id": "t"}
    other = {"event_id": "call-2", "output_tokens": 1}
    for _ in range(2):  # the second time it is known
        await api.post("/v1/sessions/s/turns?create=true", json=turn)
        await api.post("/v1/sessions/s/usage", json=other)
        await api.post("/v1/sessions/s/usage", json=call)
    assert await samples(api, "agent_tokens", "hansard_tokens", "hansard_cost") == {
        'agent_tokens_total{direction="prompt",model="gpt-4o"}': 100,
        'agent_tokens_total{direction="completion",model="gpt-4o"}': 9,
        'agent_tokens_total{direction="prompt",model="unknown"}': 0,
        'agent_tokens_total{direction="completion",model="unknown"}': 1,
        'hansard_tokens_total{kind="input",model="gpt-4o"}': 100,
        'hansard_tokens_total{kind="cached",model="gpt-4o"}': 40,
        'hansard_tokens_total{kind="cache_write",model="gpt-4o"}': 0,
        'hansard_tokens_total{kind="output",model="gpt-4o"}': 9,
        'hansard_tokens_total{kind="reasoning",model="gpt-4o"}': 3,
        **{
            f'hansard_tokens_total{{kind="{kind}",model="unknown"}}': float(kind == "output")
            for kind in ("input", "cached", "cache_write", "output", "reasoning")
        },
        'hansard_cost_nanousd_total{model="gpt-4o"}': 500_000_000,
        'hansard_cost_nanousd_total{model="unknown"}': 0,
    }


async def test_corrections_are_not_counted(api: httpx.AsyncClient) -> None:
    await api.post("/v1/sessions", json={"session_id": "s"})
    first = {"event_id": "a", "model": "m", "input_tokens": 5}
    await api.post("/v1/sessions/s/usage", json=first)
    wrong = {"event_id": "b", "corrects": "a", "model": "m", "input_tokens": 4}
    assert (await api.post("/v1/sessions/s/usage", json=wrong)).is_success
    found = await samples(api, "agent_tokens")
    assert found['agent_tokens_total{direction="prompt",model="m"}'] == 5


async def test_tenants_are_told_apart_if_that_is_wanted(sqlite_url: str, tmp_path: Path) -> None:
    async with (
        chatting(sqlite_url, tmp_path, metrics_tenant_label=True) as app,
        client_of(app) as api,
    ):
        for tenant, tokens in (("acme", 5), ("zenith", 6)):
            record = app.context.record.acting_as(Actor(tenant, None, sees_all=True))
            await record.settle_turn(
                None,
                [],
                usage=[NewUsage(event_id=f"call-{tenant}", model="m", input_tokens=tokens)],
                turn_id="t",
                status="completed",
                holds=[],
                at_us=record.clock(),
            )
        assert await samples(api, "agent_tokens", "hansard_cost") == {
            'agent_tokens_total{direction="prompt",model="m",tenant_id="acme"}': 5,
            'agent_tokens_total{direction="completion",model="m",tenant_id="acme"}': 0,
            'agent_tokens_total{direction="prompt",model="m",tenant_id="zenith"}': 6,
            'agent_tokens_total{direction="completion",model="m",tenant_id="zenith"}': 0,
            'hansard_cost_nanousd_total{model="m",tenant_id="acme"}': 0,
            'hansard_cost_nanousd_total{model="m",tenant_id="zenith"}': 0,
        }


def test_models_and_tenants_without_end_share_one_name() -> None:
    tally = UsageTally()
    used = UsageTotals(calls=1, input_tokens=2)
    for number in range(2 * MODELS_MAX):
        tally.add({(f"tenant-{number}", f"model-{number}"): used})
    sums = tally.read()
    assert {tenant for tenant, _ in sums} == {
        "other",
        *(f"tenant-{number}" for number in range(TENANTS_MAX)),
    }
    assert len({model for _, model in sums}) == MODELS_MAX + 1
    assert sums["other", "other"].input_tokens == 2 * MODELS_MAX


@pytest.mark.parametrize("name", ["half \ud800", "two\nlines", "x" * 1_000])
def test_name_that_cannot_be_shown_is_other(name: str) -> None:
    assert Names(1).of(name) == "other"
