"""Threads, tried by a stranger of another tenant and by another owner of the same one."""

from __future__ import annotations

import pytest

from hansard.core.threads import make_approval_id
from tests.samples import dialogue
from tests.server.test_isolation import People, people, send
from tests.server.thread_routes import NAMES_A_THREAD

__all__ = ["people"]


@pytest.mark.parametrize("who", ["bob", "stranger"])
async def test_thread_of_another_is_not_found(people: People, who: str) -> None:
    thread_id = (await people.alice.post("/v1/threads", json={})).json()["id"]
    approval_id = make_approval_id(thread_id, 0)
    before, client = people.place.dump(), getattr(people, who)
    for route, case in NAMES_A_THREAD.items():
        names = {"thread_id": thread_id, "approval_id": approval_id}
        answer = await send(client, route, case, **names)
        assert answer.status_code == 404, route
        assert people.place.dump() == before, route
    saved = await client.put("/v1/sessions", json={"thread_id": thread_id})
    stored = await client.post("/v1/sessions", json={"thread_id": thread_id})
    assert (saved.status_code, stored.status_code) == (404, 404)
    assert (await client.get("/v1/threads")).json() == []
    assert (await client.put("/v1/sessions", json={})).status_code == 400
    assert people.place.dump() == before


async def test_journal_is_changed_by_its_thread_alone(people: People) -> None:
    thread_id = (await people.alice.post("/v1/threads", json={})).json()["id"]
    path = f"/v1/sessions/{thread_id}"
    before = people.place.dump()
    for method, url, body in (
        ("PUT", path, {"messages": dialogue(1)}),
        ("POST", f"{path}/messages", {"messages": dialogue(1)}),
        ("POST", f"{path}/turns", {"messages": dialogue(1)}),
        ("POST", f"{path}/revert", {"to_message_index": 0}),
        ("POST", "/v1/sessions", {"session_id": thread_id}),
        ("POST", "/v1/chat/completions", {"messages": dialogue(1), "session_id": thread_id}),
    ):
        refused = await people.alice.request(method, url, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            409,
            "session_is_thread",
        ), url
    assert people.place.dump() == before
    assert (await people.alice.get(path)).is_success


async def test_thread_that_an_auditor_saves_stays_its_owners(people: People) -> None:
    thread_id = (await people.alice.post("/v1/threads", json={})).json()["id"]
    body = {"thread_id": thread_id, "allow_empty": True}
    saved = (await people.auditor.put("/v1/sessions", json=body)).json()["session_id"]
    again = await people.alice.put("/v1/sessions", json=body)
    assert (again.status_code, again.json()["session_id"]) == (200, saved)
    assert (await people.alice.get(f"/v1/sessions/{saved}")).json()["owner"] == "alice"
