"""What clients of threads are answered: receipts, late requests, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard import __version__
from hansard.server.patch_undo import NO_FILES
from hansard.settings import AccessSettings
from tests.server.applications import application, client_of
from tests.server.test_threads import (
    Serve,
    api,
    events,
    new_thread,
    script,
    serve,
    slow_turn,
    take_turn,
)

__all__ = ["api", "script", "serve"]

NOBODYS = "thr_0000000000000000000000NONE"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal, in the one shape of errors."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details"}
    return answer.status_code, error["code"]


async def test_running_turn_is_steered_and_interrupted(api: httpx.AsyncClient) -> None:
    thread_id, turn_id = await slow_turn(api)
    path = f"/v1/threads/{thread_id}/turns/{turn_id}"
    steered = await api.post(f"{path}/steer", json={"prompt": "faster"})
    assert (steered.status_code, steered.json()["steer_count"]) == (200, 1)
    assert (steered.json()["id"], steered.json()["status"]) == (turn_id, "in_progress")
    assert refusal(await api.post(f"{path}/steer", json={"prompt": " "})) == (400, "blank_prompt")
    too_long = await api.post(f"{path}/steer", json={"prompt": "x" * 1_000_000})
    assert refusal(too_long) == (429, "too_many_steers")
    interrupted = await api.post(f"{path}/interrupt")
    assert (interrupted.status_code, interrupted.json()["id"]) == (200, turn_id)
    told = await events(api, thread_id, "turn.interrupt_requested")
    ended = await events(api, thread_id, "turn.completed", since_seq=told[-1]["seq"])
    assert ended[-1]["payload"]["turn"]["status"] == "interrupted"
    assert "turn.steered" in {event["event"] for event in told}
    turn = (await api.get(f"/v1/threads/{thread_id}")).json()["turns"][-1]
    assert (turn["status"], turn["steer_count"]) == ("interrupted", 1)
    assert turn["duration_ms"] is not None


async def test_turn_that_is_over_takes_nothing_more(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    turn_id = await take_turn(api, thread_id)
    for turn in (turn_id, "turn_none"):
        path = f"/v1/threads/{thread_id}/turns/{turn}"
        for late in (
            await api.post(f"{path}/steer", json={"prompt": "more"}),
            await api.post(f"{path}/interrupt"),
        ):
            assert refusal(late) == (409, "turn_not_active")
        result = await api.post(f"{path}/tool-calls/c1/result", json={"success": True})
        assert refusal(result) == (404, "tool_call_not_found")
    answers = {"answers": [{"id": "a", "value": "b"}]}
    late = await api.post(f"/v1/user-input/{thread_id}/input_none", json=answers)
    assert refusal(late) == (404, "user_input_not_found")
    for path in ("/v1/approvals/appr_none", f"/v1/threads/{thread_id}/approvals/appr_none"):
        late = await api.post(path, json={"decision": "allow"})
        assert refusal(late) == (404, "approval_not_found")


async def test_result_of_a_tool_is_given_once(serve: Serve, script: Path) -> None:
    script.write_text(json.dumps({"text": "two", "tools": [{"name": "look"}]}))
    async with httpx.AsyncClient(base_url=serve(), timeout=30) as api:
        thread_id = await new_thread(api)
        path = f"/v1/threads/{thread_id}"
        turn_id = (await api.post(f"{path}/turns", json={"prompt": "hi"})).json()["turn"]["id"]
        asked = (await events(api, thread_id, "tool_call.requested"))[-1]["payload"]
        detail = (await api.get(path)).json()
        assert [call["id"] for call in detail["pending_dynamic_tool_calls"]] == [asked["id"]]
        result = {"success": True, "content": [{"type": "input_text", "text": "free"}]}
        right = f"{path}/turns/{turn_id}/tool-calls/{asked['id']}/result"
        for wrong in (
            f"{path}/turns/turn_other/tool-calls/{asked['id']}/result",
            f"{path}/turns/{turn_id}/tool-calls/other/result",
        ):
            assert refusal(await api.post(wrong, json=result)) == (404, "tool_call_not_found")
        assert (await api.post(right, json=result)).status_code == 202
        assert refusal(await api.post(right, json=result)) == (404, "tool_call_not_found")
        told = await events(api, thread_id, "turn.completed")
    (resolved,) = [event["payload"] for event in told if event["event"] == "tool_call.resolved"]
    assert resolved == {"id": asked["id"], "success": True}


async def test_compaction_is_a_turn_that_tells_its_reason(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    path = f"/v1/threads/{thread_id}/compact"
    assert refusal(await api.post(path, json={})) == (400, "empty_thread")
    await take_turn(api, thread_id)
    begun = await api.post(path, json={"reason": "it grew"})
    assert begun.status_code == 202
    turn = begun.json()["turn"]
    assert (turn["kind"], turn["status"]) == ("compaction", "in_progress")
    assert turn["input_summary"] == "it grew"
    after = begun.json()["thread"]["latest_seq"]
    await events(api, thread_id, "turn.completed", since_seq=after)


async def test_compaction_waits_for_no_turn(api: httpx.AsyncClient) -> None:
    thread_id, _ = await slow_turn(api)
    busy = await api.post(f"/v1/threads/{thread_id}/compact", json={})
    assert refusal(busy) == (409, "turn_active")


@pytest.mark.parametrize("depth", [1, -1, 2**53, 2**70])
async def test_more_turns_than_there_are_cannot_be_undone(
    api: httpx.AsyncClient, depth: int
) -> None:
    thread_id = await new_thread(api)
    await take_turn(api, thread_id)
    for verb in ("undo", "patch-undo", "retry"):
        refused = await api.post(f"/v1/threads/{thread_id}/{verb}", json={"depth": depth})
        assert refusal(refused) == (400, "too_few_turns")
    assert len((await api.get("/v1/threads")).json()) == 1


async def test_files_are_said_to_stay_when_turns_are_undone(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    await take_turn(api, thread_id, "first")
    undone = await api.post(f"/v1/threads/{thread_id}/patch-undo", json={})
    assert undone.status_code == 201
    assert undone.json()["original_user_text"] == "first"
    assert undone.json()["thread"]["parent_thread_id"] == thread_id
    assert undone.json()["patch_result"] == {
        "files_restored": False,
        "summary": NO_FILES,
        "snapshot_label": None,
    }


async def test_archived_only_wins(api: httpx.AsyncClient) -> None:
    await new_thread(api)
    thread_id = await new_thread(api, title="old", archived=True)
    both = {"archived_only": True, "include_archived": True}
    for path in ("/v1/threads", "/v1/threads/summary"):
        (row,) = (await api.get(path, params=both)).json()
        assert (row["id"], row["archived"]) == (thread_id, True)
        assert len((await api.get(path, params={"include_archived": True})).json()) == 2
    (row,) = (await api.get("/v1/threads/summary", params=both)).json()
    assert set(row) == {
        "id",
        "title",
        "preview",
        "model",
        "mode",
        "workspace",
        "agent",
        "archived",
        "updated_at",
        "latest_turn_id",
        "latest_turn_status",
    }


@pytest.mark.parametrize("limit", [0, -1, "many"])
async def test_list_of_no_size_is_refused(api: httpx.AsyncClient, limit: Any) -> None:
    for path in ("/v1/threads", "/v1/threads/summary"):
        assert (await api.get(path, params={"limit": limit})).status_code == 422


@pytest.mark.parametrize("body", [{"prompt": "hi", "more": 1}, {}, []])
async def test_body_that_does_not_fit_is_refused_and_begins_nothing(
    api: httpx.AsyncClient, body: Any
) -> None:
    thread_id = await new_thread(api)
    path = f"/v1/threads/{thread_id}"
    assert refusal(await api.post(f"{path}/turns", json=body)) == (422, "invalid_body")
    detail = (await api.get(path)).json()
    assert (detail["turns"], detail["items"], detail["latest_seq"]) == ([], [], 1)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/events", None),
        ("POST", "/resume", None),
        ("POST", "/turns", {"prompt": "hi"}),
        ("POST", "/patch-undo", {}),
    ],
)
async def test_thread_that_nobody_made_is_not_found(
    api: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    for thread_id in (NOBODYS, "nothing"):
        answer = await api.request(method, f"/v1/threads/{thread_id}{path}", json=body)
        assert refusal(answer) == (404, "thread_not_found")
    answer = await api.request(method, f"/v1/threads/no%20id{path}", json=body)
    assert refusal(answer) == (400, "invalid_thread_id")


async def test_anybody_may_ask_what_a_server_is(api: httpx.AsyncClient, record_url: str) -> None:
    info = (await api.get("/v1/runtime/info")).json()
    assert (info["service"], info["version"]) == ("hansard", __version__)
    assert (info["auth_required"], info["transports"]) == (False, ["http", "sse"])
    assert info["capabilities"].items() >= {"threads": True, "goals": True}.items()
    access = AccessSettings(auth="key")
    async with application(record_url, access=access) as app, client_of(app) as stranger:
        told = await stranger.get("/v1/runtime/info")
        assert told.status_code == 200
        assert told.json()["auth_required"]
        assert told.json()["capabilities"].items() >= {"threads": False, "usage": True}.items()
        assert (await stranger.get("/v1/threads")).status_code == 401
