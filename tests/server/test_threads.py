"""Threads over HTTP, as their clients use them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.settings import ChatSettings
from tests.places import client_at
from tests.server.applications import QUIET, application, client_of, listening

BOOK = {"name": "book", "arguments": {"seat": "1A"}, "result": "booked", "approval": True}
SCRIPT = f"""\
one
{json.dumps({"text": "two", "tools": [BOOK]})}
unheard
{json.dumps({"text": "a slow answer", "pause_s": 3600})}
"""

Serve = Callable[[], str]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def serve(record_url: str, script: Path) -> Iterator[Serve]:
    """Servers on one record, each listening on a port that it says to be reached on."""
    with ExitStack() as stack:

        def start() -> str:
            chat = ChatSettings(script=str(script), spool=str(script.with_name("spool")))
            settings = replace(QUIET, chat=chat)
            app = create_app(open_database(record_url), settings)
            return stack.enter_context(listening(app))

        yield start


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    async with client_at(serve(), timeout=30) as client:
        yield client


async def new_thread(api: httpx.AsyncClient, **fields: Any) -> str:
    made = await api.post("/v1/threads", json=fields)
    assert made.status_code == 201, made.text
    thread_id: str = made.json()["id"]
    assert made.headers["location"] == f"/v1/threads/{thread_id}"
    return thread_id


async def events(
    api: httpx.AsyncClient, thread_id: str, until: str, **query: Any
) -> list[dict[str, Any]]:
    """Read events until one of a name."""
    found = []
    path = f"/v1/threads/{thread_id}/events"
    async with api.stream("GET", path, params=query) as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                if found[-1]["event"] == until:
                    return found
    raise AssertionError("the stream ended")


async def take_turn(api: httpx.AsyncClient, thread_id: str, prompt: str = "hi") -> str:
    begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": prompt})
    assert begun.status_code == 201, begun.text
    assert begun.json()["turn"]["status"] == "in_progress"
    turn_id: str = begun.json()["turn"]["id"]
    after = begun.json()["thread"]["latest_seq"]
    await events(api, thread_id, "turn.completed", since_seq=after)
    return turn_id


async def test_thread_has_a_life(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api, title="Seats")
    turn_id = await take_turn(api, thread_id)
    detail = (await api.get(f"/v1/threads/{thread_id}")).json()
    assert detail["thread"]["title"] == "Seats"
    assert [turn["id"] for turn in detail["turns"]] == [turn_id]
    assert [item["kind"] for item in detail["items"]] == ["user_message", "agent_message"]
    assert detail["items"][1]["text"] == "one"
    assert detail["turns"][0]["usage"]["calls"] == 1
    seen = await events(api, thread_id, "turn.completed")
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert all(event["previous_seq"] == event["seq"] - 1 for event in seen)
    assert detail["latest_seq"] == seen[-1]["seq"]
    (row,) = (await api.get("/v1/threads/summary")).json()
    assert (row["preview"], row["latest_turn_status"]) == ("hi", "completed")


async def test_thread_is_changed_and_archived(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api, title="Seats", model="", system_prompt="")
    path = f"/v1/threads/{thread_id}"
    made = (await api.get(path)).json()["thread"]
    assert (made["model"], made["system_prompt"]) == (None, None)
    changed = await api.patch(path, json={"title": "", "archived": True})
    assert (changed.json()["title"], changed.json()["archived"]) == (None, True)
    assert (await api.get("/v1/threads")).json() == []
    for query in ({"include_archived": True}, {"archived_only": True}):
        (row,) = (await api.get("/v1/threads", params=query)).json()
        assert row["id"] == thread_id
    for nothing, code in (({}, "nothing_to_change"), ({"model": " "}, "blank_model")):
        refused = await api.patch(path, json=nothing)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    for odd in ({"branch": "main"}, {"archived": 1}):
        assert (await api.patch(path, json=odd)).status_code == 422
    assert (await api.patch("/v1/threads/thr_no", json={"title": "x"})).status_code == 404


async def test_events_go_on_where_a_reader_stopped(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    await take_turn(api, thread_id)
    whole = await events(api, thread_id, "turn.completed")
    later = await events(api, thread_id, "turn.completed", since_seq=3)
    assert later == whole[3:]
    newest = await events(api, thread_id, "turn.completed", replay_limit=2)
    assert newest == whole[-2:]
    path = f"/v1/threads/{thread_id}/events"
    assert (await api.get(path, params={"replay_limit": 4097})).status_code == 400


async def test_tool_is_approved_in_its_thread(api: httpx.AsyncClient) -> None:
    thread_id, other_id = await new_thread(api), await new_thread(api)
    await take_turn(api, thread_id)
    begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "book it"})
    turn, after = begun.json()["turn"], begun.json()["thread"]["latest_seq"]
    asked = (await events(api, thread_id, "approval.required"))[-1]["payload"]
    detail = (await api.get(f"/v1/threads/{thread_id}")).json()
    assert [wait["id"] for wait in detail["pending_approvals"]] == [asked["id"]]
    path = f"/v1/threads/{{}}/approvals/{asked['id']}"
    allow = {"decision": "allow"}
    assert (await api.post(path.format(other_id), json=allow)).status_code == 404
    assert (await api.post(path.format(thread_id), json={"decision": "yolo"})).status_code == 400
    assert (await api.post(path.format(thread_id), json=allow)).json()["delivered"]
    assert (await api.post(path.format(thread_id), json=allow)).status_code == 404
    done = await events(api, thread_id, "turn.completed", since_seq=after)
    assert done[-1]["payload"]["turn"]["id"] == turn["id"]
    items = (await api.get(f"/v1/threads/{thread_id}")).json()["items"]
    assert [item.get("result") for item in items if item["kind"] == "tool_call"] == ["booked"]


async def slow_turn(api: httpx.AsyncClient) -> tuple[str, str]:
    """A turn that says a word, and then nothing for an hour."""
    thread_id = await new_thread(api)
    await take_turn(api, thread_id)
    begun = await api.post(
        f"/v1/threads/{thread_id}/turns", json={"prompt": "two", "auto_approve": True}
    )
    after = begun.json()["thread"]["latest_seq"]
    await events(api, thread_id, "turn.completed", since_seq=after)
    begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "three"})
    after = begun.json()["thread"]["latest_seq"]
    await events(api, thread_id, "item.delta", since_seq=after)
    return thread_id, begun.json()["turn"]["id"]


async def test_live_state_is_saved_while_a_turn_runs(api: httpx.AsyncClient) -> None:
    thread_id, turn_id = await slow_turn(api)
    stored = await api.post("/v1/sessions", json={"thread_id": thread_id})
    assert (stored.status_code, stored.json()["error"]["code"]) == (409, "turn_active")
    late = await api.put(
        "/v1/sessions", json={"thread_id": thread_id}, params={"wait": "turn", "timeout_ms": 10}
    )
    assert (late.status_code, late.json()["error"]["code"]) == (504, "turn_runs")
    saved = await api.put("/v1/sessions", json={})
    assert saved.status_code == 200
    told = saved.json()
    assert (told["thread_id"], told["chosen"]) == (thread_id, "latest")
    assert (told["turn"]["id"], told["created"]) == (turn_id, True)
    roles = [message["role"] for message in told["session"]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "tool", "assistant", "user"]
    stale = await api.put(
        "/v1/sessions",
        json={"thread_id": thread_id},
        headers={"If-Match": f'"{told["version"] + 7}"'},
    )
    assert stale.status_code == 412
    busy = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "four"})
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "turn_active")
    interrupted = await api.post(f"/v1/threads/{thread_id}/turns/{turn_id}/interrupt")
    assert interrupted.status_code == 200
    await events(api, thread_id, "turn.completed", since_seq=told["seq"])
    again = await api.put("/v1/sessions", json={"thread_id": thread_id})
    assert again.json()["session_id"] == told["session_id"]
    assert again.json()["session"]["messages"][-1]["content"] == "a"
    total = told["session"]["metadata"]["total_tokens"]
    assert again.json()["session"]["metadata"]["total_tokens"] > total


async def test_session_of_the_engine_is_that_of_the_record(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api, title="Seats")
    assert (await api.post("/v1/sessions", json={"thread_id": thread_id})).status_code == 400
    assert (await api.put("/v1/sessions", json={"thread_id": thread_id})).status_code == 400
    await take_turn(api, thread_id)
    live = await api.put("/v1/sessions", json={"thread_id": thread_id, "session_id": "live"})
    assert live.json()["session_id"] == "live"
    stored = await api.post("/v1/sessions", json={"thread_id": thread_id})
    assert stored.status_code == 201
    assert stored.json()["message_count"] == 2
    session = (await api.get(f"/v1/sessions/{stored.json()['session_id']}")).json()
    assert session["messages"] == live.json()["session"]["messages"]
    assert session["title"] == "Seats"
    assert (await api.put("/v1/sessions", json={"thread_id": "thr_no"})).status_code == 404
    for status, bad in (
        (400, {"session_id": "a/b"}),
        (409, {"session_id": thread_id}),
        (422, {"more": 1}),
    ):
        refused = await api.put("/v1/sessions", json={"thread_id": thread_id, **bad})
        assert refused.status_code == status


async def test_session_goes_on_as_a_thread(api: httpx.AsyncClient) -> None:
    first = await new_thread(api)
    await take_turn(api, first)
    await api.put("/v1/sessions", json={"session_id": "kept"})
    resumed = await api.post("/v1/sessions/kept/resume-thread", json={})
    assert resumed.status_code == 201
    thread_id = resumed.json()["thread_id"]
    assert (thread_id != first, resumed.json()["message_count"]) == (True, 2)
    begun = await api.post(
        f"/v1/threads/{thread_id}/turns", json={"prompt": "book", "auto_approve": True}
    )
    await events(api, thread_id, "turn.completed", since_seq=begun.json()["thread"]["latest_seq"])
    saved = await api.put("/v1/sessions", json={"thread_id": thread_id})
    assert (saved.json()["session_id"], saved.json()["appended"]) == ("kept", 4)
    assert (await api.post("/v1/sessions/none/resume-thread", json={})).status_code == 404


async def test_what_was_undone_does_not_come_back(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    await take_turn(api, thread_id, "first")
    undone = await api.post(f"/v1/threads/{thread_id}/undo", json={})
    assert undone.status_code == 201
    assert undone.json()["original_user_text"] == "first"
    fork_id = undone.json()["thread"]["id"]
    assert undone.json()["thread"]["message_count"] == 0
    await take_turn(api, fork_id, "second")
    saved = await api.put("/v1/sessions", json={"thread_id": fork_id})
    said = [message["content"] for message in saved.json()["session"]["messages"]]
    assert said == ["second", "one"]
    assert (await api.post(f"/v1/threads/{fork_id}/undo", json={"depth": 1})).status_code == 400
    retried = await api.post(f"/v1/threads/{fork_id}/retry", json={})
    assert retried.status_code == 201
    retried_id = retried.json()["thread"]["id"]
    assert retried_id not in {thread_id, fork_id}
    await events(api, retried_id, "turn.completed")


@pytest.mark.parametrize("prompt", ["", " \n", None, 1])
async def test_prompt_that_says_nothing_is_refused(api: httpx.AsyncClient, prompt: Any) -> None:
    thread_id = await new_thread(api)
    refused = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": prompt})
    assert refused.status_code in {400, 422}
    assert (await api.get(f"/v1/threads/{thread_id}")).json()["turns"] == []


async def test_other_server_sends_requests_on_and_streams(serve: Serve) -> None:
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(client_at(serve(), timeout=30)) for _ in range(2)
        ]
        thread_id = await new_thread(one)
        await take_turn(one, thread_id)
        begun = await two.post(
            f"/v1/threads/{thread_id}/turns", json={"prompt": "x", "auto_approve": True}
        )
        assert begun.status_code == 201, begun.text
        after = begun.json()["thread"]["latest_seq"]
        told = await events(two, thread_id, "turn.completed", since_seq=after)
        assert told[-1]["payload"]["turn"]["status"] == "completed"


async def test_no_proxy_sees_what_servers_send_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with (
        httpx.AsyncClient(base_url=serve(), timeout=30, trust_env=False) as one,
        httpx.AsyncClient(base_url=serve(), timeout=30, trust_env=False) as two,
    ):
        thread_id = await new_thread(one)
        await take_turn(one, thread_id)
        changed = await two.patch(f"/v1/threads/{thread_id}", json={"title": "Seats"})
        assert changed.status_code == 200, changed.text


@pytest.mark.parametrize("path", ["/v1/approvals/{}", "/v1/threads/{thread_id}/approvals/{}"])
async def test_any_server_shows_what_is_open_and_passes_decisions_on(
    serve: Serve, path: str
) -> None:
    async with AsyncExitStack() as stack:
        holder, other = [
            await stack.enter_async_context(client_at(serve(), timeout=30)) for _ in range(2)
        ]
        thread_id = await new_thread(holder)
        await take_turn(holder, thread_id)
        begun = await holder.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "book it"})
        after = begun.json()["thread"]["latest_seq"]
        asked = (await events(other, thread_id, "approval.required", since_seq=after))[-1]
        shown = [(await api.get(f"/v1/threads/{thread_id}")).json() for api in (holder, other)]
        assert shown[0] == shown[1]
        assert shown[1]["pending_approvals"] == [asked["payload"]]
        assert shown[1]["latest_seq"] == asked["seq"]
        decide = path.format(asked["payload"]["id"], thread_id=thread_id)
        assert (await other.post(decide, json={"decision": "allow"})).json()["delivered"]
        await events(other, thread_id, "turn.completed", since_seq=after)
        again = await other.post(decide, json={"decision": "allow"})
        assert (again.status_code, again.json()["error"]["code"]) == (404, "approval_not_found")
        shown = [(await api.get(f"/v1/threads/{thread_id}")).json() for api in (holder, other)]
        assert [detail["pending_approvals"] for detail in shown] == [[], []]
        unknown = await other.post("/v1/approvals/appr_1", json={"decision": "allow"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "approval_not_found")


async def test_server_without_an_agent_has_no_threads(record_url: str) -> None:
    async with application(record_url) as app, client_of(app) as api:
        refused = await api.post("/v1/threads", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_agent")
