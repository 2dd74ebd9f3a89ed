"""`POST /v1/stream`: one turn and its stream in one request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.server.stream_once import Simplifier
from hansard.settings import ChatSettings
from tests.server.applications import application, client_of
from tests.server.test_thread_receipts import refusal
from tests.server.test_threads import Serve, api, events, script, serve

__all__ = ["api", "script", "serve"]

Told = list[tuple[str, dict[str, Any]]]


async def events_of(stream: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Read a stream to its end."""
    name = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def ask(api: httpx.AsyncClient, **body: Any) -> Told:
    """Ask, and return all that is told."""
    async with api.stream("POST", "/v1/stream", json=body) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        return [event async for event in events_of(stream)]


async def test_answer_is_told_once_and_the_stream_ends(api: httpx.AsyncClient) -> None:
    told = await ask(api, prompt="hi", mode="yolo", workspace="/srv")
    assert [name for name, _ in told] == ["turn.started", "message.delta", "turn.completed", "done"]
    begun, delta, ended, done = [data for _, data in told]
    assert delta == {"content": "one"}
    assert (ended["turn_id"], ended["status"]) == (begun["turn_id"], "completed")
    assert ended["usage"]["calls"] == 1
    assert done == {}
    assert (await api.get("/v1/threads")).json() == []
    thread = (await api.get(f"/v1/threads/{begun['thread_id']}")).json()["thread"]
    assert (thread["archived"], thread["workspace"], thread["auto_approve"]) == (
        True,
        "/srv",
        True,
    )
    saved = await api.put("/v1/sessions", json={})  # what was asked once is not the latest
    assert refusal(saved) == (400, "no_threads")


async def test_question_that_cannot_be_asked_leaves_no_thread(api: httpx.AsyncClient) -> None:
    for body, code in (
        ({"prompt": " \n"}, "blank_prompt"),
        ({"prompt": "hi", "mode": "owner"}, "invalid_mode"),
    ):
        assert refusal(await api.post("/v1/stream", json=body)) == (400, code)
    unknown = await api.post("/v1/stream", json={"prompt": "hi", "agent": "nobody"})
    assert refusal(unknown) == (422, "agent_unknown")
    query = {"include_archived": True}
    assert (await api.get("/v1/threads", params=query)).json() == []


async def test_turn_goes_on_without_its_client(api: httpx.AsyncClient) -> None:
    async with api.stream("POST", "/v1/stream", json={"prompt": "hi"}) as stream:
        assert stream.status_code == 200
    (row,) = (await api.get("/v1/threads", params={"archived_only": True})).json()
    told = await events(api, row["id"], "turn.completed")
    assert told[-1]["payload"]["turn"]["status"] == "completed"


async def test_secret_answer_is_in_no_frame(serve: Serve, script: Path) -> None:
    pin = {"name": "pin", "asks": True}
    script.write_text(json.dumps({"text": "done", "tools": [pin]}))
    told: Told = []
    async with (
        httpx.AsyncClient(base_url=serve(), timeout=30) as api,
        api.stream("POST", "/v1/stream", json={"prompt": "hi"}) as stream,
    ):
        async for event in events_of(stream):
            told.append(event)
            if event[0] == "user_input.required":
                path = f"/v1/user-input/{told[0][1]['thread_id']}/{event[1]['id']}"
                answers = {"answers": [{"id": "pin", "value": "1234"}]}
                assert (await api.post(path, json=answers)).json()["delivered"]
                late = await api.post(path, json=answers)
                assert refusal(late) == (404, "user_input_not_found")
    names = [name for name, _ in told]
    assert names.count("user_input.required") == names.count("user_input.answered") == 1
    assert names.index("tool.started") < names.index("user_input.required")
    assert names[-2:] == ["turn.completed", "done"]
    assert "1234" not in str(told)


