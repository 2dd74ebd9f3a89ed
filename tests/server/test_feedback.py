"""Feedback over HTTP: the wire that existing clients speak, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hansard.server.edge import Edge
from hansard.settings import AccessSettings, LimitSettings
from tests.places import Place
from tests.server.applications import application, client_of, keys_of

JSON = {"content-type": "application/json"}
GIVEN = {
    "rating": -1,
    "trace_id": "trace_0123456789abcdef",
    "session_id": "s",
    "comment": "wrong",
    "correction": "right",
    "model_id": "m",
    "latency_ms": 12.5,
    "turn_index": 3,
    "agent_type": "support",
}


async def add(api: httpx.AsyncClient, **fields: Any) -> str:
    answer = await api.post("/v1/feedback", json={"rating": 1, **fields})
    assert answer.status_code == 201
    feedback_id: str = answer.json()["feedback_id"]
    return feedback_id


async def ids(api: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await api.get(f"/v1/feedback{query}")
    assert answer.status_code == 200
    return [item["feedback_id"] for item in answer.json()]


async def test_answers_have_the_fields_that_clients_read(api: httpx.AsyncClient) -> None:
    made = await api.post("/v1/feedback", json=GIVEN)
    assert (made.status_code, list(made.json())) == (201, ["feedback_id"])
    feedback_id = made.json()["feedback_id"]
    assert feedback_id.startswith("fb_")
    found = (await api.get(f"/v1/feedback/{feedback_id}")).json()
    created_at = found.pop("created_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", created_at)
    assert found == {**GIVEN, "feedback_id": feedback_id, "user_id": "anonymous"}
    listed = (await api.get("/v1/feedback")).json()
    assert listed == [{**found, "created_at": created_at}]
    (row,) = (await api.get("/v1/feedback/stats")).json()
    assert row == {
        "window_start": f"{created_at[:10]}T00:00:00.000000Z",
        "window_end": row["window_end"],
        "agent_type": "support",
        "thumbs_up": 0,
        "thumbs_down": 1,
        "total": 1,
    }


async def test_what_only_the_server_says_cannot_be_given(api: httpx.AsyncClient) -> None:
    feedback_id = await add(
        api, feedback_id="fb_mine", user_id="boss", created_at="2001-01-01T00:00:00Z", more=1
    )
    found = (await api.get(f"/v1/feedback/{feedback_id}")).json()
    assert (feedback_id == "fb_mine", found["user_id"]) == (False, "anonymous")
    assert not found["created_at"].startswith("2001")
    assert re.fullmatch(r"trace_[0-9a-f]{16}", found["trace_id"])


async def test_patch_leaves_what_is_null(api: httpx.AsyncClient) -> None:
    feedback_id = await add(api, **GIVEN)
    before = (await api.get(f"/v1/feedback/{feedback_id}")).json()
    for change, expected in (
        ({}, {}),
        ({"rating": None, "comment": None, "correction": None}, {}),
        ({"rating": 1, "surprise": 7}, {"rating": 1}),
        ({"comment": ""}, {"comment": ""}),
    ):
        answer = await api.patch(f"/v1/feedback/{feedback_id}", json=change)
        before |= expected
        assert (answer.status_code, answer.json()) == (200, before)


async def test_list_is_filtered_by_its_query(api: httpx.AsyncClient) -> None:
    first, second = await add(api, **GIVEN), await add(api)
    for name, value in GIVEN.items():
        if name in {"trace_id", "session_id", "model_id", "agent_type", "rating"}:
            assert await ids(api, f"?{name}={value}") == [first]
    assert await ids(api, "?user_id=anonymous") == [second, first]
    assert await ids(api, "?user_id=boss") == []
    assert await ids(api, "?since=2999-01-01T00:00:00Z") == []
    assert await ids(api, "?until=2999-01-01T00:00:00") == [second, first]  # as naive clients write
    assert await ids(api, "?since=2001-01-01T00:00:00%2B02:00&limit=1&offset=1") == [first]
    assert await ids(api, "?utm_source=x") == [second, first]


async def test_header_says_where_a_list_goes_on(api: httpx.AsyncClient) -> None:
    made = [await add(api) for _ in range(5)][::-1]
    first = await api.get("/v1/feedback?limit=2")
    cursor = first.headers["x-next-cursor"]
    second = await api.get("/v1/feedback", params={"limit": 2, "cursor": cursor})
    last = await api.get("/v1/feedback?limit=2&offset=4")
    assert "x-next-cursor" not in last.headers
    found = [item["feedback_id"] for page in (first, second, last) for item in page.json()]
    assert found == made


async def test_page_is_as_large_as_the_operator_allows(record_url: str) -> None:
    async with (
        application(record_url, limits=LimitSettings(page_limit=2)) as app,
        client_of(app) as api,
    ):
        for _ in range(3):
            await add(api)
        answer = await api.get("/v1/feedback?limit=1000")
        assert (len(answer.json()), "x-next-cursor" in answer.headers) == (2, True)


BODIES = {
    "rating 0": {"rating": 0},
    "rating 2": {"rating": 2},
    "rating true": {"rating": True},
    "rating text": {"rating": "1"},
    "rating half": {"rating": 0.5},
    "no rating": {"comment": "x"},
    "null rating": {"rating": None},
    "trace id": {"rating": 1, "trace_id": "a/b"},
    "empty trace id": {"rating": 1, "trace_id": ""},
    "session id": {"rating": 1, "session_id": 7},
    "long session id": {"rating": 1, "session_id": "x" * 257},
    "latency": {"rating": 1, "latency_ms": -1},
    "huge latency": {"rating": 1, "latency_ms": 1e300},
    "turn": {"rating": 1, "turn_index": -1},
    "huge turn": {"rating": 1, "turn_index": 2**60},
    "fractional turn": {"rating": 1, "turn_index": 1.5},
    "long comment": {"rating": 1, "comment": "x" * 100_001},
    "comment object": {"rating": 1, "comment": {}},
    "list": [],
}
TEXTS = {
    "NaN": b'{"rating":1,"latency_ms":NaN}',
    "infinity": b'{"rating":1,"latency_ms":1e999}',
    "surrogate": b'{"rating":1,"comment":"\\ud83d"}',
    "NUL": b'{"rating":1,"comment":"\\u0000"}',
    "twice": b'{"rating":1,"rating":-1}',
    "nothing": b"",
}
CONTENTS = {name: json.dumps(body).encode() for name, body in BODIES.items()} | TEXTS
QUERIES = [
    "?limit=0",
    "?limit=-1",
    "?limit=1001",
    "?limit=ten",
    "?offset=-1",
    "?offset=1.5",
    "?since=yesterday",
    "?since=2026-01-01",
    "?since=2026-13-01T00:00:00Z",
    "?until=",
    "?rating=0",
    "?rating=up",
    "?trace_id=%00",
    "?session_id=%ff",
    "?user_id=" + "x" * 257,
    "?cursor=forged",
    "/stats?since=soon",
    "/stats?until=0000-01-01T00:00:00Z",
    "/stats?agent_type=%00",
    "/a%20b",
    "/" + "x" * 129,
]


@pytest.fixture
def place(record_url: str) -> Place:
    return Place(kind="", url="", database_url=record_url)


async def test_bad_feedback_is_refused_and_nothing_kept(
    api: httpx.AsyncClient, place: Place
) -> None:
    feedback_id = await add(api, **GIVEN)
    before = place.dump()
    told = {
        name: (await api.post("/v1/feedback", content=content, headers=JSON)).status_code
        for name, content in CONTENTS.items()
    }
    assert told == dict.fromkeys(CONTENTS, 422)
    for content in (b'{"rating":0}', b'{"comment":"\\u0000"}', b'{"correction":7}', b"[]", b""):
        answer = await api.patch(f"/v1/feedback/{feedback_id}", content=content, headers=JSON)
        assert answer.status_code == 422, content
    assert place.dump() == before


async def test_bad_queries_are_refused(api: httpx.AsyncClient) -> None:
    told = {query: (await api.get(f"/v1/feedback{query}")).status_code for query in QUERIES}
    assert told == dict.fromkeys(QUERIES, 422)


@pytest.mark.parametrize("window", ["month", "", "DAY", "day,hour", "%00"])
async def test_other_windows_are_a_bad_request(api: httpx.AsyncClient, window: str) -> None:
    answer = await api.get(f"/v1/feedback/stats?window={window}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_window")


async def test_unknown_feedback_is_not_found(api: httpx.AsyncClient) -> None:
    for answer in (
        await api.get("/v1/feedback/fb_unknown"),
        await api.patch("/v1/feedback/fb_unknown", json={"rating": 1}),
        await api.patch("/v1/feedback/fb_unknown", json={}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "feedback_not_found")


@pytest.fixture
async def guarded(record_url: str) -> AsyncIterator[Edge]:
    async with application(record_url, access=AccessSettings(auth="key")) as app:
        yield app


async def test_feedback_belongs_to_who_gives_it(guarded: Edge) -> None:
    keys = keys_of(guarded)
    ann, _ = await keys.create("acme", "ann")
    bob, _ = await keys.create("acme", "bob")
    auditor, _ = await keys.create("acme", "auditor", ["sessions:all"])
    async with (
        client_of(guarded, ann) as anns,
        client_of(guarded, bob) as bobs,
        client_of(guarded, auditor) as auditors,
    ):
        feedback_id = await add(anns, user_id="bob")
        bobs_own = await add(bobs)
        assert (await anns.get(f"/v1/feedback/{feedback_id}")).json()["user_id"] == "ann"
        assert await ids(anns) == [feedback_id]
        assert await ids(bobs) == await ids(bobs, "?user_id=bob") == [bobs_own]
        assert await ids(bobs, "?user_id=ann") == []
        assert await ids(auditors) == [bobs_own, feedback_id]
        assert await ids(auditors, "?user_id=ann") == [feedback_id]
        assert (await bobs.get("/v1/feedback/stats")).json()[0]["total"] == 1
        assert (await auditors.get("/v1/feedback/stats")).json()[0]["total"] == 2
