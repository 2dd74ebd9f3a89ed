"""Settings of threads over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.server.test_threads import api, events, new_thread, script, serve

__all__ = ["api", "script", "serve"]

TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
DEFAULTS: dict[str, Any] = {
    "workspace": None,
    "mode": "agent",
    "permission_posture": "ask",
    "allow_shell": False,
    "trust_mode": False,
    "auto_approve": False,
    "task_id": None,
    "dynamic_tools": [],
    "environments": [],
}


async def test_settings_are_read_again_as_they_were_made(api: httpx.AsyncClient) -> None:
    asked = {
        "workspace": "/srv/shop",
        "mode": "operate",
        "permission_posture": "auto-review",
        "allow_shell": True,
        "trust_mode": True,
        "task_id": "T-1",
        "dynamic_tools": [TOOL],
        "environments": [{"id": "e1", "os": "linux"}],
    }
    told = asked | {"permission_posture": "auto_review", "auto_approve": False}
    thread_id = await new_thread(api, **asked)
    path = f"/v1/threads/{thread_id}"
    assert (await api.get(path)).json()["thread"].items() >= told.items()
    assert (await api.post(f"{path}/resume")).json().items() >= told.items()
    (row,) = (await api.get("/v1/threads")).json()
    assert (row["mode"], "dynamic_tools" in row, "environments" in row) == ("operate", False, False)
    (row,) = (await api.get("/v1/threads/summary")).json()
    assert (row["mode"], row["workspace"]) == ("operate", "/srv/shop")
    plain = (await api.post("/v1/threads", json={})).json()
    assert plain.items() >= DEFAULTS.items()


async def test_settings_are_changed(api: httpx.AsyncClient) -> None:
    path = f"/v1/threads/{await new_thread(api, workspace='/srv', title='Seats')}"
    changed = await api.patch(path, json={"mode": "yolo", "title": "", "workspace": ""})
    assert changed.status_code == 200
    told = changed.json()
    assert (told["mode"], told["permission_posture"], told["auto_approve"]) == (
        "agent",
        "full_access",
        True,
    )
    assert (told["title"], told["workspace"]) == (None, None)
    assert (await api.get(path)).json()["thread"] == told
    last = (await events(api, told["id"], "thread.updated"))[-1]
    assert last["payload"] == {"changes": ["mode", "title", "workspace"]}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"mode": "owner"}, "invalid_mode"),
        ({"permission_posture": "owner"}, "invalid_posture"),
        ({"dynamic_tools": [TOOL, TOOL]}, "invalid_tools"),
        ({"environments": [{}] * 17}, "invalid_environments"),
    ],
)
async def test_settings_that_nobody_knows_are_refused(
    api: httpx.AsyncClient, asked: dict[str, Any], code: str
) -> None:
    refused = [await api.post("/v1/threads", json=asked)]
    assert (await api.get("/v1/threads")).json() == []
    thread_id = await new_thread(api)
    before = (await api.get(f"/v1/threads/{thread_id}")).json()
    refused.append(await api.patch(f"/v1/threads/{thread_id}", json=asked))
    if "environments" not in asked:
        prompt = {"prompt": "hi"}
        refused.append(await api.post(f"/v1/threads/{thread_id}/turns", json=prompt | asked))
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert (await api.get(f"/v1/threads/{thread_id}")).json() == before


async def test_turn_keeps_what_was_in_force_for_it(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api, permission_posture="ask")
    path = f"/v1/threads/{thread_id}"
    begun = await api.post(
        f"{path}/turns",
        json={
            "prompt": "x" * 300,
            "input_summary": "an x",
            "permission_posture": "auto-review",
            "dynamic_tools": [TOOL],
            "environment_id": "e1",
        },
    )
    assert begun.status_code == 201
    turn = begun.json()["turn"]
    assert (turn["permission_posture"], turn["environment_id"]) == ("auto_review", "e1")
    assert (turn["input_summary"], turn["mode"]) == ("an x", "agent")
    await events(api, thread_id, "turn.completed")
    detail = (await api.get(path)).json()
    assert detail["turns"][0]["permission_posture"] == "auto_review"
    assert detail["thread"]["permission_posture"] == "ask"
    assert detail["thread"]["dynamic_tools"] == []


async def test_thread_is_made_archived(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api, archived=True)
    assert (await api.get("/v1/threads")).json() == []
    (row,) = (await api.get("/v1/threads", params={"archived_only": True})).json()
    assert (row["id"], row["archived"]) == (thread_id, True)


async def test_leave_that_is_remembered_is_the_threads(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    path = f"/v1/threads/{thread_id}"
    for prompt in ("one", "two"):  # the second books a seat
        begun = await api.post(f"{path}/turns", json={"prompt": prompt})
        after = begun.json()["thread"]["latest_seq"]
        if prompt == "one":
            await events(api, thread_id, "turn.completed", since_seq=after)
    asked = (await events(api, thread_id, "approval.required", since_seq=after))[-1]["payload"]
    decision = {"decision": "allow", "remember": True}
    answer = await api.post(f"/v1/approvals/{asked['id']}", json=decision)
    assert answer.json() == {
        "ok": True,
        "approval_id": asked["id"],
        "decision": "allow",
        "delivered": True,
    }
    await events(api, thread_id, "turn.completed", since_seq=after)
    assert (await api.get(path)).json()["thread"]["permission_posture"] == "full_access"
