"""Threads saved, forked and asked again over HTTP: every answer, and what each leaves as it was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.core.actors import Actor
from hansard.core.errors import NotFound
from hansard.runtime.saves import save
from hansard.server.edge import Edge
from hansard.service.threads import ThreadService
from hansard.settings import ChatSettings
from tests.places import Place
from tests.runtime.logs import follow
from tests.samples import assistant, together, user
from tests.server.applications import application

SCRIPT = "one\n" + json.dumps({"text": "two words", "pause_s": 3600})


@pytest.fixture
async def app(record_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    """An application with an agent whose second answer does not end."""
    (tmp_path / "script").write_text(SCRIPT)
    chat = ChatSettings(script=str(tmp_path / "script"), spool=str(tmp_path / "spool"))
    async with application(record_url, chat=chat) as app:
        yield app


@pytest.fixture
def threads(app: Edge) -> ThreadService:
    return ThreadService(app.context.record.runner)


async def new_thread(api: httpx.AsyncClient, *prompts: str) -> str:
    thread_id: str = (await api.post("/v1/threads", json={})).json()["id"]
    for prompt in prompts:
        await begin(api, thread_id, prompt)
        ended = await api.put("/v1/sessions?wait=turn", json={"thread_id": thread_id})
        assert ended.status_code == 200, ended.text
    return thread_id


async def begin(api: httpx.AsyncClient, thread_id: str, prompt: str) -> str:
    begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": prompt})
    assert begun.status_code == 201, begun.text
    turn_id: str = begun.json()["turn"]["id"]
    return turn_id


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def put(api: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await api.put("/v1/sessions", json=body)


async def test_save_names_a_thread_that_there_is(api: httpx.AsyncClient) -> None:
    assert refusal(await put(api)) == (400, "no_threads")
    for unknown in ("thr_no", "thr_" + "0" * 26):
        assert refusal(await put(api, thread_id=unknown)) == (404, "thread_not_found")
    for malformed in ("a/b", "", " ", "x" * 300):
        answer = await put(api, thread_id=malformed)
        assert answer.status_code == 400, answer.text
    thread_id = await new_thread(api, "hi")
    for malformed in ("a/b", "", " thr", "x" * 129):
        answer = await put(api, thread_id=thread_id, session_id=malformed)
        assert refusal(answer) == (400, "invalid_session_id")


async def test_save_says_which_thread_it_chose(api: httpx.AsyncClient) -> None:
    older = await new_thread(api, "first")
    latest = await new_thread(api, "second")
    archived = await new_thread(api, "third")
    await api.patch(f"/v1/threads/{archived}", json={"archived": True})
    chosen, named = (await put(api)).json(), (await put(api, thread_id=older)).json()
    assert (chosen["thread_id"], chosen["chosen"]) == (latest, "latest")
    assert (named["thread_id"], named["chosen"]) == (older, "named")
    assert (await put(api, thread_id=archived)).status_code == 200


async def test_save_makes_the_session_that_is_named_and_keeps_it_up(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api, "hi")
    made = (await put(api, thread_id=thread_id, session_id="mine")).json()
    assert (made["session_id"], made["created"], made["appended"]) == ("mine", True, 2)
    await api.patch("/v1/sessions/mine", json={"title": "Kept", "archived": True})
    turn_id = await begin(api, thread_id, "two")
    kept = (await put(api, thread_id=thread_id, session_id="mine")).json()
    assert (kept["created"], kept["replaced"]) == (False, 0)
    assert kept["session"]["messages"][:2] == made["session"]["messages"]
    before, after = made["session"]["metadata"], kept["session"]["metadata"]
    assert (after["id"], after["created_at"]) == ("mine", before["created_at"])
    assert (after["title"], after["archived"]) == ("Kept", True)
    assert after["total_tokens"] >= before["total_tokens"]
    assert (kept["turn"]["id"], kept["turn"]["number"]) == (turn_id, 2)
    assert (kept["turn"]["status"], kept["model"]) == ("in_progress", "scripted")
    await api.post(f"/v1/threads/{thread_id}/turns/{turn_id}/interrupt")


async def test_thread_without_words_is_saved_only_if_that_is_wanted(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    assert refusal(await put(api, thread_id=thread_id)) == (400, "empty_thread")
    saved = await put(api, thread_id=thread_id, allow_empty=True)
    assert saved.json()["session"]["messages"] == []
    stored = await api.post("/v1/sessions", json={"thread_id": thread_id})
    assert refusal(stored) == (400, "empty_thread")


async def test_refused_save_leaves_the_session_as_it_is(
    api: httpx.AsyncClient, record_url: str
) -> None:
    thread_id = await new_thread(api, "hi")
    await api.post("/v1/sessions/s/turns?create=true", json={"messages": [user("old")]})
    before = (await api.get("/v1/sessions/s")).json()
    body = {"thread_id": thread_id, "session_id": "s"}
    stale = await api.put("/v1/sessions", json=body, headers={"If-Match": '"77"'})
    assert refusal(stale) == (412, "version_mismatch")
    missing = await api.put(
        "/v1/sessions", json={**body, "session_id": "none"}, headers={"If-Match": "*"}
    )
    assert refusal(missing) == (412, "version_mismatch")
    gone = await api.put(
        "/v1/sessions", json={**body, "session_id": "none"}, headers={"If-Match": '"1"'}
    )
    assert refusal(gone) == (404, "session_not_found")
    assert refusal(await put(api, thread_id="")) == (400, "invalid_thread_id")
    place = Place(kind="", url="", database_url=record_url)
    place.execute("UPDATE session_details SET cost_data = '{' WHERE session_id = 's'")
    assert refusal(await put(api, **body)) == (422, "session_corrupt")
    place.execute("UPDATE session_details SET cost_data = '{}' WHERE session_id = 's'")
    assert (await api.get("/v1/sessions/s")).json() == before
    assert refusal(await api.get("/v1/sessions/none")) == (404, "session_not_found")


async def test_session_of_another_owner_is_not_there(app: Edge, threads: ThreadService) -> None:
    record = app.context.record
    alice, bob = (record.acting_as(Actor("default", who, sees_all=False)) for who in ("al", "bob"))
    await alice.create(session_id="s", messages=[user("hers")])
    runtime = app.context.runtime
    assert runtime is not None
    thread = await runtime.threads(bob.actor).create("scripted")
    with pytest.raises(NotFound):
        await save(runtime, bob.actor, thread.id, "s", allow_empty=True)
    assert (await alice.get("s")).message_count == 1
    with pytest.raises(NotFound):
        await save(runtime, alice.actor, thread.id, "t", allow_empty=True)


async def test_saves_at_once_agree_on_the_session(api: httpx.AsyncClient) -> None:
    thread_id = await new_thread(api)
    turn_id = await begin(api, thread_id, "one")
    answers = await together([put(api, thread_id=thread_id) for _ in range(8)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["session_id"] for answer in answers}) == 1
    assert turn_id.startswith("turn_")


async def test_fork_of_a_thread_does_not_take_its_running_turn_along(
    api: httpx.AsyncClient,
) -> None:
    thread_id = await new_thread(api, "one")
    turn_id = await begin(api, thread_id, "two")
    fork_id = (await api.post(f"/v1/threads/{thread_id}/fork")).json()["id"]
    fork = (await api.get(f"/v1/threads/{fork_id}")).json()
    assert [turn["status"] for turn in fork["turns"]] == ["completed"]
    assert (fork["thread"]["active_turn_id"], fork["thread"]["message_count"]) == (None, 2)
    for way in ("undo", "retry"):
        refused = await api.post(f"/v1/threads/{thread_id}/{way}", json={})
        assert refusal(refused) == (409, "turn_active")
    next_id = await begin(api, fork_id, "another")
    for thread, turn in ((thread_id, turn_id), (fork_id, next_id)):
        await api.post(f"/v1/threads/{thread}/turns/{turn}/interrupt")


async def test_retry_that_cannot_begin_leaves_nothing(
    app: Edge, api: httpx.AsyncClient, threads: ThreadService
) -> None:
    await app.context.record.create(session_id="s", messages=[user("hi"), assistant("ho")])
    await app.context.record.create(session_id="parts", messages=[user([{"type": "text"}])])
    elsewhere, _ = await threads.resume("s", "elsewhere")
    unasked, _ = await threads.resume("parts", "scripted")
    before = (await api.get("/v1/threads")).json()
    for thread, expected in (
        (elsewhere, (409, "agent_unknown")),
        (unasked, (400, "blank_prompt")),
    ):
        answer = await api.post(f"/v1/threads/{thread.id}/retry", json={})
        assert refusal(answer) == expected
    too_deep = await api.post(f"/v1/threads/{unasked.id}/retry", json={"depth": 1})
    assert refusal(too_deep) == (400, "too_few_turns")
    assert (await api.get("/v1/threads")).json() == before


async def test_reader_misses_nothing_while_the_thread_is_saved(
    app: Edge, api: httpx.AsyncClient, threads: ThreadService
) -> None:
    thread_id = await new_thread(api)
    runtime = app.context.runtime
    assert runtime is not None
    source = runtime.source(Actor(), await threads.get(thread_id), after=0)
    seen: list[int] = []
    async with aclosing(follow(source)) as events:
        turn_id = await begin(api, thread_id, "one")
        async for event in events:
            assert event["previous_seq"] == len(seen)
            seen.append(event["seq"])
            assert (await put(api, thread_id=thread_id)).status_code == 200
            if event["event"] == "turn.completed":
                break
    assert event["payload"]["turn"]["id"] == turn_id
    assert seen == list(range(1, len(seen) + 1))


async def test_history_is_read_anew_on_request(
    api: httpx.AsyncClient, threads: ThreadService
) -> None:
    thread_id = await new_thread(api, "one")
    resumed = await api.post(f"/v1/threads/{thread_id}/resume")
    assert (resumed.status_code, resumed.json()["message_count"]) == (200, 2)
    turn_id = await begin(api, thread_id, "two")
    running = await api.post(f"/v1/threads/{thread_id}/resume")
    assert (running.status_code, running.json()["active_turn_id"]) == (200, turn_id)
    await api.post(f"/v1/threads/{thread_id}/turns/{turn_id}/interrupt")