async def test_question_that_finds_no_room_leaves_no_thread(
    record_url: str, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(json.dumps({"text": "a slow answer", "pause_s": 3600}))
    chat = ChatSettings(script=str(script), spool=str(tmp_path / "spool"), max_turns=1)
    async with application(record_url, chat=chat) as app, client_of(app) as api:
        thread_id = (await api.post("/v1/threads", json={})).json()["id"]
        begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "hi"})
        assert begun.status_code == 201
        refused = await api.post("/v1/stream", json={"prompt": "hi"})
        assert refusal(refused) == (429, "too_many_turns")
        app.context.streams.close()
        refused = await api.post("/v1/stream", json={"prompt": "hi"})
        assert refusal(refused) == (503, "draining")
        rows = (await api.get("/v1/threads", params={"include_archived": True})).json()
        assert [row["id"] for row in rows] == [thread_id]
        await api.post(f"/v1/threads/{thread_id}/turns/{begun.json()['turn']['id']}/interrupt")


def item(kind: str, item_id: str = "i1", **fields: Any) -> dict[str, Any]:
    return {"item": {"id": item_id, "turn_id": "turn_1", "kind": kind, **fields}}


TOOL = {"id": "c1", "name": "book", "arguments": "{}"}


@pytest.mark.parametrize(
    ("kind", "payload", "told"),
    [
        ("turn.started", {}, [("turn.started", {"thread_id": "thr_1", "turn_id": "turn_1"})]),
        ("turn.interrupt_requested", {}, [("status", {"status": "interrupt_requested"})]),
        (
            "item.delta",
            {"kind": "agent_message", "delta": "so"},
            [("message.delta", {"content": "so"})],
        ),
        ("item.delta", {"kind": "agent_reasoning", "delta": "hm"}, []),
        ("item.started", item("tool_call", tool=TOOL), [("tool.started", TOOL)]),
        ("item.started", item("agent_message", text=""), []),
        (
            "item.completed",
            item("tool_call", tool=TOOL, result="ok", status="completed"),
            [("tool.completed", {"id": "c1", "name": "book", "success": True, "output": "ok"})],
        ),
        (
            "item.interrupted",
            item("tool_call", tool=TOOL, status="interrupted"),
            [("tool.completed", {"id": "c1", "name": "book", "success": False, "output": None})],
        ),
        ("item.completed", item("user_message", content="hi", status="completed"), []),
        (
            "approval.required",
            {"id": "a", "turn_id": "turn_1", "tool_name": "book", "internal": 1},
            [("approval.required", {"id": "a", "tool_name": "book"})],
        ),
        (
            "approval.decided",
            {"id": "a", "decision": "allow", "remember": False},
            [("approval.decided", {"id": "a", "decision": "allow", "remember": False})],
        ),
        (
            "user_input.answered",
            {"id": "i", "answer": "1234"},
            [("user_input.answered", {"id": "i"})],
        ),
        ("message.completed", {"message": {"role": "user", "content": "hi"}}, []),
        ("usage.recorded", {"call": {}}, []),
        ("thread.updated", {"changes": []}, []),
    ],
)
def test_event_is_told_in_simpler_words(kind: str, payload: dict[str, Any], told: Told) -> None:
    assert Simplifier("thr_1", "turn_1").tell(kind, "i1", payload) == told


def test_text_that_was_not_told_in_pieces_is_told_at_its_end() -> None:
    simplifier = Simplifier("thr_1", "turn_1")
    simplifier.tell("item.delta", "i1", {"kind": "agent_message", "delta": "so "})
    ended = item("agent_message", text="so far", status="completed")
    assert simplifier.tell("item.completed", "i1", ended) == [("message.delta", {"content": "far"})]
    assert simplifier.tell("item.completed", "i1", ended) == []


def test_turn_that_failed_says_why_before_it_ends() -> None:
    error = {"code": "no_output", "message": "nothing"}
    turn = {"id": "turn_1", "status": "failed", "error": error}
    told = Simplifier("thr_1", "turn_1").end(turn, None)
    assert [name for name, _ in told] == ["error", "turn.completed", "done"]
    assert told[0][1] == error
