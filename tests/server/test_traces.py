"""Traces over HTTP: the wire that existing clients speak, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hansard.server.edge import Edge
from hansard.settings import AccessSettings
from tests.places import Place
from tests.server.applications import application, client_of, keys_of

JSON = {"content-type": "application/json"}
SPAN = {
    "trace_id": "t",
    "span_id": "a",
    "parent_span_id": None,
    "name": "model_call",
    "start_time": 1.5,
    "end_time": 2.0,
    "status": "ok",
    "attributes": {"prompt_tokens": 3, "z": {"b": 1, "a": [None, 1.0]}},
    "events": [{"name": "first_token"}],
}
GIVEN = {
    "trace_id": "t",
    "started_at": "2026-01-05T00:00:00.000001+00:00",
    "ended_at": "2026-01-05T00:00:01+00:00",
    "model": "m",
    "session_id": "s",
    "status": "ok",
    "spans": [SPAN],
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**GIVEN, **fields}


def with_span(**fields: Any) -> dict[str, Any]:
    return {**GIVEN, "spans": [{**SPAN, **fields}]}


async def ids(api: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await api.get(f"/v1/traces{query}")
    assert answer.status_code == 200
    return [item["trace_id"] for item in answer.json()]


@pytest.fixture
def place(record_url: str) -> Place:
    return Place(kind="", url="", database_url=record_url)


async def test_trace_goes_out_as_it_came_in(api: httpx.AsyncClient) -> None:
    saved = await api.post("/v1/traces", json=GIVEN)
    assert (saved.status_code, saved.json()) == (201, {"trace_id": "t", "saved": True})
    found = await api.get("/v1/traces/t")
    assert found.headers["content-type"] == "application/json"
    assert json.dumps(found.json()) == json.dumps(GIVEN)
    assert (await api.get("/v1/traces")).json() == [
        {
            **{name: value for name, value in GIVEN.items() if name != "spans"},
            "duration_ms": 500.0,
            "span_count": 1,
            "tool_calls": 0,
            "prompt_tokens": 3,
            "completion_tokens": None,
        }
    ]


async def test_little_is_needed(api: httpx.AsyncClient) -> None:
    body = {
        "trace_id": "t",
        "started_at": "2026-01-05T00:00:00Z",
        "spans": [{"span_id": "a", "surprise": 1}],
        "surprise": 1,
    }
    assert (await api.post("/v1/traces", json=body)).status_code == 201
    assert (await api.get("/v1/traces/t")).json() == {
        "trace_id": "t",
        "started_at": "2026-01-05T00:00:00Z",
        "ended_at": None,
        "model": None,
        "session_id": None,
        "status": "ok",
        "spans": [
            {
                "trace_id": "t",
                "span_id": "a",
                "parent_span_id": None,
                "name": "",
                "start_time": 0.0,
                "end_time": None,
                "status": "ok",
                "attributes": {},
                "events": [],
            }
        ],
    }


async def test_trace_may_be_as_long_as_a_history(api: httpx.AsyncClient) -> None:
    body = with_span(attributes={"prompt": "x" * 3_000_000})
    assert (await api.post("/v1/traces", json=body)).status_code == 201
    assert (await api.get("/v1/traces/t")).json() == body


async def test_list_is_filtered_by_its_query(api: httpx.AsyncClient) -> None:
    for n, session_id in enumerate(("s", "s", "event:/hooks/x")):
        body = changed(
            trace_id=f"t{n}",
            started_at=f"2026-01-05T00:00:0{n}Z",
            session_id=session_id,
            status=("error", "ok", "ok")[n],
            model=f"m{n}",
        )
        assert (await api.post("/v1/traces", json=body)).status_code == 201
    assert await ids(api) == ["t2", "t1", "t0"]
    assert await ids(api, "?session_id=s") == ["t1", "t0"]
    assert await ids(api, "?session_id=event%3A%2Fhooks%2Fx") == ["t2"]
    assert await ids(api, "?session_id=s&status=ok") == ["t1"]
    assert await ids(api, "?model=m0") == ["t0"]
    assert await ids(api, "?since=2026-01-05T00:00:01&until=2026-01-05T00:00:02Z") == ["t1"]
    assert await ids(api, "?limit=1&offset=1") == ["t1"]
    first = await api.get("/v1/traces?limit=2")
    cursor = first.headers["x-next-cursor"]
    last = await api.get("/v1/traces", params={"cursor": cursor})
    assert [item["trace_id"] for item in last.json()] == ["t0"]
    assert "x-next-cursor" not in last.headers


BODIES = {
    "no id": {"started_at": "2026-01-05T00:00:00Z"},
    "no start": {"trace_id": "t"},
    "null start": changed(started_at=None),
    "number": changed(started_at=1_767_571_200),
    "word": changed(started_at="yesterday"),
    "month": changed(started_at="2026-13-05T00:00:00Z"),
    "day alone": changed(started_at="2026-01-05"),
    "empty end": changed(ended_at=""),
    "end": changed(ended_at="2026-01-05T25:00:00Z"),
    "id": changed(trace_id="a/b"),
    "id number": changed(trace_id=7),
    "model": changed(model=["m"]),
    "status": changed(status=None),
    "spans": changed(spans={}),
    "span": changed(spans=[7]),
    "span without id": changed(spans=[{"name": "x"}]),
    "span with empty id": with_span(span_id=""),
    "span with null id": with_span(span_id=None),
    "span times": with_span(start_time="now"),
    "span attributes": with_span(attributes=[]),
    "span events": with_span(events=[1]),
    "list": [],
}
TEXTS = {
    name: json.dumps(with_span(attributes={"x": "PLACE"})).replace('"PLACE"', text).encode()
    for name, text in {
        "NaN": "NaN",
        "infinity": "1e999",
        "surrogate": '"\\ud83d"',
        "NUL": '"\\u0000"',
        "depth": "[" * 70 + "]" * 70,
        "digits": "9" * 5000,
    }.items()
}


async def test_bad_traces_are_refused_and_nothing_kept(
    api: httpx.AsyncClient, place: Place
) -> None:
    await api.post("/v1/traces", json=GIVEN)
    before = place.dump()
    contents = {name: json.dumps(body).encode() for name, body in BODIES.items()} | TEXTS
    told = {
        name: (await api.post("/v1/traces", content=content, headers=JSON)).status_code
        for name, content in contents.items()
    }
    assert told == dict.fromkeys(contents, 422)
    assert place.dump() == before


async def test_bad_queries_are_refused(api: httpx.AsyncClient) -> None:
    queries = [
        "?limit=0",
        "?limit=-1",
        "?limit=1001",
        "?offset=-1",
        "?session_id=%00",
        "?since=soon",
        "?until=2026-02-30T00:00:00Z",
        "?cursor=forged",
        "/a%20b",
        "/" + "x" * 129,
    ]
    told = {query: (await api.get(f"/v1/traces{query}")).status_code for query in queries}
    assert told == dict.fromkeys(queries, 422)


async def test_unknown_trace_is_not_found(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/traces/unknown")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "trace_not_found")


@pytest.fixture
async def guarded(record_url: str) -> AsyncIterator[Edge]:
    async with application(record_url, access=AccessSettings(auth="key")) as app:
        yield app


async def test_trace_of_another_is_not_overwritten(guarded: Edge) -> None:
    """The answer is that of reading it: no route says more of another's trace."""
    keys = keys_of(guarded)
    tokens = [(await keys.create("acme", owner))[0] for owner in ("ann", "bob")]
    stranger, _ = await keys.create("umbrella", "ann", ["sessions:all"])
    async with (
        client_of(guarded, tokens[0]) as ann,
        client_of(guarded, tokens[1]) as bob,
        client_of(guarded, stranger) as other,
    ):
        assert (await ann.post("/v1/traces", json=GIVEN)).status_code == 201
        refused = await bob.post("/v1/traces", json=changed(model="bob's"))
        assert refused.status_code == 404
        assert refused.content == (await bob.get("/v1/traces/t")).content
        assert await ids(bob) == await ids(bob, "?session_id=s") == []
        assert (await other.post("/v1/traces", json=changed(model="other"))).status_code == 201
        assert (await ann.get("/v1/traces/t")).json() == GIVEN
