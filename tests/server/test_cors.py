"""Pages of other origins: those that are named may read, the others learn nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from hansard.core.errors import InvalidInput
from hansard.server.cors import METHODS, REQUEST_HEADERS
from hansard.server.endpoints import ENDPOINTS
from hansard.settings import AccessSettings
from tests.server.applications import application, client_of

PAGE = "https://desk.example"
APP = "tauri://localhost"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[httpx.AsyncClient]:
    access = AccessSettings(auth="key", cors_origins=f"{PAGE}, {APP},")
    async with application(sqlite_url, access=access) as app, client_of(app) as client:
        yield client


def told(answer: httpx.Response) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name.startswith("access-c")}


def preflight(origin: str, method: str = "PUT", headers: str = "if-match") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


@pytest.mark.parametrize("origin", [PAGE, APP])
async def test_page_may_ask_without_credentials_whether_it_may_ask(
    api: httpx.AsyncClient, origin: str
) -> None:
    answer = await api.options("/v1/sessions", headers=preflight(origin))
    assert answer.status_code == 200
    allowed = told(answer)
    assert allowed["access-control-allow-origin"] == origin
    assert "PUT" in allowed["access-control-allow-methods"].split(", ")
    names = allowed["access-control-allow-headers"].split(", ")
    assert {"Authorization", "If-Match", "Idempotency-Key", "Last-Event-ID"} <= set(names)
    assert "*" not in str(allowed)
    assert "access-control-allow-credentials" not in allowed


async def test_page_may_read_answers_and_errors(api: httpx.AsyncClient) -> None:
    refused = await api.get("/v1/sessions", headers={"origin": PAGE})
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "unauthorized"
    assert told(refused)["access-control-allow-origin"] == PAGE
    exposed = told(refused)["access-control-expose-headers"].split(", ")
    assert {"ETag", "Location", "X-Next-Cursor"} <= set(exposed)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://desk.example", f"{PAGE}.evil.example", "null"]
)
async def test_other_pages_get_no_header(api: httpx.AsyncClient, origin: str) -> None:
    asked = await api.options("/v1/sessions", headers=preflight(origin))
    read = await api.get("/livez", headers={"origin": origin})
    assert (asked.status_code, read.status_code) == (405, 200)
    assert told(asked) == told(read) == {}


@pytest.mark.parametrize(("method", "header"), [("TRACE", "if-match"), ("PUT", "x-other")])
async def test_page_may_not_ask_what_nobody_serves(
    api: httpx.AsyncClient, method: str, header: str
) -> None:
    refused = await api.options("/v1/sessions", headers=preflight(PAGE, method, header))
    assert refused.status_code == 400


async def test_no_page_may_read_where_none_is_named(sqlite_url: str) -> None:
    async with application(sqlite_url) as app, client_of(app) as client:
        answer = await client.get("/livez", headers={"origin": "http://localhost:3000"})
        assert (answer.status_code, told(answer)) == (200, {})
        asked = await client.options("/v1/sessions", headers=preflight("http://localhost:3000"))
        assert (asked.status_code, told(asked)) == (405, {})


def test_pages_may_use_every_call_and_header_of_the_table() -> None:
    assert {endpoint.method for endpoint in ENDPOINTS} <= set(METHODS)
    assert {head.name for row in ENDPOINTS for head in row.headers} <= set(REQUEST_HEADERS)


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "null",
        "desk.example",
        "https://desk.example/",
        "https://desk.example/page",
        "https://*.example",
        "https://me@desk.example",
        "HTTPS://desk.example",
        f"{PAGE}, *",
    ],
)
def test_origin_that_is_none_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        AccessSettings(cors_origins=origins)
    assert caught.value.details["setting"] == "cors_origins"
