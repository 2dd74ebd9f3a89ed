"""Threads of a server that has an agent, over HTTP, within this process."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from behave import given, then, use_fixture, when
from behave.fixture import fixture

from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.server.logs import make_log
from hansard.settings import ChatSettings
from tests.server.applications import QUIET, client_of, started

if TYPE_CHECKING:
    from behave.runner import Context


@fixture
def served(context: Context) -> Any:
    """A server on the scenario's database, and a client of it."""
    settings = replace(QUIET, chat=ChatSettings(script="echo"))
    log = make_log(settings.server, BytesIO())
    app = started(create_app(open_database(context.url), settings, log=log))
    context.api = client_of(context.call(app.__aenter__()))
    yield context.api
    context.call(context.api.aclose())
    context.call(app.__aexit__(None, None, None))


def ask(context: Context, path: str, body: Any) -> Any:
    context.answer = context.call(context.api.post(path, json=body))
    return context.answer.json()


def messages(context: Context) -> list[dict[str, Any]]:
    session = context.call(context.api.get(f"/v1/sessions/{context.thread_id}")).json()
    found: list[dict[str, Any]] = session["messages"]
    return found


@given("a thread of an agent that repeats what it hears")
def make_thread(context: Context) -> None:
    use_fixture(served, context)
    context.thread_id = ask(context, "/v1/threads", {})["id"]


@when('session "{session_id}" goes on as a thread')
def resume(context: Context, session_id: str) -> None:
    use_fixture(served, context)
    told = ask(context, f"/v1/sessions/{session_id}/resume-thread", {})
    context.thread_id = told["thread_id"]


@when('the user says "{prompt}"')
def say(context: Context, prompt: str) -> None:
    ask(context, f"/v1/threads/{context.thread_id}/turns", {"prompt": prompt})
    assert context.answer.status_code == 201, context.answer.text
    while _runs(context):
        pass


@when('the user tries to say "{prompt}"')
def try_to_say(context: Context, prompt: str) -> None:
    ask(context, f"/v1/threads/{context.thread_id}/turns", {"prompt": prompt})


@when('the thread is saved as session "{session_id}"')
def save(context: Context, session_id: str) -> None:
    body = {"thread_id": context.thread_id, "session_id": session_id}
    saved = context.call(context.api.put("/v1/sessions", json=body))
    assert saved.status_code == 200, saved.text


@when("the last {count:d} turns are undone")
def undo(context: Context, count: int) -> None:
    told = ask(context, f"/v1/threads/{context.thread_id}/undo", {"depth": count - 1})
    context.thread_id = told["thread"]["id"]


@then("the thread has {count:d} messages")
def has_messages(context: Context, count: int) -> None:
    assert len(messages(context)) == count


@then('nobody said "{text}" in it')
def nobody_said(context: Context, text: str) -> None:
    assert text not in str(messages(context))


@then('the server refuses it: "{code}"')
def refused(context: Context, code: str) -> None:
    assert context.answer.json()["error"]["code"] == code


def _runs(context: Context) -> bool:
    thread = context.call(context.api.get(f"/v1/threads/{context.thread_id}")).json()["thread"]
    return thread["active_turn_id"] is not None
