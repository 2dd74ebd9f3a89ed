"""One call over a bad network: what is sent again, what is not, and what the caller learns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from hansard.client.sessions import RemoteSessions
from hansard.core.errors import HansardError, InvalidInput, NotFound, Unavailable, UpstreamFailed
from tests.samples import user
from tests.scripted import (
    APPENDED,
    REPORT,
    SAVED,
    SUMMARY,
    TURN,
    Script,
    answer,
    failure,
)

Call = Callable[[RemoteSessions], Awaitable[object]]

HELLO = [user("hello")]
USAGE = {"session_id": "s", "usage": TURN["usage"]}
LOST = [httpx.ReadError, httpx.ReadTimeout, httpx.WriteError, httpx.RemoteProtocolError]
UNSENT = [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout]

REPEATABLE: dict[str, tuple[Call, object]] = {
    "get": (lambda record: record.get("s"), SUMMARY),
    "append_turn": (lambda record: record.append_turn("s", HELLO), TURN),
    "update_token_usage": (lambda record: record.update_token_usage("s", event_id="e"), USAGE),
    "save_messages": (lambda record: record.save_messages("s", HELLO), SAVED),
    "update": (lambda record: record.update("s", title="t"), {**SUMMARY, "changes": ["title"]}),
    "delete": (lambda record: record.delete("s"), {"deleted": True}),
    "delete_budget": (lambda record: record.delete_budget("b"), None),
    "list_budgets": (lambda record: record.list_budgets(), {"budgets": []}),
    "list_holds": (lambda record: record.list_holds(), {"holds": [], "next_cursor": None}),
    "exists": (lambda record: record.exists("s"), None),
    "import_session": (lambda record: record.import_session(b"{}"), REPORT),
}
ONCE: dict[str, Call] = {
    "create": lambda record: record.create(),
    "append_messages": lambda record: record.append_messages("s", HELLO),
    "fork": lambda record: record.fork("s"),
    "revert": lambda record: record.revert("s", 0),
    "resolve_hold": lambda record: record.resolve_hold("c", None),
    "save_messages if": lambda record: record.save_messages("s", HELLO, expected_version=1),
    "update if": lambda record: record.update("s", title="t", expected_version=1),
}


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize("name", REPEATABLE)
async def test_repeatable_call_is_sent_again_when_its_answer_is_lost(
    name: str, error: type[httpx.TransportError]
) -> None:
    call, body = REPEATABLE[name]
    script = Script([error, failure(503, "unavailable"), answer(body)])
    async with script.record() as record:
        await call(record)
    assert len(script.requests) == 3
    assert len({request.content for request in script.requests}) == 1


@pytest.mark.parametrize("step", [*LOST, failure(503, "unavailable")])
@pytest.mark.parametrize("name", ONCE)
async def test_other_call_is_sent_once_when_its_answer_is_lost(
    name: str, step: type[httpx.TransportError] | httpx.Response
) -> None:
    script = Script([step])
    async with script.record() as record:
        with pytest.raises(Unavailable):
            await ONCE[name](record)
    assert len(script.requests) == 1


@pytest.mark.parametrize("error", UNSENT)
async def test_any_call_is_sent_again_when_it_never_left(
    error: type[httpx.TransportError],
) -> None:
    script = Script([error, error, answer(APPENDED, 201)])
    async with script.record() as record:
        await record.append_messages("s", HELLO)
    assert len(script.requests) == 3


async def test_turn_keeps_the_id_it_was_given_here(tmp_path: Path) -> None:
    script = Script([httpx.ReadError, answer(TURN, 200, idempotent_replayed="true")])
    async with script.record() as record:
        receipt = await record.append_turn("s", HELLO)
    first, second = script.bodies()
    assert first["turn_id"].startswith("turn_")
    assert first == second
    assert receipt.replayed


async def test_waits_grow_up_to_a_limit_and_end_at_the_deadline() -> None:
    script = Script([httpx.ConnectError])
    async with script.record(retry_deadline_s=20.0) as record:
        with pytest.raises(Unavailable) as caught:
            await record.get("s")
    assert script.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert caught.value.code == "unreachable"


async def test_server_is_given_the_time_it_asks_for() -> None:
    busy = failure(503, "draining")
    busy.headers["Retry-After"] = "3"
    script = Script([busy, answer(SUMMARY)])
    async with script.record() as record:
        await record.get("s")
    assert script.waits == [3.0]


async def test_failure_of_the_server_names_the_request() -> None:
    broken = failure(500, "internal")
    broken.headers["X-Request-Id"] = "r-1"
    async with Script([broken]).record() as record:
        with pytest.raises(HansardError) as caught:
            await record.get("s")
    assert (type(caught.value), caught.value.details) == (HansardError, {"request_id": "r-1"})


async def test_no_deadline_means_no_second_attempt() -> None:
    script = Script([httpx.ReadError])
    async with script.record(retry_deadline_s=0.0) as record:
        with pytest.raises(Unavailable) as caught:
            await record.get("s")
    assert (caught.value.code, len(script.requests)) == ("connection_lost", 1)


async def test_delete_that_was_carried_out_unheard_counts_as_done() -> None:
    script = Script([httpx.ReadError, failure(404, "session_not_found")])
    async with script.record() as record:
        await record.delete("s")
    script = Script([httpx.ReadError, failure(404, "budget_not_found")])
    async with script.record() as record:
        await record.delete_budget("b")


@pytest.mark.parametrize("first", [httpx.ConnectError, None])
async def test_delete_of_nothing_is_not_found(first: type[httpx.TransportError] | None) -> None:
    missing = failure(404, "session_not_found", session_id="s")
    script = Script([first, missing] if first else [missing])
    async with script.record() as record:
        with pytest.raises(NotFound):
            await record.delete("s")


async def test_requests_carry_token_and_prefix() -> None:
    script = Script([answer(SUMMARY)])
    async with script.record(token="secret") as record:
        await record.get("event:a.b")
    (request,) = script.requests
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.url.raw_path == b"/prefix/v1/sessions/event%3Aa.b?messages=none"


async def test_file_is_sent_in_pieces_and_again(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(b"x" * 600_000)
    script = Script([httpx.ReadError, answer(REPORT, 201)])
    async with script.record() as record:
        await record.import_session(path, dry_run=True)
    assert [len(request.content) for request in script.requests] == [600_000, 600_000]
    assert script.requests[1].headers["Content-Length"] == "600000"
    assert script.requests[1].url.params["dry_run"] == "true"


async def test_database_is_not_imported_through_a_server() -> None:
    script = Script([answer(REPORT)])
    async with script.record() as record:
        with pytest.raises(InvalidInput) as caught:
            await record.import_session("postgresql://inside/", "fipsagents-db")
    assert (caught.value.code, script.requests) == ("invalid_source", [])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "https://",
        "https://user:secret@host",
        "https://host/?query",
        "https://host/#part",
        "https://host:port",
    ],
)
def test_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RemoteSessions(url)
    assert caught.value.code == "invalid_url"
    assert "secret" not in str(caught.value)


async def test_answer_that_cannot_be_decoded_is_the_servers_fault() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"no gzip", headers={"Content-Encoding": "gzip"})

    script = Script([broken])
    async with script.record() as record:
        with pytest.raises(UpstreamFailed) as caught:
            await record.get("s")
    assert caught.value.code == "bad_answer"
