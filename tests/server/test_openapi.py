"""The API's description: whole, true to what is answered, and no input that breaks the service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import Phase, settings
from schemathesis import Case, SerializationContext
from schemathesis.checks import CHECKS

from hansard import __version__
from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.server.docs import to_html, to_markdown
from hansard.server.endpoints import ENDPOINTS
from hansard.server.openapi import document
from hansard.settings import ChatSettings
from tests.samples import dialogue
from tests.server.applications import QUIET, listening

DOCUMENT = document(ENDPOINTS, version=__version__, secured=True)
EXAMPLES = 25  # of each operation; the seed is fixed, so that a failure comes back
HELD = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def test_description_names_every_endpoint() -> None:
    described = {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    names = [op["operationId"] for item in DOCUMENT["paths"].values() for op in item.values()]
    assert len(set(names)) == len(names)


def test_every_route_of_a_thread_may_refuse_its_id() -> None:
    for path, item in DOCUMENT["paths"].items():
        if "{thread_id}" in path:
            for operation in item.values():
                assert operation["responses"].keys() >= {"400", "404"}


def test_description_has_no_dangling_reference() -> None:
    text = json.dumps(DOCUMENT)
    for name in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert name in DOCUMENT["components"]["schemas"]


def test_only_health_needs_no_credentials() -> None:
    open_paths = {
        path
        for path, item in DOCUMENT["paths"].items()
        for operation in item.values()
        if "security" not in operation
    }
    assert open_paths == {"/livez", "/readyz", "/healthz", "/health", "/v1/runtime/info"}
    free = document(ENDPOINTS, version=__version__, secured=False)
    assert "security" not in json.dumps(free["paths"])


@pytest.mark.parametrize("name", ["TurnBody", "AppendBody", "UsageBody", "ForkBody", "RevertBody"])
def test_our_own_bodies_are_described_as_strict(name: str) -> None:
    assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False


async def test_description_and_page_are_served(api: httpx.AsyncClient) -> None:
    answer = await api.get("/openapi.json")
    assert answer.json() == document(ENDPOINTS, version=__version__, secured=False)
    page = await api.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_page_loads_nothing() -> None:
    page = to_html(DOCUMENT)
    assert not re.search(r"<(script|link|img|iframe)|https?://|@import|url\(", page)
    assert page.count("<h1>") == 1


def test_texts_name_every_endpoint_and_shape() -> None:
    for text in (to_markdown(DOCUMENT), to_html(DOCUMENT)):
        for endpoint in ENDPOINTS:
            assert f"{endpoint.method} {endpoint.path}" in text
        for name in DOCUMENT["components"]["schemas"]:
            assert name in text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server where an echo lives in threads."""
    folder = tmp_path_factory.mktemp("api")
    chat = ChatSettings(script="echo", spool=str(folder / "spool"))
    app = create_app(open_database(f"sqlite:///{folder / 'record.db'}"), replace(QUIET, chat=chat))
    with listening(app) as url:
        yield url


@pytest.fixture(scope="module")
def connection() -> Iterator[requests.Session]:
    with requests.Session() as connection:
        connection.trust_env = False  # or it looks for proxies before each request
        yield connection


@pytest.fixture
def restore(server: str, connection: requests.Session) -> Callable[[], None]:
    """Put session ``0`` back as it was; done once before each operation."""

    def put() -> None:
        existing = {"messages": dialogue(2)}
        connection.put(f"{server}/v1/sessions/0", json=existing).raise_for_status()

    put()
    return put


@schemathesis.serializer("application/gzip", "application/jsonl", "application/x-ndjson")
def as_bytes(context: SerializationContext, value: Any) -> bytes:
    """Documents go out as they are made up."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


schema = schemathesis.openapi.from_dict(document(ENDPOINTS, version=__version__, secured=False))
operations = schema.exclude(path_regex="/events$")  # a stream has no end to wait for


@pytest.mark.no_cover  # it leads where other tests lead, and tracing doubles what it costs
@operations.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
def test_no_input_breaks_the_service(
    case: Case[Any], server: str, connection: requests.Session, restore: Callable[[], None]
) -> None:
    if case.path_parameters.get("session_id") == "0":
        restore()
    answer = case.call(base_url=server, session=connection)
    checks: list[Any] = [CHECKS.get_one(name) for name in HELD]
    case.validate_response(answer, checks=checks)
