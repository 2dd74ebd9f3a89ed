"""Sessions as clients of runtimes see them: described, summed up, peeked at, renamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.server.edge import Edge
from hansard.settings import ChatSettings
from tests.places import Place
from tests.samples import assistant, dialogue, user
from tests.server.applications import application, client_of

Api = httpx.AsyncClient
LIVE = {"status", "running", "active", "turn", "active_turn_id", "lease", "holder"}


async def make(api: Api, session_id: str, **fields: Any) -> None:
    made = await api.post("/v1/sessions", json={"session_id": session_id, **fields})
    assert made.status_code == 201, made.text


@pytest.fixture
async def app_with_threads(record_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    """A server where an echo lives in threads."""
    chat = ChatSettings(script="echo", spool=str(tmp_path / "spool"))
    async with application(record_url, chat=chat) as app:
        yield app


@pytest.fixture
async def talks(app_with_threads: Edge) -> AsyncIterator[Api]:
    async with client_of(app_with_threads) as api:
        yield api


async def talk(api: Api, prompt: str, **fields: Any) -> str:
    """Make a thread in which one thing was said, and heard."""
    thread_id: str = (await api.post("/v1/threads", json=fields)).json()["id"]
    begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": prompt})
    assert begun.status_code == 201
    saved = await api.put("/v1/sessions?wait=turn", json={"thread_id": thread_id})
    assert saved.status_code == 200, saved.text
    return thread_id


async def test_detail_says_what_clients_of_runtimes_look_for(api: Api) -> None:
    cost_data = {"input_tokens": 5, "output_tokens": 2}
    fields = {"title": "T", "model": "m", "system_prompt": "p", "metadata": {"id": 1, "a": 2}}
    await make(api, "s", messages=dialogue(2), cost_data=cost_data, **fields)
    body = (await api.get("/v1/sessions/s")).json()
    assert body["metadata"] == {
        "a": 2,
        "id": "s",
        "title": "T",
        "created_at": body["created_at"],
        "updated_at": body["updated_at"],
        "message_count": 2,
        "total_tokens": 7,
        "model": "m",
        "archived": False,
        "parent_session_id": None,
    }
    assert body["own_metadata"] == {"id": 1, "a": 2}
    assert (body["messages"], body["system_prompt"]) == (dialogue(2), "p")


async def test_peek_is_bounded_masked_and_not_live(api: Api) -> None:
    secret = "sk-live-0123456789abcdef"
    calls = [{"id": "c", "type": "function", "function": {"name": "pay", "arguments": secret}}]
    history = [
        *(user(f"{n}") for n in range(20)),
        {**assistant("x" * 500), "reasoning_content": f"use {secret}", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": secret},
    ]
    await make(api, "s", title=f"about {secret}", messages=history)
    peek = (await api.get("/v1/sessions/s?peek=true&entries=5")).json()
    assert [entry["kind"] for entry in peek["entries"]] == [
        "user",
        "reasoning",
        "assistant",
        "tool",
        "tool",
    ]
    assert [entry["truncated"] for entry in peek["entries"]] == [False, False, True, False, False]
    assert [entry["redacted"] for entry in peek["entries"]] == [False, True, False, True, True]
    assert (peek["session_id"], peek["message_count"], peek["omitted_before"]) == ("s", 22, 19)
    assert peek["live"] is False
    assert not LIVE & peek.keys()
    assert secret not in str(peek)


@pytest.mark.parametrize(("entries", "count"), [(-1, 1), (0, 1), (12, 12), (10_000, 12)])
async def test_peek_shows_one_to_twelve_entries(api: Api, entries: int, count: int) -> None:
    await make(api, "s", messages=[user(f"{n}") for n in range(20)])
    peek = (await api.get(f"/v1/sessions/s?peek=1&entries={entries}")).json()
    assert [entry["text"] for entry in peek["entries"]] == [
        f"{20 - count + n}" for n in range(count)
    ]
    assert peek["omitted_before"] == 20 - count


async def test_peek_at_nothing_shows_nothing(api: Api) -> None:
    await make(api, "s")
    peek = (await api.get("/v1/sessions/s?peek=true")).json()
    assert (peek["entries"], peek["omitted_before"], peek["title"]) == ([], 0, "New Session")
    assert (await api.get("/v1/sessions/none?peek=true")).status_code == 404


async def test_summary_has_a_row_for_each_session(api: Api) -> None:
    cost_data = {"input_tokens": 5, "output_tokens": 2}
    await make(api, "b", title="x" * 200, messages=dialogue(2), cost_data=cost_data)
    await make(api, "a", title="Zürich", model="m")
    await make(api, "c")
    await api.patch("/v1/sessions/c", json={"archived": True})

    async def ids(**query: Any) -> list[str]:
        answer = await api.get("/v1/sessions/summary", params=query)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()]

    assert await ids() == ["a", "b"]
    assert await ids(include_archived=True) == ["c", "a", "b"]
    assert await ids(archived_only=True, include_archived=True) == ["c"]
    assert await ids(sort="name", include_archived=True) == ["c", "a", "b"]
    assert await ids(sort="size") == ["b", "a"]
    assert await ids(sort="whatever") == ["a", "b"]
    assert await ids(search="zür") == ["a"]
    assert await ids(limit=0) == ["a"]
    assert await ids(limit=10_000) == ["a", "b"]
    (row,) = (await api.get("/v1/sessions/summary?sort=size&limit=1")).json()
    detail = (await api.get("/v1/sessions/b")).json()
    assert row == {
        "id": "b",
        "title": "x" * 140,
        "preview": "x" * 140,
        "model": None,
        "archived": False,
        "message_count": 2,
        "total_tokens": 7,
        "updated_at": detail["updated_at"],
        "created_at": detail["created_at"],
        "parent_session_id": None,
    }


async def test_rename_tells_what_has_moved(api: Api) -> None:
    await make(api, "s", title="old")
    given = {"title": "n\u202ee\nw\x1b", "archived": True}
    body = (await api.patch("/v1/sessions/s", json=given)).json()
    assert body["changes"] == {"title": "new", "archived": True}
    assert (body["session"]["id"], body["session"]["title"]) == ("s", "new")
    assert (body["title"], body["metadata"]) == ("new", {})
    again = (await api.patch("/v1/sessions/s", json={"title": "new", "archived": True})).json()
    assert (again["changes"], again["version"]) == ({}, body["version"])
    assert (await api.get("/v1/sessions/s")).json()["title"] == "new"


@pytest.mark.parametrize("title", ["", "  ", "\u202e\n"])
async def test_blank_title_is_refused(api: Api, title: str) -> None:
    await make(api, "s", title="old")
    refused = await api.patch("/v1/sessions/s", json={"title": title})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "blank_title")
    assert (await api.get("/v1/sessions/s")).json()["title"] == "old"


async def test_saved_session_is_named_by_who_names_it_first(talks: Api) -> None:
    titles = {}
    for title in (None, "Of the thread"):
        thread_id = await talk(talks, "Of the prompt\nand more", title=title)
        saved = (await talks.get(f"/v1/threads/{thread_id}")).json()["thread"]["session_id"]
        titles[title] = [(await talks.get(f"/v1/sessions/{saved}")).json()["title"]]
        for asked in ("Of the\u202e request", None):
            body = {"thread_id": thread_id, "title": asked}
            titles[title].append((await talks.post("/v1/sessions", json=body)).json()["title"])
    assert titles == {
        None: ["Of the prompt", "Of the request", "Of the prompt"],
        "Of the thread": ["Of the thread", "Of the request", "Of the thread"],
    }


async def test_what_cannot_be_saved_is_refused(talks: Api) -> None:
    thread_id = await talk(talks, "hi")
    for body, code in (
        ({"thread_id": ""}, "invalid_thread_id"),
        ({"thread_id": " "}, "invalid_thread_id"),
        ({"thread_id": thread_id, "title": " "}, "blank_title"),
    ):
        refused = await talks.post("/v1/sessions", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    count = len((await talks.get("/v1/sessions")).json()["sessions"])
    assert count == 1


async def test_thread_is_saved_as_no_session_once_that_is_gone(talks: Api) -> None:
    thread_id = await talk(talks, "hi")
    path = f"/v1/threads/{thread_id}"
    saved = (await talks.get(path)).json()["thread"]["session_id"]
    assert (await talks.delete(f"/v1/sessions/{saved}")).json() == {"deleted": True}
    assert (await talks.get(path)).json()["thread"]["session_id"] is None
    await talks.patch(path, json={"title": "by an engine that was loaded before"})
    assert (await talks.get(path)).json()["thread"]["session_id"] is None
    again = (await talks.put("/v1/sessions", json={"thread_id": thread_id})).json()
    assert again["created"]
    assert again["session_id"] != saved
    assert (await talks.get(path)).json()["thread"]["session_id"] == again["session_id"]
    assert (await talks.delete(f"/v1/sessions/{saved}")).status_code == 404


async def test_journal_may_be_held_but_neither_changed_nor_removed(talks: Api) -> None:
    path = f"/v1/sessions/{await talk(talks, 'hi')}"
    for method, body in (
        ("PATCH", {"title": "x"}),
        ("PATCH", {"archived": True, "legal_hold": True}),
        ("DELETE", None),
    ):
        refused = await talks.request(method, path, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "session_is_thread")
    held = await talks.patch(path, json={"legal_hold": True})
    assert held.json()["changes"] == {"legal_hold": True}


async def test_journal_that_is_removed_takes_its_thread_along(
    app_with_threads: Edge, talks: Api
) -> None:
    record, held, gone = app_with_threads.context.record, *[await talk(talks, "hi") for _ in "ab"]
    await talks.patch(f"/v1/sessions/{held}", json={"legal_hold": True})
    await record.purge(updated_before_us=2**52)
    assert (await talks.get(f"/v1/threads/{held}")).json()["items"][-1]["text"] == "hi"
    for path in ("", "/events"):
        assert (await talks.get(f"/v1/threads/{gone}{path}")).status_code == 404
    counts = await record.runner.read(
        lambda tx: [
            len(tx.rows(query, (), tenant_id="default", thread_id=gone, **bounds))
            for query, bounds in (
                ("thread_get", {}),
                ("thread_turn_list", {"before": 2**53, "limit": 9}),
                ("thread_event_list", {"after": 0, "limit": 9}),
            )
        ]
    )
    assert counts == [0, 0, 0]


async def test_journal_stays_while_a_turn_of_its_thread_runs(
    app_with_threads: Edge, talks: Api, record_url: str
) -> None:
    thread_id, record = await talk(talks, "hi"), app_with_threads.context.record
    place = Place(kind="", url="", database_url=record_url)
    for turn_id, status in (("'turn_1'", 200), ("NULL", 404)):
        place.execute(f"UPDATE threads SET turn_id = {turn_id}")
        await record.purge(updated_before_us=2**52)
        assert (await talks.get(f"/v1/sessions/{thread_id}")).status_code == status


async def test_what_threads_used_is_reported_by_their_journals(talks: Api) -> None:
    thread_id = await talk(talks, "hi")
    for group in ("session", "model", "provider", "day"):
        report = (await talks.get("/v1/usage", params={"group_by": group})).json()
        (bucket,) = report["buckets"]
        assert bucket["usage"]["calls"] == 1
        if group == "session":
            assert bucket["key"] == {"session": thread_id}
    refused = await talks.get("/v1/usage", params={"group_by": "thread"})
    assert (refused.status_code, "session" in refused.text) == (422, True)


async def test_journal_is_gone_on_with_as_a_thread_of_its_own(talks: Api) -> None:
    thread_id = await talk(talks, "hi")
    resumed = (await talks.post(f"/v1/sessions/{thread_id}/resume-thread")).json()["thread_id"]
    saved = await talks.put("/v1/sessions", json={"thread_id": resumed})
    assert (saved.status_code, saved.json()["created"]) == (200, True)
    assert not saved.json()["session_id"].startswith("thr_")


async def test_question_in_parts_is_asked_again(talks: Api) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://host/picture.png"}}
    parts = [{"type": "text", "text": "What is"}, picture, {"type": "text", "text": " this?"}]
    await make(talks, "s", messages=[{"role": "user", "content": parts}])
    thread_id = (await talks.post("/v1/sessions/s/resume-thread")).json()["thread_id"]
    undone = await talks.post(f"/v1/threads/{thread_id}/undo")
    assert undone.json()["original_user_text"] == "What is this?"
    asked = await talks.post(f"/v1/threads/{thread_id}/retry")
    assert (asked.status_code, asked.json()["turn"]["input_summary"]) == (201, "What is this?")


@pytest.mark.parametrize(
    ("search", "code"), [("a\0b", "invalid_json"), ("a" * 257, "invalid_field")]
)
@pytest.mark.parametrize("path", ["/v1/threads", "/v1/threads/summary", "/v1/sessions/summary"])
async def test_text_that_no_title_can_hold_is_not_sought(
    talks: Api, path: str, search: str, code: str
) -> None:
    refused = await talks.get(path, params={"search": search})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, code)
