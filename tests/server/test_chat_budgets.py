"""Budgets in front of a chat: refused before a model is called, or made to fit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.runtime.upstreams import FakeUpstream, answer, completion
from tests.samples import assistant, user
from tests.server.chats import MODEL, Chat, chatting

WHOLE = answer(json.dumps(completion(model=MODEL)).encode())
COST_NANOUSD = 9 * 150 + 2 * 600
QUESTION: Any = {"model": MODEL, "messages": [user("hi")]}
USD = 1_000_000_000


@pytest.fixture
def upstream() -> FakeUpstream:
    return FakeUpstream(WHOLE)


@pytest.fixture
async def chat(record_url: str, tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Chat]:
    async with chatting(record_url, tmp_path, upstream, output_bound_tokens=1_000) as chat:
        yield chat


async def test_refusal_says_which_budget_and_when_to_come_back(
    chat: Chat, upstream: FakeUpstream
) -> None:
    await chat.record.put_budget("daily", scope="tenant", limit_amount=100, period="day")
    with pytest.raises(openai.APIStatusError) as refused:
        await chat.client("s").chat.completions.create(**QUESTION)
    assert refused.value.status_code == 402
    headers = refused.value.response.headers
    assert {"x-session-id", "x-turn-id", "x-trace-id"} <= set(headers)
    body = refused.value.response.json()
    error = body["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "insufficient_quota")
    details = error["details"]
    assert (details["budget"], details["scope"], details["window"]) == ("daily", "tenant", "day")
    assert (details["limit"], details["remaining"]) == ("0.0000001", "0.0000001")
    assert float(details["required"]) > 0.0006
    assert details["resets_at"].endswith("Z")
    assert body["detail"] == {
        "error": "budget_exceeded",
        "scope": "tenant",
        "identifier": "default",
        "current_usd": 0,
        "limit_usd": 1e-7,
    }
    assert not upstream.asked
    assert not (await chat.record.list()).items  # nothing has happened
    assert not (await chat.record.list_holds(state="open")).items


@pytest.mark.parametrize("how", ["header", "query"])
async def test_call_is_made_to_fit(chat: Chat, upstream: FakeUpstream, how: str) -> None:
    await chat.record.put_budget("all", scope="tenant", limit_amount=100_000)
    wishes: Any = {
        "header": {"extra_headers": {"X-Budget-Fit": "clamp"}},
        "query": {"extra_query": {"fit": "clamp"}},
    }
    await chat.client("s").chat.completions.create(**QUESTION, **wishes[how])
    limit = upstream.asked[0].body["max_completion_tokens"]
    assert 16 <= limit < 1_000 / 6
    _, page = await chat.record.get_budget("all")
    (state,) = page.items
    assert (state.spent, state.held) == (COST_NANOUSD, 0)


async def test_limit_is_written_into_the_request(chat: Chat, upstream: FakeUpstream) -> None:
    completions = chat.client("s").chat.completions
    await completions.create(**QUESTION)
    assert "max_completion_tokens" not in upstream.asked[0].body
    await chat.record.put_budget("all", scope="tenant", limit_amount=USD)
    await completions.create(**QUESTION)
    assert upstream.asked[1].body["max_completion_tokens"] == 1_000
    await completions.create(**QUESTION, max_completion_tokens=7)
    assert upstream.asked[2].body["max_completion_tokens"] == 7


async def test_crossed_threshold_is_told_once(chat: Chat) -> None:
    await chat.record.put_budget("all", scope="tenant", limit_amount=1_200_000, warn_percents=[80])
    raw = chat.client("s").chat.completions.with_raw_response
    told = (await raw.create(**QUESTION)).headers["x-budget-warning"]
    assert told.startswith('"all";scope=tenant;percent=80;used="0.00')
    assert "x-budget-warning" not in (await raw.create(**QUESTION)).headers


async def test_model_without_a_price_is_refused_where_money_is_limited(
    chat: Chat, upstream: FakeUpstream
) -> None:
    completions = chat.client("s").chat.completions
    await completions.create(model="nobody-knows", messages=[{"role": "user", "content": "hi"}])
    await chat.record.put_budget("all", scope="tenant", limit_amount=USD)
    with pytest.raises(openai.APIStatusError) as refused:
        await completions.create(model="nobody-knows", messages=[{"role": "user", "content": "hi"}])
    assert (refused.value.status_code, refused.value.code) == (402, "unpriced_model")
    assert len(upstream.asked) == 1


async def test_tier_without_a_price_is_refused_where_money_is_limited(
    chat: Chat, upstream: FakeUpstream
) -> None:
    await chat.record.put_budget("all", scope="tenant", limit_amount=USD)
    with pytest.raises(openai.APIStatusError) as refused:
        await chat.client("s").chat.completions.create(**QUESTION, service_tier="scale")
    assert (refused.value.status_code, refused.value.code) == (402, "unpriced_model")
    assert not upstream.asked


async def test_price_is_that_of_the_model_that_answered(chat: Chat) -> None:
    await chat.client("s").chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "hi"}]
    )
    assert (await chat.record.get("s")).usage.cost_nanousd == COST_NANOUSD


async def test_fifty_calls_at_once_share_a_budget_for_ten(
    chat: Chat, upstream: FakeUpstream
) -> None:
    """Nobody is let in on what another has not spent yet."""
    await chat.record.put_budget("all", scope="tenant", unit="tokens", limit_amount=10_500)
    client = chat.client()
    answers = await asyncio.gather(
        *(client.chat.completions.create(**QUESTION) for _ in range(50)),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, openai.APIStatusError)]
    assert {each.status_code for each in refused} <= {402}
    _, page = await chat.record.get_budget("all")
    (state,) = page.items
    assert state.held == 0
    assert state.spent == 11 * len(upstream.asked)
    assert len(upstream.asked) == 50 - len(refused) >= 10


async def test_budget_of_a_session_is_its_own(chat: Chat, upstream: FakeUpstream) -> None:
    await chat.record.put_budget("each", scope="session", subject="*", limit_amount=1_010_000)
    await chat.client("a").chat.completions.create(**QUESTION)
    with pytest.raises(openai.APIStatusError) as refused:
        await chat.client("a").chat.completions.create(**QUESTION)
    assert refused.value.response.json()["detail"]["identifier"] == "a"
    await chat.client("b").chat.completions.create(**QUESTION)
    assert len(upstream.asked) == 2
    assert await chat.said("b") == [user("hi"), assistant("Hello")]
