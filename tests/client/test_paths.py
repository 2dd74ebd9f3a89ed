"""The client's routes are the server's."""

from __future__ import annotations

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.client import paths
from hansard.client.paths import Route
from hansard.core.errors import InvalidInput
from hansard.server.endpoints import ENDPOINTS

ROUTES = {value for value in vars(paths).values() if isinstance(value, Route)}
SERVED = {(row.method, row.path) for row in ENDPOINTS if row.path.startswith("/v1/")}
BESIDE_THE_RECORD = {"approvals", "chat", "feedback", "models", "traces"}
"""What the service has beside the record, and its client does not speak of."""
WRITTEN_ELSEWHERE = {("GET", "/v1/usage/export")}  # a table for people, not for programs
FOR_OTHER_CLIENTS = {
    ("GET", "/v1/runtime/info"),
    ("GET", "/v1/sessions/summary"),
    ("POST", "/v1/stream"),
    ("POST", "/v1/threads/{thread_id}/patch-undo"),
    ("GET", "/v1/threads/summary"),
    *((method, "/v1/threads/{thread_id}/goal") for method in ("GET", "PUT", "DELETE")),
    *(("POST", f"/v1/threads/{{thread_id}}/goal/{step}") for step in ("block", "complete")),
}
"""What the command line has no use for."""

session_ids = st.from_regex(r"[A-Za-z0-9_\-:.]{1,128}", fullmatch=True)


def test_client_and_server_have_the_same_routes() -> None:
    of_the_record = {row for row in SERVED if row[1].split("/")[2] not in BESIDE_THE_RECORD}
    ours = of_the_record - WRITTEN_ELSEWHERE - FOR_OTHER_CLIENTS
    assert {(route.method, route.path) for route in ROUTES} == ours


def test_what_is_sent_twice_is_safe_to_be_done_twice() -> None:
    once = {route for route in ROUTES if not route.repeatable}
    assert once == {
        paths.CREATE_SESSION,
        paths.APPEND_MESSAGES,
        paths.FORK_SESSION,
        paths.REVERT_SESSION,
        paths.RESOLVE_HOLD,
        paths.CREATE_THREAD,
        paths.START_TURN,
        paths.STEER_TURN,
        paths.INTERRUPT_TURN,
        paths.DECIDE,
        paths.ANSWER_INPUT,
        paths.FORK_THREAD,
        paths.UNDO_TURNS,
        paths.COMPACT_THREAD,
        paths.RESOLVE_TOOL_CALL,
        paths.RETRY_TURN,
        paths.RESUME_SESSION,
    }


@given(session_id=st.one_of(session_ids, st.sampled_from([".", "..", "...", ":"])))
def test_any_id_stays_one_part_of_the_path(session_id: str) -> None:
    url = httpx.URL("https://host/prefix").join(paths.GET_USAGE.to(session_id))
    parts = url.raw_path.split(b"/")
    assert parts[:3] == [b"", b"v1", b"sessions"]
    assert parts[4:] == [b"usage"]
    assert unquote(parts[3].decode()) == session_id


@pytest.mark.parametrize("session_id", ["", "a/b", "a\nb", "x" * 129, "ü"])
def test_what_cannot_be_an_id_is_not_sent(session_id: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        paths.GET_SESSION.to(session_id)
    assert caught.value.code == "invalid_id"


@pytest.mark.parametrize("name", ["", "a/b", "~", "s~01HF7YAT000000000000000000"])
def test_only_sessions_have_a_name_when_they_are_gone(name: str) -> None:
    for route, noun in ((paths.GET_BUDGET, "budget_id"), (paths.RESOLVE_HOLD, "call_id")):
        with pytest.raises(InvalidInput) as caught:
            route.to(name)
        assert caught.value.details == {"field": noun}
