"""Goals of threads over HTTP."""

from __future__ import annotations

import httpx

from tests.server.test_threads import api, events, new_thread, script, serve, take_turn

__all__ = ["api", "script", "serve"]

SELL = {"objective": "Sell seats", "token_budget": 1_000}


async def test_goal_is_set_replaced_reached_and_forgotten(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    path = f"/v1/threads/{thread_id}/goal"
    none = await api.get(path)
    assert (none.status_code, none.json()["error"]["code"]) == (404, "goal_not_found")
    made = await api.put(path, json=SELL)
    assert made.status_code == 201
    assert made.json().items() >= {**SELL, "status": "active", "tokens_used": 0}.items()
    await take_turn(api, thread_id)
    used = (await api.get(path)).json()
    assert used["tokens_used"] > 0
    replaced = await api.put(path, json={"objective": "Sell windows"})
    assert replaced.status_code == 200
    assert replaced.json()["goal_id"] != used["goal_id"]
    assert (replaced.json()["tokens_used"], replaced.json()["token_budget"]) == (0, None)
    done = await api.post(f"{path}/complete")
    assert (done.status_code, done.json()["status"]) == (200, "complete")
    assert (await api.get(path)).json() == done.json()
    for move in ("complete", "block"):
        late = await api.post(f"{path}/{move}")
        assert (late.status_code, late.json()["error"]["code"]) == (409, "goal_status")
    assert (await api.delete(path)).status_code == 204
    for gone in (await api.get(path), await api.delete(path), await api.post(f"{path}/block")):
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "goal_not_found")
    assert (await api.put(path, json=SELL)).status_code == 201


async def test_goal_that_was_blocked_is_reached(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    path = f"/v1/threads/{thread_id}/goal"
    await api.put(path, json=SELL)
    assert (await api.post(f"{path}/block")).json()["status"] == "blocked"
    assert (await api.post(f"{path}/complete")).json()["status"] == "complete"
    await api.delete(path)
    told = await events(api, thread_id, "thread_goal_cleared")
    moves = [event["payload"]["goal"]["status"] for event in told if "goal" in event["payload"]]
    assert moves == ["active", "blocked", "complete"]
    assert told[-1]["payload"]["goal_id"] == told[-2]["payload"]["goal"]["goal_id"]


async def test_goal_that_says_nothing_is_refused(api: httpx.AsyncClient) -> None:
    path = f"/v1/threads/{await new_thread(api)}/goal"
    blank = await api.put(path, json={"objective": " "})
    assert (blank.status_code, blank.json()["error"]["code"]) == (400, "blank_objective")
    assert (await api.put(path, json={})).status_code == 422
    assert (await api.put(path, json=SELL | {"token_budget": 0})).status_code == 422
    assert (await api.get(path)).status_code == 404


async def test_goal_of_no_thread_is_not_found(api: httpx.AsyncClient) -> None:
    path = "/v1/threads/thr_0000000000000000000000NONE/goal"
    for answer in (await api.get(path), await api.put(path, json=SELL)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "thread_not_found")
