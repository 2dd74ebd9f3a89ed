"""Every route, tried by a stranger of another tenant and by another owner of the same one.

Driven by the endpoint table: a route without a case fails the test.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from hansard.core.actors import SCOPE_ALL_SESSIONS, SCOPE_SET_BUDGETS, Actor
from hansard.core.budgets import NewHold
from hansard.core.feedback import make_feedback
from hansard.server.endpoints import ENDPOINTS
from hansard.settings import AccessSettings, ChatSettings
from hansard.store import feedback
from tests.places import Place
from tests.samples import dialogue
from tests.server.applications import application, client_of, keys_of
from tests.server.thread_routes import NAMES_A_THREAD, Case

SESSION = "/v1/sessions/{session_id}"
TRACE = "/v1/traces/{trace_id}"
FEEDBACK = "/v1/feedback/{feedback_id}"
READS = {"GET", "HEAD"}
OPEN = {("GET", path) for path in ("/livez", "/readyz", "/healthz", "/health", "/v1/runtime/info")}


NAMES_A_SESSION = {
    ("GET", SESSION): Case(),
    ("HEAD", SESSION): Case(),
    ("PUT", SESSION): Case({"messages": []}),
    ("PATCH", SESSION): Case({"title": "mine", "cost_data": {"a": 1}}),
    ("DELETE", SESSION): Case(),
    ("GET", f"{SESSION}/cost_data"): Case(),
    ("GET", f"{SESSION}/messages"): Case(),
    ("POST", f"{SESSION}/messages"): Case({"messages": dialogue(1)}),
    ("GET", f"{SESSION}/turns"): Case(),
    ("POST", f"{SESSION}/turns"): Case({"turn_id": "t", "messages": dialogue(1)}, "?create=true"),
    ("GET", f"{SESSION}/usage"): Case(),
    ("POST", f"{SESSION}/usage"): Case({"event_id": "e", "input_tokens": 1}),
    ("GET", f"{SESSION}/events"): Case(),
    ("POST", f"{SESSION}/fork"): Case({}),
    ("POST", f"{SESSION}/revert"): Case({"to_message_index": 0}),
    ("POST", f"{SESSION}/resume-thread"): Case({}),
    ("GET", f"{SESSION}/verify"): Case(),
    ("GET", f"{SESSION}/export"): Case(),
}
# Routes that name another thing with an owner.
NAMES_A_TRACE = {
    ("GET", TRACE): Case(),
    ("POST", "/v1/traces"): Case({"trace_id": "t", "started_at": "2026-01-01T00:00:00Z"}),
}
NAMES_FEEDBACK = {
    ("GET", FEEDBACK): Case(),
    ("PATCH", FEEDBACK): Case({"comment": "mine"}),
}
NAMES_WHAT_IS_OWNED = NAMES_A_SESSION | NAMES_A_TRACE | NAMES_FEEDBACK
# Routes that name a budget or a hold of the tenant.
NAMES_A_LIMIT = {
    ("GET", "/v1/budgets/{budget_id}"): Case(),
    ("PUT", "/v1/budgets/{budget_id}"): Case({"scope": "owner", "subject": "alice", "limit": "2"}),
    ("POST", "/v1/holds/{call_id}/resolve"): Case({"written_off": True}),
    ("DELETE", "/v1/budgets/{budget_id}"): Case(),
}
# Where another tenant may use the same id for a session of its own.
MAKES_A_SESSION = {("PUT", SESSION), ("POST", f"{SESSION}/turns")}
MAKES_WHAT_IS_OWNED = {*MAKES_A_SESSION, ("POST", "/v1/traces")}
# Where no session is named; what they give is tried below.
NAMES_NONE = {
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("POST", "/v1/sessions"),
    ("PUT", "/v1/sessions"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/summary"),
    ("POST", "/v1/stream"),
    ("POST", "/v1/threads"),
    ("GET", "/v1/threads"),
    ("GET", "/v1/threads/summary"),
    ("POST", "/v1/sessions/import"),
    ("GET", "/v1/budgets"),
    ("GET", "/v1/holds"),
    ("GET", "/v1/traces"),
    ("POST", "/v1/feedback"),
    ("GET", "/v1/feedback"),
    ("GET", "/v1/feedback/stats"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/usage/export"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
}


HOLD = NewHold(
    call_id="call",
    session_id="s",
    turn_id="turn",
    agent=None,
    provider="openai",
    model_asked="gpt-4o",
    fixed_nanousd=1,
    fixed_tokens=1,
    output_pico_per_token=1,
    output_tokens=1,
    least_output_tokens=None,
    expires_at_us=0,
)

THUMB = make_feedback(
    owner="alice",
    rating=1,
    trace_id="t",
    session_id="s",
    comment="secret",
    correction=None,
    model_id=None,
    latency_ms=None,
    turn_index=None,
    agent_type=None,
    at_us=0,
)
NAMES = {
    "session_id": "s",
    "budget_id": "limit",
    "call_id": "call",
    "trace_id": "t",
    "feedback_id": THUMB.feedback_id,
    "thread_id": "thr_01J00000000000000000000000",
    "turn_id": "turn",
    "approval_id": "approval",
    "input_id": "input",
}
"""Of what is alice's, by the parameters of paths."""


