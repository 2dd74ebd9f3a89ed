"""Turns, messages and usage over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hansard.server.edge import Edge
from hansard.settings import LimitSettings
from tests.samples import dialogue
from tests.server.applications import application, client_of

Api = httpx.AsyncClient
TURN: dict[str, Any] = {
    "turn_id": "t1",
    "messages": dialogue(2),
    "usage": [
        {
            "provider": "openai",
            "model": "gpt",
            "input_tokens": 10,
            "cached_tokens": 4,
            "output_tokens": 3,
            "cost_usd": "0.00942",
        }
    ],
}


@pytest.fixture
async def api(app: Edge) -> AsyncIterator[Api]:
    """A client, beside an empty session."""
    async with client_of(app) as client:
        await client.post("/v1/sessions", json={"session_id": "s"})
        yield client


async def append(api: Api, body: Any = None, **options: Any) -> httpx.Response:
    return await api.post("/v1/sessions/s/turns", json=body or TURN, **options)


async def test_turn_answers_201_and_again_200_with_the_same_body(api: Api) -> None:
    first = await append(api)
    again = await append(api)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json() == {
        "turn_id": "t1",
        "first_seq": 0,
        "last_seq": 1,
        "version": 2,
        "usage": {
            "calls": 1,
            "input_tokens": 10,
            "cached_tokens": 4,
            "cache_write_tokens": 0,
            "output_tokens": 3,
            "reasoning_tokens": 0,
            "cost_usd": "0.00942",
            "unpriced_calls": 0,
        },
    }


async def test_turn_with_other_content_answers_409(api: Api) -> None:
    await append(api)
    answer = await append(api, {**TURN, "messages": dialogue(1)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "turn_conflict")


@pytest.mark.parametrize("key", ["t7", '"t7"'])
async def test_idempotency_key_names_the_turn(api: Api, key: str) -> None:
    body = {"messages": dialogue(1)}
    first = await append(api, body, headers={"Idempotency-Key": key})
    again = await append(api, {**body, "turn_id": "t7"}, headers={"Idempotency-Key": key})
    assert (first.json()["turn_id"], again.status_code) == ("t7", 200)


async def test_idempotency_key_that_contradicts_the_body_answers_422(api: Api) -> None:
    answer = await append(api, headers={"Idempotency-Key": "t2"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_turn_id")


async def test_turn_of_an_unknown_session_answers_404_unless_it_is_to_be_made(api: Api) -> None:
    assert (await api.post("/v1/sessions/new/turns", json=TURN)).status_code == 404
    answer = await api.post("/v1/sessions/new/turns?create=true", json=TURN)
    assert answer.status_code == 201
    assert (await api.get("/v1/sessions/new")).json()["message_count"] == 2


async def test_expected_seq_says_where_the_winner_stands(api: Api) -> None:
    await append(api)
    for path, body in (
        ("turns", {"messages": dialogue(1), "expected_seq": 1}),
        ("messages", {"messages": dialogue(1), "expected_seq": 1}),
    ):
        answer = await api.post(f"/v1/sessions/s/{path}", json=body)
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "seq_conflict"
        assert answer.json()["error"]["details"]["next_seq"] == 2


async def test_concurrent_sendings_of_one_turn_are_one_turn(api: Api) -> None:
    answers = await asyncio.gather(*(append(api) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert (await api.get("/v1/sessions/s/usage")).json()["usage"]["calls"] == 1


async def test_turns_are_listed_by_pages(api: Api) -> None:
    for n in range(3):
        await append(api, {"turn_id": f"t{n}", "messages": dialogue(1), "status": "failed"})
    page = (await api.get("/v1/sessions/s/turns?limit=2")).json()
    assert [row["turn_id"] for row in page["turns"]] == ["t0", "t1"]
    assert page["turns"][0]["status"] == "failed"
    rest = await api.get("/v1/sessions/s/turns", params={"cursor": page["next_cursor"]})
    assert [row["turn_id"] for row in rest.json()["turns"]] == ["t2"]
    assert rest.json()["next_cursor"] is None


async def test_messages_are_appended_and_listed_both_ways(api: Api) -> None:
    answer = await api.post("/v1/sessions/s/messages", json={"messages": dialogue(5)})
    assert answer.status_code == 201
    assert answer.json() == {"first_seq": 0, "last_seq": 4, "version": 2}
    page = (await api.get("/v1/sessions/s/messages?limit=2")).json()
    assert [row["message"] for row in page["messages"]] == dialogue(2)
    assert page["messages"][1].keys() == {
        "seq",
        "message_id",
        "turn_id",
        "role",
        "created_at",
        "digest",
        "message",
    }
    after = (await api.get(f"/v1/sessions/s/messages?after={page['next_cursor']}")).json()
    assert [row["seq"] for row in after["messages"]] == [2, 3, 4]
    back = (await api.get("/v1/sessions/s/messages?order=desc&before=3")).json()
    assert [row["seq"] for row in back["messages"]] == [2, 1, 0]


async def test_usage_is_told_in_sum_and_by_model(api: Api) -> None:
    await append(api)
    answer = await api.post(
        "/v1/sessions/s/usage",
        json={"event_id": "e", "model": "other", "input_tokens": 1, "cost_usd": "1"},
    )
    assert answer.status_code == 200
    assert answer.json()["usage"]["cost_usd"] == "1.00942"
    again = await api.post(
        "/v1/sessions/s/usage",
        json={"event_id": "e", "model": "other", "input_tokens": 1, "cost_usd": "1"},
    )
    assert again.json() == answer.json()
    body = (await api.get("/v1/sessions/s/usage")).json()
    assert (body["turns"], body["usage"]["input_tokens"]) == (1, 11)
    parts = {part["model"]: part["usage"]["input_tokens"] for part in body["models"]}
    assert parts == {"gpt": 10, "other": 1}


async def test_page_limit_of_the_operator_bounds_every_page(record_url: str) -> None:
    limits = LimitSettings(page_limit=2)
    async with application(record_url, limits=limits) as app, client_of(app) as api:
        await api.post("/v1/sessions", json={"session_id": "long", "messages": dialogue(5)})
        page = (await api.get("/v1/sessions/long/messages?limit=4")).json()
        assert len(page["messages"]) == 2
        assert page["next_cursor"] == "1"
