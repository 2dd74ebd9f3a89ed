"""Threads through a server, from Python: every method once, against a scripted agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hansard.client.threads import RemoteThreads
from hansard.compose import open_database
from hansard.core.errors import Conflict, NotFound
from hansard.server.app import create_app
from hansard.settings import ChatSettings
from tests.server.applications import QUIET, listening

BOOK = {"name": "book", "result": "booked", "approval": True}
SCRIPT = "\n".join(
    [
        json.dumps({"text": "booked", "tools": [BOOK, {**BOOK, "name": "pay"}]}),
        "unheard: a line with tools counts as two",
        json.dumps({"text": "asked", "tools": [{"name": "ask", "asks": True}]}),
        "unheard",
        json.dumps({"text": "run", "tools": [{"name": "run"}]}),
        "unheard",
        json.dumps({"text": "a slow answer", "pause_s": 3600}),
        "summed up",
    ]
)


@pytest.fixture
async def threads(sqlite_url: str, tmp_path: Path) -> AsyncIterator[RemoteThreads]:
    script = tmp_path / "script"
    script.write_text(SCRIPT)
    chat = ChatSettings(script=str(script), spool=str(tmp_path / "spool"))
    app = create_app(open_database(sqlite_url), replace(QUIET, chat=chat))
    with listening(app) as url:
        async with RemoteThreads(url) as threads:
            yield threads


async def until(threads: RemoteThreads, begun: dict[str, Any], kind: str) -> dict[str, Any]:
    """Follow a turn until something happens; return what it carries."""
    async for event in threads.follow(begun["thread"]["id"], begun["thread"]["latest_seq"]):
        if event["event"] == kind:
            payload: dict[str, Any] = event["payload"]
            return payload
    raise AssertionError("a thread has no end")


async def ended(threads: RemoteThreads, begun: dict[str, Any]) -> str:
    return str((await until(threads, begun, "turn.completed"))["turn"]["status"])


async def test_every_step_of_a_thread_is_a_method(threads: RemoteThreads) -> None:
    thread_id = (await threads.create(title="Seats"))["id"]
    await threads.change(thread_id, title="Beds")
    assert (await threads.load(thread_id))["title"] == "Beds"

    begun = await threads.send(thread_id, "book it")
    asked = await until(threads, begun, "approval.required")
    await threads.approve(thread_id, asked["id"])
    (waiting,) = await pending(threads, thread_id, "pending_approvals", other_than=asked["id"])
    await threads.deny(thread_id, waiting["id"])
    assert await ended(threads, begun) == "completed"
    items = (await threads.get(thread_id))["items"]
    results = [item["result"] for item in items if item["kind"] == "tool_call"]
    assert results[0] == "booked"
    assert "not allowed" in results[1]

    begun = await threads.send(thread_id, "ask me")
    asked = await until(threads, begun, "user_input.required")
    await threads.answer(thread_id, asked["id"], "the blue one")
    assert await ended(threads, begun) == "completed"

    begun = await threads.send(thread_id, "run it")
    asked = await until(threads, begun, "tool_call.requested")
    with pytest.raises(NotFound):
        await threads.resolve(thread_id, begun["turn"]["id"], "none", "done")
    await threads.resolve(thread_id, begun["turn"]["id"], asked["id"], "done")
    assert await ended(threads, begun) == "completed"

    begun = await threads.send(thread_id, "be slow")
    await until(threads, begun, "item.delta")
    assert (await threads.steer(thread_id, begun["turn"]["id"], "faster"))["steer_count"] == 1
    with pytest.raises(Conflict):
        await threads.undo(thread_id)
    await threads.interrupt(thread_id, begun["turn"]["id"])
    assert await ended(threads, begun) == "interrupted"

    undone = await threads.undo(thread_id)
    assert undone["original_user_text"] == "be slow"
    retried = await threads.retry(thread_id, "be quick")
    await until(threads, retried, "item.delta")
    await threads.interrupt(retried["thread"]["id"], retried["turn"]["id"])
    saved = await threads.save(retried["thread"]["id"], "kept", wait_s=10)
    assert saved["session"]["messages"][-2]["content"] == "be quick"
    resumed = await threads.resume("kept")
    assert resumed["message_count"] == len(saved["session"]["messages"])
    forked = await threads.fork(resumed["thread_id"])
    assert await ended(threads, await threads.compact(forked["id"])) == "completed"

    assert (await threads.archive(thread_id))["archived"]
    assert thread_id not in [thread["id"] for thread in await threads.list()]


async def pending(
    threads: RemoteThreads, thread_id: str, field: str, *, other_than: str
) -> list[dict[str, Any]]:
    """What waits in a thread, once it is something else."""
    after = 0
    async for event in threads.follow(thread_id, after):
        waits: list[dict[str, Any]] = (await threads.get(thread_id))[field]
        if event["event"] == "approval.required" and event["payload"]["id"] != other_than:
            return waits
    raise AssertionError("a thread has no end")