@dataclass
class People:
    """Who calls."""

    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    auditor: httpx.AsyncClient
    treasurer: httpx.AsyncClient
    stranger: httpx.AsyncClient
    nobody: httpx.AsyncClient
    place: Place


@pytest.fixture
async def people(record_url: str, tmp_path: Path) -> AsyncIterator[People]:
    chat = ChatSettings(script="echo", spool=str(tmp_path / "spool"))
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(
            application(record_url, access=AccessSettings(auth="key"), chat=chat)
        )

        async def enter(tenant: str, owner: str, *scopes: str) -> httpx.AsyncClient:
            key, _ = await keys_of(app).create(tenant, owner, scopes)
            return await stack.enter_async_context(client_of(app, key))

        people = People(
            alice=await enter("acme", "alice"),
            bob=await enter("acme", "bob"),
            auditor=await enter("acme", "auditor", SCOPE_ALL_SESSIONS),
            treasurer=await enter("acme", "treasurer", SCOPE_SET_BUDGETS),
            stranger=await enter("umbrella", "alice", SCOPE_ALL_SESSIONS, SCOPE_SET_BUDGETS),
            nobody=await stack.enter_async_context(client_of(app)),
            place=Place(kind="", url="", database_url=record_url),
        )
        await people.alice.post(
            "/v1/sessions",
            json={"session_id": "s", "title": "secret", "messages": dialogue(2)},
        )
        limit = {"scope": "owner", "subject": "alice", "limit": "1"}
        await people.treasurer.put("/v1/budgets/limit", json=limit)
        alice = Actor("acme", "alice", sees_all=False)
        record = app.context.record
        await record.acting_as(alice).take_hold(HOLD)
        await record.expire_holds()
        await people.alice.post("/v1/traces", json=NAMES_A_TRACE["POST", "/v1/traces"].body)
        await record.runner.write(lambda tx: feedback.insert(tx, alice, THUMB))
        yield people


async def send(
    client: httpx.AsyncClient, route: tuple[str, str], case: Case, **names: str
) -> httpx.Response:
    method, path = route
    url = path.format(**NAMES | names) + case.query
    return await client.request(method, url, json=case.body)


def test_every_route_has_a_case() -> None:
    routes = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    named = NAMES_WHAT_IS_OWNED.keys() | NAMES_A_LIMIT.keys() | NAMES_A_THREAD.keys()
    assert routes == named | NAMES_NONE | OPEN


