"""Bad input: a clear error in one shape, and nothing written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from hansard.server.edge import Edge
from hansard.server.endpoints import ENDPOINTS
from tests.places import Place
from tests.samples import dialogue
from tests.server.applications import client_of

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Bad:
    """A request that is refused."""

    status: int
    code: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path[:40]} {self.content[:40]!r} {self.code}"


def bad_json(content: bytes) -> list[Bad]:
    """The same content in every body that is JSON."""
    return [
        Bad(422, "invalid_json", method, path, content, JSON)
        for method, path in (
            ("POST", "/v1/sessions"),
            ("PUT", "/v1/sessions/s"),
            ("PATCH", "/v1/sessions/s"),
            ("POST", "/v1/sessions/s/messages"),
            ("POST", "/v1/sessions/s/turns"),
            ("POST", "/v1/sessions/s/usage"),
            ("POST", "/v1/sessions/s/fork"),
            ("POST", "/v1/sessions/s/revert"),
            ("POST", "/v1/traces"),
            ("POST", "/v1/feedback"),
            ("PATCH", "/v1/feedback/fb_unknown"),
        )
    ]


def message(text: str) -> bytes:
    return f'{{"messages":[{{"role":"user","content":{text}}}]}}'.encode()


def body(status: int, code: str, method: str, path: str, value: Any) -> Bad:
    return Bad(status, code, method, path, json.dumps(value).encode(), JSON)


def refused(code: str, path: str, value: Any) -> Bad:
    return body(422, code, "POST", f"/v1/sessions/s/{path}", value)


def usage(**fields: Any) -> Bad:
    entry = {"model": "m", "input_tokens": 1, "output_tokens": 1, **fields}
    code = "invalid_body" if any(type(v) in {float, bool, str} for v in fields.values()) else ""
    return refused(code or "invalid_usage", "turns", {"usage": [entry]})


TEXTS = {
    "NaN": message("NaN"),
    "infinity": message("-Infinity"),
    "overflow": message("1e999"),
    "lone surrogate": message('"\\ud800"'),
    "NUL": message('"\\u0000"'),
    "duplicate key": b'{"messages":[],"messages":[]}',
    "too deep": message("[" * 70 + "]" * 70),
    "far too deep": message("[" * 5000 + "]" * 5000),
    "truncated": b'{"messages":[{"role":"user"',
    "not UTF-8": message('"\xff"').replace(b"\xc3\xbf", b"\xff"),
    "trailing": b"{} {}",
    "nothing but space": b" ",
}
QUERIES = {
    "limit=0": "invalid_limit",
    "limit=-1": "invalid_limit",
    "limit=1001": "invalid_limit",
    "limit=99999999999999999999": "invalid_query",
    "limit=1.0": "invalid_query",
    "limit=1e1": "invalid_query",
    "limit=": "invalid_query",
    "limit=%D9%A1": "invalid_query",
    "limit=1&limit=2": "invalid_query",
    "cursor=forged": "invalid_cursor",
    "cursor=": "invalid_cursor",
    "cursor=%00": "invalid_cursor",
    "archived=yes": "invalid_query",
    "archived=null": "invalid_query",
    "sort=size": "invalid_sort",
    "created_after=yesterday": "invalid_time",
    "created_after=2026-13-01T00:00:00Z": "invalid_time",
    "created_after=2026-01-01T00:00:00": "invalid_time",
    "created_before=0000-01-01T00:00:00Z": "invalid_time",
    "updated_after=9999-12-31T23:59:59-23:59": "invalid_time",
    "search=%00": "invalid_json",
    "agent=%ff": "invalid_query",
    "search=" + "x" * 300: "invalid_field",
    "&".join(f"p{n}=1" for n in range(70)): "invalid_query",
}
BODIES = {
    "turns": {"messages": dialogue(1)},
    "messages": {"messages": dialogue(1)},
    "usage": {"event_id": "e"},
    "fork": {},
    "revert": {"to_message_index": 0},
    "resume-thread": {},
}
BELOW_A_SESSION = [
    (endpoint.method, endpoint.path, b"", {})
    if endpoint.body is None
    else (
        endpoint.method,
        endpoint.path,
        json.dumps(BODIES[endpoint.path.rpartition("/")[2]]).encode(),
        JSON,
    )
    for endpoint in ENDPOINTS
    if "{session_id}/" in endpoint.path
]
CASES = [
    *(case for content in TEXTS.values() for case in bad_json(content)),
    *(Bad(422, code, "GET", f"/v1/sessions?{query}") for query, code in QUERIES.items()),
    # ids
    body(422, "invalid_id", "POST", "/v1/sessions", {"session_id": "a:b"}),
    body(422, "invalid_id", "POST", "/v1/sessions", {"session_id": "abc\n"}),
    body(422, "invalid_id", "POST", "/v1/sessions", {"session_id": ""}),
    body(422, "invalid_id", "POST", "/v1/sessions", {"session_id": "x" * 129}),
    body(422, "invalid_body", "POST", "/v1/sessions", {"session_id": 7}),
    *(
        Bad(422, "invalid_id", method, f"/v1/sessions/{name}", content, headers)
        for name in ("a%20b", "a%0A", "%0Aa", "a%2Fb", "a%2fturns", "x" * 129, "%00", "%ff", "é")
        for method, content, headers in (
            ("GET", b"", {}),
            ("HEAD", b"", {}),
            ("DELETE", b"", {}),
            ("PUT", b"{}", JSON),
            ("PATCH", b"{}", JSON),
        )
    ),
    *(
        Bad(422, "invalid_id", method, path.format(session_id=name), content, headers)
        for name in ("a%0A", "a%2Fb", "x" * 129)
        for method, path, content, headers in BELOW_A_SESSION
    ),
    Bad(404, "route_not_found", "PUT", "/v1/sessions/a/b", b"{}", JSON),
    # bodies
    Bad(422, "invalid_body", "PUT", "/v1/sessions/s"),
    Bad(422, "invalid_body", "PATCH", "/v1/sessions/s"),
    Bad(422, "invalid_body", "POST", "/v1/sessions/s/turns"),
    body(422, "invalid_body", "PUT", "/v1/sessions/s", []),
    body(422, "invalid_body", "PUT", "/v1/sessions/s", {"messages": None}),
    body(422, "invalid_body", "PUT", "/v1/sessions/s", {"messages": [1]}),
    body(422, "invalid_body", "PUT", "/v1/sessions/s", {"messages": {"role": "user"}}),
    body(422, "invalid_body", "PATCH", "/v1/sessions/s", {"cost_data": []}),
    body(422, "invalid_body", "PATCH", "/v1/sessions/s", {"archived": None}),
    body(422, "invalid_body", "PATCH", "/v1/sessions/s", {"title": 1}),
    body(422, "invalid_field", "PATCH", "/v1/sessions/s", {"title": "x" * 1025}),
    refused("invalid_body", "turns", {"messages": dialogue(1), "surprise": 1}),
    refused("invalid_body", "messages", {"messages": dialogue(1), "surprise": 1}),
    refused("invalid_body", "usage", {"event_id": "e", "surprise": 1}),
    refused("invalid_body", "fork", {"surprise": 1}),
    refused("invalid_body", "revert", {}),
    refused("invalid_body", "revert", {"to_message_index": True}),
    refused("invalid_role", "messages", {"messages": [{"role": "robot"}]}),
    refused("invalid_role", "turns", {"messages": [{}]}),
    refused("invalid_messages", "turns", {}),
    refused("invalid_status", "turns", {"messages": dialogue(1), "status": "done"}),
    refused("invalid_id", "turns", {"messages": dialogue(1), "turn_id": "a/b"}),
    refused("invalid_seq", "messages", {"messages": dialogue(1), "expected_seq": -1}),
    refused("invalid_seq", "messages", {"messages": dialogue(1), "expected_seq": 2**70}),
    refused("invalid_body", "messages", {"messages": dialogue(1), "expected_seq": 0.0}),
    # tokens and money
    usage(input_tokens=-1),
    usage(input_tokens=10**13),
    usage(input_tokens=1.5),
    usage(input_tokens=1.0),
    usage(input_tokens="1"),
    usage(input_tokens=True),
    usage(cached_tokens=2),
    usage(reasoning_tokens=2),
    refused("invalid_cost", "usage", {"event_id": "e", "cost_usd": "free"}),
    refused("invalid_cost", "usage", {"event_id": "e", "cost_usd": "NaN"}),
    refused("invalid_usage", "usage", {"event_id": "e", "cost_usd": "-1"}),
    refused("invalid_body", "usage", {"event_id": "e", "cost_usd": 1.5}),
    # positions
    Bad(422, "invalid_seq", "GET", "/v1/sessions/s/messages?after=-2"),
    Bad(422, "invalid_seq", "GET", "/v1/sessions/s/messages?before=-1"),
    Bad(422, "invalid_order", "GET", "/v1/sessions/s/messages?order=up"),
    Bad(422, "invalid_query", "GET", "/v1/sessions/s?messages=tail:0"),
    Bad(422, "invalid_query", "GET", "/v1/sessions/s?messages=turns:0"),
    Bad(422, "invalid_query", "GET", "/v1/sessions/s?messages=tokens:-1"),
    Bad(422, "invalid_query", "GET", "/v1/sessions/s?messages=tokens:10000000"),
    Bad(422, "invalid_query", "GET", "/v1/sessions/s?messages=words:1"),
    Bad(422, "invalid_query", "GET", "/v1/sessions/s?messages=some"),
    Bad(422, "invalid_cursor", "GET", "/v1/sessions/s/turns?cursor=AAAAAAAAAAAAAAAAWzFd"),
    Bad(422, "invalid_header", "GET", "/v1/sessions/s/events", headers={"Last-Event-ID": "x"}),
    # media types
    Bad(415, "unsupported_media_type", "PUT", "/v1/sessions/s", b"{}"),
    Bad(
        415,
        "unsupported_media_type",
        "PUT",
        "/v1/sessions/s",
        b"{}",
        {"content-type": "text/plain"},
    ),
    Bad(415, "unsupported_media_type", "POST", "/v1/sessions", b"", {"content-type": "text/plain"}),
    Bad(
        415,
        "unsupported_media_type",
        "PUT",
        "/v1/sessions/s",
        b"{}",
        {**JSON, "content-encoding": "gzip"},
    ),
    Bad(
        415,
        "unsupported_media_type",
        "POST",
        "/v1/sessions/import",
        b"{}",
        {"content-type": "text/csv"},
    ),
    # routes and methods
    Bad(404, "route_not_found", "GET", "/v2/sessions"),
    Bad(404, "route_not_found", "GET", "/v1/sessions/"),
    Bad(404, "route_not_found", "GET", "/"),
    Bad(405, "method_not_allowed", "DELETE", "/v1/sessions"),
    Bad(405, "method_not_allowed", "POST", "/v1/sessions/s"),
    Bad(405, "method_not_allowed", "OPTIONS", "/v1/sessions/s/turns"),
    Bad(405, "method_not_allowed", "POST", "/livez"),
    # documents
    Bad(422, "unknown_format", "GET", "/v1/sessions/s/export?format=docx"),
    Bad(422, "unknown_format", "GET", "/v1/sessions/s/export?format=fipsagents-db"),
    Bad(422, "unknown_format", "POST", "/v1/sessions/import?format=fipsagents-db", b"/etc/passwd"),
    Bad(422, "unknown_format", "POST", "/v1/sessions/import?format=markdown", b"# x"),
]


@pytest.fixture
async def api(app: Edge, record_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        await client.post("/v1/sessions", json={"session_id": "s", "messages": dialogue(2)})
        yield client


async def test_bad_input_is_refused_and_nothing_written(
    api: httpx.AsyncClient, record_url: str
) -> None:
    place = Place(kind="", url="", database_url=record_url)
    before = place.dump()
    wrong = []
    for case in CASES:
        answer = await api.request(
            case.method, case.path, content=case.content, headers=case.headers
        )
        got = (answer.status_code, case.code)
        if case.method != "HEAD":
            got = (answer.status_code, answer.json()["error"]["code"])
            assert answer.json()["detail"] == answer.json()["error"]["message"]
        if got != (case.status, case.code):
            wrong.append((str(case), got))
    assert wrong == []
    assert place.dump() == before


async def test_old_clients_may_send_unknown_fields(api: httpx.AsyncClient) -> None:
    extra = {"surprise": {"x": 1}}
    assert (await api.post("/v1/sessions", json=extra)).status_code == 201
    assert (await api.put("/v1/sessions/s", json=extra)).status_code == 200
    assert (await api.patch("/v1/sessions/s", json=extra)).status_code == 200


async def test_unknown_query_parameters_are_ignored(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/sessions?utm_source=x&limit=1")).status_code == 200


async def test_405_names_what_the_path_takes(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/sessions/s")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"


@pytest.mark.parametrize("charset", ["application/json", "Application/JSON; charset=utf-8"])
async def test_json_may_name_its_charset(api: httpx.AsyncClient, charset: str) -> None:
    answer = await api.put("/v1/sessions/s", content=b"{}", headers={"content-type": charset})
    assert answer.status_code == 200


async def test_messages_may_be_as_deep_as_the_record_holds(api: httpx.AsyncClient) -> None:
    deepest: Any = []
    for _ in range(62):
        deepest = [deepest]
    answer = await api.post(
        "/v1/sessions/s/messages", json={"messages": [{"role": "user", "content": deepest}]}
    )
    assert answer.status_code == 201
