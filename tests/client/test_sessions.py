"""The face over HTTP, where it is more than one call; the rest is in the conformance suite."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from hansard.client.composed import FIND_PAGES_MAX
from hansard.client.sessions import RemoteSessions
from hansard.core.errors import InvalidInput, LimitReached, UpstreamFailed
from tests.samples import user
from tests.scripted import SUMMARY, Script, answer

Call = Callable[[RemoteSessions], Awaitable[object]]

REFUSED: dict[str, tuple[Call, str]] = {
    "NaN": (lambda r: r.append_messages("s", [user(float("nan"))]), "invalid_json"),
    "surrogate": (lambda r: r.append_turn("s", [user("\ud800")]), "invalid_json"),
    "NUL": (lambda r: r.save_messages("s", [user("\0")]), "invalid_json"),
    "role": (lambda r: r.append_message("s", "boss", "hi"), "invalid_role"),
    "status": (lambda r: r.append_turn("s", [user("hi")], status="odd"), "invalid_status"),
    "tokens": (
        lambda r: r.update_token_usage("s", event_id="e", input_tokens=-1),
        "invalid_usage",
    ),
    "id": (lambda r: r.get("a b"), "invalid_id"),
    "new id": (lambda r: r.create(session_id="a/b"), "invalid_id"),
    "title": (lambda r: r.create(title="\0"), "invalid_json"),
    "metadata": (lambda r: r.update("s", metadata={"a": float("inf")}), "invalid_json"),
    "limit": (lambda r: r.list(limit=0), "invalid_limit"),
    "filter": (lambda r: r.list(colour="red"), "invalid_filter"),
    "turns": (lambda r: r.list_turns("s", limit=1_001), "invalid_limit"),
    "after": (lambda r: r.list_messages("s", after=-2), "invalid_seq"),
    "tail": (lambda r: r.tail("s", 0), "invalid_limit"),
    "unit": (lambda r: r.tail("s", 1, unit="words"), "invalid_unit"),
    "prefix": (lambda r: r.find_ids("a b"), "invalid_id"),
    "limit of a budget": (
        lambda r: r.put_budget("b", scope="tenant", limit_amount=-1),
        "invalid_budget",
    ),
    "budget": (lambda r: r.get_budget("a b"), "invalid_id"),
    "states": (lambda r: r.get_budget("b", limit=0), "invalid_limit"),
    "hold": (lambda r: r.list_holds(state="lost"), "invalid_state"),
    "call": (lambda r: r.resolve_hold("a b", None), "invalid_id"),
    "nothing": (lambda r: r.append_messages("s", []), "invalid_messages"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_recorded_is_refused_before_it_is_sent(name: str) -> None:
    call, code = REFUSED[name]
    script = Script([httpx.ConnectError])
    async with script.record() as record:
        with pytest.raises(InvalidInput) as caught:
            await call(record)
    assert (caught.value.code, script.requests) == (code, [])


async def test_only_what_is_to_change_is_sent() -> None:
    script = Script([answer({**SUMMARY, "changes": []})])
    async with script.record() as record:
        await record.update("s", title=None, metadata=None, archived=False)
        await record.update("s")
        await record.update("s", cost_data={"a": None}, expected_version=7)
    assert script.bodies() == [
        {"title": None, "metadata": {}, "archived": False},
        {},
        {"cost_data": {"a": None}},
    ]
    assert script.requests[2].headers["If-Match"] == '"7"'
    assert script.requests[0].headers["Prefer"] == "return=minimal"


async def test_filters_are_written_as_the_api_takes_them() -> None:
    script = Script([answer({"sessions": [SUMMARY], "next_cursor": None})])
    async with script.record() as record:
        await record.list(archived=True, search="a&b", created_after_us=1_700_000_000_000_001)
    assert dict(script.requests[0].url.params) == {
        "limit": "50",
        "search": "a&b",
        "archived": "true",
        "sort": "-created_at",
        "created_after": "2023-11-14T22:13:20.000001Z",
    }


def page_of(ids: list[str], cursor: str | None) -> httpx.Response:
    return answer(
        {"sessions": [{**SUMMARY, "session_id": id} for id in ids], "next_cursor": cursor}
    )


async def test_ids_are_found_by_their_beginning_only() -> None:
    script = Script([page_of(["ab2", "xab"], "next"), page_of(["ab1", "abc"], None)])
    async with script.record() as record:
        assert await record.find_ids("ab", limit=2) == ["ab1", "ab2"]
    assert script.requests[1].url.params["cursor"] == "next"


async def test_beginning_that_is_found_elsewhere_too_often_is_refused() -> None:
    script = Script([page_of(["other"], "next")])
    async with script.record() as record:
        with pytest.raises(LimitReached):
            await record.find_ids("ab")
    assert len(script.requests) == FIND_PAGES_MAX


async def test_purge_stops_at_the_first_session_that_was_touched() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return answer({"sessions": sessions, "next_cursor": "more"})
        if request.url.path.endswith("gone"):
            return answer({"error": {"code": "x", "message": "x", "details": {}}}, 404)
        return answer({"deleted": True})

    times = {"old": "2026-01-01", "gone": "2026-01-02", "new": "2026-01-03"}
    sessions: list[dict[str, Any]] = [
        {**SUMMARY, "session_id": id, "message_count": 2, "updated_at": f"{day}T00:00:00Z"}
        for id, day in times.items()
    ]
    script = Script([respond])
    async with script.record() as record:
        report = await record.purge(updated_before_us=1_767_398_400_000_000)
    assert (report.sessions, report.messages) == (2, 4)
    assert [request.method for request in script.requests] == ["GET", "DELETE", "DELETE"]


async def test_answer_of_another_server_is_named_as_such() -> None:
    script = Script([httpx.Response(200, html="<html>login</html>")])
    async with script.record() as record:
        with pytest.raises(UpstreamFailed):
            await record.get("s")