@pytest.mark.parametrize("who", ["bob", "stranger"])
async def test_what_is_of_another_is_not_found(people: People, who: str) -> None:
    client, before = getattr(people, who), people.place.dump()
    for route, case in NAMES_WHAT_IS_OWNED.items():
        if who == "stranger" and route in MAKES_WHAT_IS_OWNED:
            continue
        answer = await send(client, route, case)
        assert answer.status_code == 404, route
        assert people.place.dump() == before, route
        if route not in MAKES_WHAT_IS_OWNED:  # no difference to one that does not exist
            (parameter,) = re.findall(r"{(\w+)}", route[1])
            unknown = (route[0], route[1].replace(f"{{{parameter}}}", "nobody-has-this"))
            missing = await send(client, unknown, case)
            assert missing.status_code == 404, route
            assert missing.text.replace("nobody-has-this", NAMES[parameter]) == answer.text


@pytest.mark.parametrize("route", sorted(MAKES_A_SESSION), ids=" ".join)
async def test_tenants_may_use_the_same_id(people: People, route: tuple[str, str]) -> None:
    before = (await people.alice.get("/v1/sessions/s")).json()
    assert (await send(people.stranger, route, NAMES_A_SESSION[route])).is_success
    assert (await people.alice.get("/v1/sessions/s")).json() == before
    assert (await people.stranger.get("/v1/sessions/s")).json()["title"] is None


@pytest.mark.parametrize("who", ["alice", "auditor"])
async def test_owner_and_scope_read_what_is_owned(people: People, who: str) -> None:
    for route, case in NAMES_WHAT_IS_OWNED.items():
        if route[0] in READS and route[1] != f"{SESSION}/events":  # those have no end
            assert (await send(getattr(people, who), route, case)).is_success, route


@pytest.mark.parametrize("who", ["alice", "auditor"])
@pytest.mark.parametrize(
    "route",
    [route for route in NAMES_WHAT_IS_OWNED if route[0] not in READS],
    ids=" ".join,
)
async def test_owner_and_scope_change_what_is_owned(
    people: People, route: tuple[str, str], who: str
) -> None:
    answer = await send(getattr(people, who), route, NAMES_WHAT_IS_OWNED[route])
    assert answer.is_success


@pytest.mark.parametrize("route", sorted(NAMES_A_LIMIT), ids=" ".join)
@pytest.mark.parametrize("who", ["bob", "stranger"])
async def test_limits_of_another_are_out_of_reach(
    people: People, who: str, route: tuple[str, str]
) -> None:
    before = (await people.treasurer.get("/v1/budgets/limit")).json()
    answer = await send(getattr(people, who), route, NAMES_A_LIMIT[route])
    if who == "bob" and route[0] != "GET":  # who may not set budgets is told nothing else
        assert answer.status_code == 403
    elif route[0] == "PUT":  # another tenant has a budget of the same id then
        assert answer.status_code == 200
    else:
        assert answer.status_code == 404
    assert (await people.treasurer.get("/v1/budgets/limit")).json() == before


@pytest.mark.parametrize("route", NAMES_A_LIMIT, ids=" ".join)
async def test_scope_opens_the_limits(people: People, route: tuple[str, str]) -> None:
    assert (await send(people.treasurer, route, NAMES_A_LIMIT[route])).is_success


async def test_lists_of_limits_show_only_what_is_in_reach(people: People) -> None:
    for client, seen in (
        (people.alice, 1),
        (people.bob, 0),
        (people.auditor, 1),
        (people.treasurer, 1),
        (people.stranger, 0),
    ):
        assert len((await client.get("/v1/budgets")).json()["budgets"]) == seen
        assert len((await client.get("/v1/holds?state=unknown")).json()["holds"]) == seen


async def test_route_needs_credentials(people: People) -> None:
    before = people.place.dump()
    named = NAMES_WHAT_IS_OWNED.keys() | NAMES_A_LIMIT.keys() | NAMES_A_THREAD.keys()
    for route in named | NAMES_NONE:
        answer = await send(people.nobody, route, NAMES_WHAT_IS_OWNED.get(route, Case()))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), route
        assert people.place.dump() == before, route


