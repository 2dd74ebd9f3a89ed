"""``kill -9`` of a server while turns of threads run: what was seen stays, and nothing runs on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from hansard.compose import open_database
from hansard.service.threads import ThreadService
from tests.faults.served import Service
from tests.faults.test_killed_chat import ready
from tests.places import Place

SCRIPT = json.dumps({"text": "one two three four five six seven", "pause_s": 0.05})
THREADS = 3


def served(record_url: str, folder: Path) -> Service:
    script = folder / "script"
    script.write_text(f"{SCRIPT}\n")
    environment = {"HANSARD_SCRIPT": str(script), "HANSARD_SPOOL": str(folder / "spool")}
    return Service(record_url, folder, environment)


async def begin(api: httpx.AsyncClient) -> str:
    thread_id = (await api.post("/v1/threads", json={})).json()["id"]
    begun = await api.post(f"/v1/threads/{thread_id}/turns", json={"prompt": "count"})
    assert begun.status_code == 201, begun.text
    return str(thread_id)


async def watch(api: httpx.AsyncClient, thread_id: str, deltas: int) -> list[dict[str, Any]]:
    """Read events until so many pieces of text were seen."""
    seen: list[dict[str, Any]] = []
    async with api.stream("GET", f"/v1/threads/{thread_id}/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: ")))
                if sum(event["event"] == "item.delta" for event in seen) >= deltas:
                    break
    return seen


@pytest.mark.parametrize("deltas", [2])
async def test_no_event_that_was_seen_is_missing_afterwards(
    record_url: str, tmp_path: Path, deltas: int
) -> None:
    service = served(record_url, tmp_path)
    service.start()
    await ready(service)
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as api:
        names = [await begin(api) for _ in range(THREADS)]
        seen = {name: await watch(api, name, deltas) for name in names}
    service.kill()
    place = Place(kind="", url="", database_url=record_url)
    place.execute("UPDATE threads SET lease_until_us = 0")  # as if its time were over
    service = served(record_url, tmp_path)
    service.start()
    await ready(service)
    try:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as api:
            for name in names:
                again = await api.post(f"/v1/threads/{name}/turns", json={"prompt": "go on"})
                assert again.status_code == 201, again.text
    finally:
        service.kill()
    async with open_database(record_url) as record:
        threads = ThreadService(record.runner)
        for name in names:
            events = await threads.list_events(name, after=0, limit=1_000)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            logged = {event.seq: (event.kind, json.loads(event.payload)) for event in events}
            for event in seen[name]:
                assert logged[event["seq"]] == (event["event"], event["payload"])
            *_, first = await threads.list_turns(name)
            assert first.status in {"interrupted", "completed"}
            said = "".join(
                event["payload"]["delta"] for event in seen[name] if event["event"] == "item.delta"
            )
            journal = [message.body async for message in record.messages(name)]
            assert journal[0] == {"role": "user", "content": "count"}
            assert not said or journal[1]["content"].startswith(said)
            assert (await record.verify(name)).ok
