"""Budgets and holds over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from hansard.core.actors import SCOPE_ALL_SESSIONS, SCOPE_SET_BUDGETS, Actor
from hansard.core.budgets import NewHold
from hansard.core.errors import LimitReached
from hansard.core.usage import NewUsage
from hansard.server.calls import Reply
from hansard.server.edge import Edge
from hansard.server.errors import failure
from hansard.service.sessions import DatabaseSessions
from hansard.settings import AccessSettings
from tests.server.applications import application, client_of, keys_of

USD = 1_000_000_000
LATER_US = 2**52  # in 2112
DAILY = {"scope": "tenant", "limit": "25.00", "window": "day", "time_zone": "Europe/Berlin"}
TOTAL = {"scope": "tenant", "limit": "1"}


@pytest.fixture
def record(app: Edge) -> DatabaseSessions:
    """The record behind, on behalf of somebody with a key; its time stands still."""
    now_us = app.context.record.clock()
    app.context.record.clock = lambda: now_us
    return app.context.record.acting_as(Actor("default", "alice", key_id="k"))


def hold(call_id: str, cost_nanousd: int = USD // 2, **fields: Any) -> NewHold:
    """A hold of half a dollar, if nothing else is said."""
    values: dict[str, Any] = {
        "session_id": None,
        "turn_id": "t",
        "agent": "airline",
        "provider": "openai",
        "model_asked": "gpt-4o",
        "fixed_nanousd": cost_nanousd,
        "fixed_tokens": 100,
        "output_pico_per_token": 0,
        "output_tokens": 50,
        "least_output_tokens": None,
        "expires_at_us": LATER_US,
    }
    return NewHold(call_id=call_id, **(values | fields))


async def expire(record: DatabaseSessions) -> None:
    """Let the time of all holds be over."""
    record.clock = lambda: LATER_US + 1
    await record.expire_holds()


async def state(api: httpx.AsyncClient, budget_id: str) -> dict[str, Any]:
    """The only state of a budget."""
    (found,) = (await api.get(f"/v1/budgets/{budget_id}")).json()["states"]
    return dict(found)


async def test_budget_is_put_and_got(api: httpx.AsyncClient) -> None:
    put = await api.put("/v1/budgets/daily", json=DAILY)
    assert put.status_code == 200
    body = put.json()
    assert {name: body[name] for name in (*DAILY, "budget_id", "subject", "unit", "mode")} == {
        **DAILY,
        "limit": "25",
        "budget_id": "daily",
        "subject": "",
        "unit": "usd",
        "mode": "enforce",
    }
    assert body["warn_percents"] == [80, 100]
    (state,) = body["states"]
    assert (state["subject"], state["spent"], state["held"]) == ("", "0", "0")
    assert state["remaining"] == "25"
    assert state["window_start"] == body["counts_from"]
    assert state["window_start"] < state["resets_at"]
    assert (await api.get("/v1/budgets/daily")).json() == body
    assert (await api.get("/v1/budgets")).json() == {"budgets": [body]}


async def test_total_window_has_no_times(api: httpx.AsyncClient) -> None:
    body = (await api.put("/v1/budgets/all", json=TOTAL)).json()
    assert body["counts_from"] is None
    assert body["states"][0]["window_start"] is None
    assert body["states"][0]["resets_at"] is None


async def test_tokens_are_whole_numbers(api: httpx.AsyncClient) -> None:
    tokens = {"scope": "tenant", "unit": "tokens", "limit": 1_000_000}
    body = (await api.put("/v1/budgets/tokens", json=tokens)).json()
    assert (body["limit"], body["states"][0]["remaining"]) == (1_000_000, 1_000_000)


@pytest.mark.parametrize(
    "change",
    [
        {"limit": "many"},
        {"limit": "-1"},
        {"limit": 25},
        {"limit": "99999999999"},
        {"limit": "10", "unit": "tokens"},
        {"limit": -1, "unit": "tokens"},
        {"scope": "world"},
        {"subject": "alice"},
        {"scope": "owner"},
        {"window": "year"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"mode": "hope"},
        {"unit": "eur"},
        {"warn_percents": [0]},
        {"warn_percents": list(range(1, 12))},
    ],
    ids=str,
)
async def test_bad_budget_is_refused(api: httpx.AsyncClient, change: dict[str, Any]) -> None:
    answer = await api.put("/v1/budgets/b", json=DAILY | change)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] in {"invalid_budget", "invalid_id"}
    assert (await api.get("/v1/budgets")).json() == {"budgets": []}


async def test_body_of_another_shape_is_refused(api: httpx.AsyncClient) -> None:
    for body in ({}, {"scope": "tenant"}, DAILY | {"limit": 2.5}, DAILY | {"currency": "EUR"}):
        answer = await api.put("/v1/budgets/b", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_body")


async def test_deleted_budget_is_gone(api: httpx.AsyncClient) -> None:
    await api.put("/v1/budgets/daily", json=DAILY)
    answer = await api.delete("/v1/budgets/daily")
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "DELETE"):
        missing = await api.request(method, "/v1/budgets/daily")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "budget_not_found")


async def test_another_limit_keeps_what_was_spent(
    api: httpx.AsyncClient, record: DatabaseSessions
) -> None:
    await api.put("/v1/budgets/all", json=TOTAL)
    await record.take_hold(hold("c"))
    body = (await api.put("/v1/budgets/all", json=TOTAL | {"limit": "3"})).json()
    (state,) = body["states"]
    assert (state["held"], state["remaining"]) == ("0.5", "2.5")


async def test_each_owner_has_a_state(api: httpx.AsyncClient, app: Edge) -> None:
    each = {"scope": "owner", "subject": "*", "limit": "1"}
    assert (await api.put("/v1/budgets/each", json=each)).json()["states"] == []
    for owner in ("bob", "alice"):
        await app.context.record.acting_as(Actor("default", owner)).take_hold(hold(owner))
    pages = [(await api.get("/v1/budgets/each?limit=1")).json()]
    while cursor := pages[-1]["next_cursor"]:
        pages.append((await api.get(f"/v1/budgets/each?limit=1&cursor={cursor}")).json())
    states = [state for page in pages for state in page["states"]]
    assert [(state["subject"], state["held"]) for state in states] == [
        ("alice", "0.5"),
        ("bob", "0.5"),
    ]


async def test_hold_of_which_nobody_heard_is_listed(
    api: httpx.AsyncClient, record: DatabaseSessions
) -> None:
    await api.put("/v1/budgets/all", json=TOTAL)
    await record.take_hold(hold("c"))
    assert (await api.get("/v1/holds")).json() == {"holds": [], "next_cursor": None}
    (found,) = (await api.get("/v1/holds?state=open")).json()["holds"]
    await expire(record)
    (unknown,) = (await api.get("/v1/holds")).json()["holds"]
    assert unknown == found | {"state": "unknown"}
    assert (unknown["call_id"], unknown["owner"], unknown["model_asked"]) == (
        "c",
        "alice",
        "gpt-4o",
    )
    assert (unknown["amount_usd"], unknown["amount_tokens"]) == ("0.5", 150)
    assert (unknown["budget_ids"], unknown["ended_at"]) == (["all"], None)
    assert unknown["counted"] is False


async def test_holds_come_in_pages(api: httpx.AsyncClient, record: DatabaseSessions) -> None:
    for name in "abc":
        await record.take_hold(hold(name))
    first = (await api.get("/v1/holds?state=open&limit=2")).json()
    query = {"state": "open", "limit": "2", "cursor": first["next_cursor"]}
    second = (await api.get("/v1/holds", params=query)).json()
    found = [item["call_id"] for page in (first, second) for item in page["holds"]]
    assert (found, second["next_cursor"]) == (["a", "b", "c"], None)
    assert (await api.get("/v1/holds?state=lost")).json()["error"]["code"] == "invalid_state"


async def test_hold_is_resolved_on_its_own_account(
    api: httpx.AsyncClient, record: DatabaseSessions
) -> None:
    for scope, subject in (("owner", "alice"), ("agent", "airline"), ("key", "k")):
        body = {"scope": scope, "subject": subject, "limit": "1"}
        await api.put(f"/v1/budgets/{scope}", json=body)
    await record.take_hold(hold("c"))
    early = await api.post("/v1/holds/c/resolve", json={"usage": {"cost_usd": "0.25"}})
    assert (early.status_code, early.json()["error"]["code"]) == (409, "hold_open")
    await expire(record)
    answer = await api.post("/v1/holds/c/resolve", json={"usage": {"cost_usd": "0.25"}})
    assert (answer.status_code, answer.json()) == (200, {"call_id": "c", "state": "settled"})
    for scope in ("owner", "agent", "key"):
        found = await state(api, scope)
        assert (found["spent"], found["held"]) == ("0.25", "0")
    again = await api.post("/v1/holds/c/resolve", json={"written_off": True})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "hold_ended")


async def test_hold_is_written_off(api: httpx.AsyncClient, record: DatabaseSessions) -> None:
    await api.put("/v1/budgets/all", json=TOTAL)
    await record.take_hold(hold("c"))
    await expire(record)
    answer = await api.post("/v1/holds/c/resolve", json={"written_off": True})
    assert answer.json() == {"call_id": "c", "state": "written_off"}
    assert (await state(api, "all"))["remaining"] == "1"
    (found,) = (await api.get("/v1/holds?state=written_off")).json()["holds"]
    assert found["ended_at"] is not None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_resolution"),
        ({"usage": {}, "written_off": True}, "invalid_resolution"),
        ({"usage": {"event_id": "another"}}, "invalid_resolution"),
        ({"usage": {"confidence": "estimated"}}, "invalid_resolution"),
        ({"usage": {"cost_usd": "-1"}}, "invalid_usage"),
        ({"usage": {"input_tokens": -1}}, "invalid_usage"),
        ({"cost_usd": "1"}, "invalid_body"),
    ],
    ids=str,
)
async def test_bad_resolution_is_refused(
    api: httpx.AsyncClient, record: DatabaseSessions, body: dict[str, Any], code: str
) -> None:
    await record.take_hold(hold("c"))
    answer = await api.post("/v1/holds/c/resolve", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert len((await api.get("/v1/holds?state=open")).json()["holds"]) == 1


async def test_unknown_hold_is_not_found(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/holds/c/resolve", json={"written_off": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "hold_not_found")


async def test_usage_without_a_session_makes_none(
    api: httpx.AsyncClient, record: DatabaseSessions
) -> None:
    await api.put("/v1/budgets/agent", json={"scope": "agent", "subject": "airline", "limit": "1"})
    await record.take_hold(hold("c"))
    await record.settle_turn(
        None,
        [],
        usage=[NewUsage(event_id="c", cost_nanousd=USD // 4)],
        turn_id="t",
        status="completed",
        holds=["c"],
        at_us=record.clock(),
        agent="airline",
    )
    assert (await api.get("/v1/sessions")).json()["sessions"] == []
    assert (await state(api, "agent"))["spent"] == "0.25"


async def refused(record: DatabaseSessions, wanted: NewHold) -> Reply:
    """The answer to a call that no budget has room for."""
    with pytest.raises(LimitReached) as caught:
        await record.take_hold(wanted)
    return failure(caught.value)


async def test_refusal_is_402(api: httpx.AsyncClient, record: DatabaseSessions) -> None:
    await api.put("/v1/budgets/all", json=TOTAL)
    for wanted in (hold("c", 2 * USD), hold("c", fixed_nanousd=None)):
        answer = await refused(record, wanted)
        assert (answer.status, answer.headers) == (402, ())


async def test_refusal_says_when_to_come_again(
    api: httpx.AsyncClient, record: DatabaseSessions
) -> None:
    await api.put("/v1/budgets/hourly", json=TOTAL | {"window": "hour"})
    await record.take_hold(hold("a"))
    assert (await refused(record, hold("b", 2 * USD))).headers == ()  # it never fits
    answer = await refused(record, hold("b", USD))
    ((name, value),) = answer.headers
    details = json.loads(answer.body)["error"]["details"]
    resets_at = datetime.fromisoformat(details["resets_at"])
    assert (name, parsedate_to_datetime(value.decode())) == (b"retry-after", resets_at)
    assert (details["remaining"], details["required"]) == ("0.5", "1")


async def test_what_happens_is_counted(api: httpx.AsyncClient, record: DatabaseSessions) -> None:
    await api.put("/v1/budgets/all", json=TOTAL)
    output = {"output_pico_per_token": USD, "output_tokens": 1_000}
    await record.take_hold(hold("a", USD // 4))
    await record.take_hold(hold("b", USD // 4, least_output_tokens=1, **output))
    for wanted in (hold("c", 2 * USD), hold("d", fixed_nanousd=None)):
        await refused(record, wanted)
    usage = [NewUsage(event_id="a", cost_nanousd=USD // 2)]
    for _ in range(2):  # the second time it is known
        await record.settle_turn(
            "s",
            [],
            usage=usage,
            turn_id="t",
            status="completed",
            holds=["a", "b"],
            at_us=record.clock(),
        )
    lines = (await api.get("/metrics")).text.splitlines()
    found = dict(line.removeprefix("hansard_").split() for line in lines if line[0] != "#")
    counted = {
        'admissions_total{result="admitted"}': 1,
        'admissions_total{result="clamped"}': 1,
        'admissions_total{result="budget_exceeded"}': 1,
        'admissions_total{result="unpriced_model"}': 1,
        "hold_overruns_total": 1,
    }
    assert {name: float(found[name]) for name in counted} == counted


@pytest.fixture
async def guarded(record_url: str) -> AsyncIterator[Edge]:
    """An application that asks for keys."""
    async with application(record_url, access=AccessSettings(auth="key")) as app:
        yield app


async def client(app: Edge, owner: str, *scopes: str, tenant: str = "acme") -> httpx.AsyncClient:
    key, _ = await keys_of(app).create(tenant, owner, scopes)
    return client_of(app, key)


async def test_only_a_scope_sets_budgets(guarded: Edge) -> None:
    async with (
        await client(guarded, "auditor", SCOPE_ALL_SESSIONS) as auditor,
        await client(guarded, "treasurer", SCOPE_SET_BUDGETS) as treasurer,
    ):
        assert (await treasurer.put("/v1/budgets/b", json=DAILY)).status_code == 200
        for answer in (
            await auditor.put("/v1/budgets/b", json=TOTAL),
            await auditor.delete("/v1/budgets/b"),
            await auditor.post("/v1/holds/c/resolve", json={"written_off": True}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert (await auditor.get("/v1/budgets/b")).json()["limit"] == "25"
        assert (await treasurer.delete("/v1/budgets/b")).status_code == 204


async def test_budgets_of_others_are_out_of_sight(guarded: Edge) -> None:
    people = ("alice", "bob")
    async with (
        await client(guarded, "treasurer", SCOPE_SET_BUDGETS) as treasurer,
        await client(guarded, "alice") as alice,
        await client(guarded, "alice", SCOPE_SET_BUDGETS, tenant="umbrella") as stranger,
    ):
        await treasurer.put("/v1/budgets/tenant", json=DAILY)
        for owner in people:
            body = {"scope": "owner", "subject": owner, "limit": "1"}
            await treasurer.put(f"/v1/budgets/{owner}", json=body)
        await treasurer.put("/v1/budgets/each", json=body | {"subject": "*"})
        for owner in people:
            actor = Actor("acme", owner, sees_all=False)
            await guarded.context.record.acting_as(actor).take_hold(hold(owner))
        budgets = (await alice.get("/v1/budgets")).json()["budgets"]
        assert [budget["budget_id"] for budget in budgets] == ["alice", "each", "tenant"]
        assert [state["subject"] for state in budgets[1]["states"]] == ["alice"]
        assert (await alice.get("/v1/budgets/bob")).status_code == 404
        held = (await alice.get("/v1/holds?state=open")).json()["holds"]
        assert [item["owner"] for item in held] == ["alice"]
        assert (await stranger.get("/v1/budgets")).json() == {"budgets": []}
        assert (await stranger.get("/v1/holds?state=open")).json()["holds"] == []
        assert len((await treasurer.get("/v1/holds?state=open")).json()["holds"]) == 2
        assert len((await treasurer.get("/v1/budgets")).json()["budgets"]) == 4