async def test_health_is_open(people: People) -> None:
    for route in OPEN:
        assert (await send(people.nobody, route, Case())).status_code == 200, route


async def test_list_shows_only_what_is_in_reach(people: People) -> None:
    await people.bob.post("/v1/sessions", json={"session_id": "b"})
    await people.stranger.post("/v1/sessions", json={"session_id": "u"})

    async def ids(client: httpx.AsyncClient, query: str = "") -> list[str]:
        page = (await client.get(f"/v1/sessions?sort=created_at{query}")).json()
        return [item["session_id"] for item in page["sessions"]]

    assert await ids(people.alice) == ["s"]
    assert await ids(people.bob) == ["b"]
    assert await ids(people.auditor) == ["s", "b"]
    assert await ids(people.auditor, "&owner=bob") == ["b"]
    assert await ids(people.bob, "&owner=alice") == []
    assert await ids(people.bob, "&search=secret") == []
    assert await ids(people.stranger) == ["u"]


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_with_a_session_of_another_is_not_found(people: People, stream: bool) -> None:
    before = people.place.dump()
    body = {"messages": dialogue(1), "session_id": "s", "stream": stream}
    answer = await people.bob.post("/v1/chat/completions", json=body)
    assert answer.status_code == 404
    assert people.place.dump() == before


async def test_chat_of_another_tenant_has_a_session_of_its_own(people: People) -> None:
    before = (await people.alice.get("/v1/sessions/s")).json()
    body = {"messages": dialogue(1, "other"), "session_id": "s"}
    assert (await people.stranger.post("/v1/chat/completions", json=body)).is_success
    assert (await people.alice.get("/v1/sessions/s")).json() == before
    told = (await people.stranger.get("/v1/sessions/s")).json()["messages"]
    assert [message["content"] for message in told] == ["other 0", "other 0"]


async def test_usage_is_reported_as_far_as_one_may_see(people: People) -> None:
    for client in (people.bob, people.auditor, people.stranger):
        body = {"messages": dialogue(1)}
        assert (await client.post("/v1/chat/completions", json=body)).is_success
    for client, calls in (
        (people.alice, 0),
        (people.bob, 1),
        (people.auditor, 2),
        (people.stranger, 1),
    ):
        assert (await client.get("/v1/usage")).json()["totals"]["calls"] == calls


async def test_cursor_of_another_is_refused(people: People) -> None:
    await people.alice.post("/v1/sessions", json={})
    cursor = (await people.alice.get("/v1/sessions?limit=1")).json()["next_cursor"]
    for client in (people.bob, people.stranger):
        answer = await client.get("/v1/sessions", params={"cursor": cursor})
        assert answer.json()["error"]["code"] == "invalid_cursor"


async def test_taken_id_is_a_conflict_within_the_tenant_only(people: People) -> None:
    assert (await people.bob.post("/v1/sessions", json={"session_id": "s"})).status_code == 409
    assert (await people.stranger.post("/v1/sessions", json={"session_id": "s"})).status_code == 201


async def test_new_sessions_belong_to_who_makes_them(people: People) -> None:
    document = (await people.alice.get("/v1/sessions/s/export")).content
    imported = (await people.bob.post("/v1/sessions/import", content=document)).json()
    made: dict[str, str] = {
        "imported": imported["sessions"][0]["session_id"],
        "created": (await people.bob.post("/v1/sessions", json={})).json()["session_id"],
    }
    await people.bob.put("/v1/sessions/saved", json={})
    await people.bob.post("/v1/sessions/turned/turns?create=true", json={"messages": dialogue(1)})
    for session_id in (*made.values(), "saved", "turned"):
        assert (await people.bob.get(f"/v1/sessions/{session_id}")).json()["owner"] == "bob"
        assert (await people.alice.get(f"/v1/sessions/{session_id}")).status_code == 404


async def test_metrics_name_no_tenant(people: People) -> None:
    text = (await people.alice.get("/metrics")).text
    assert not any(word in text for word in ("acme", "umbrella", "alice", "secret"))
