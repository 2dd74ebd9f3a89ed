"""``hansard thread`` and ``hansard chat``: agents in a server, from a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hansard.client.threads import RemoteThreads
from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.settings import ChatSettings
from tests.cli.conftest import Shell
from tests.server.applications import QUIET, listening

BOOK = {"name": "book", "arguments": {"seat": "1A"}, "result": "booked", "approval": True}
SCRIPT = f"""\
one
{json.dumps({"text": "two", "tools": [BOOK]})}
unheard
{json.dumps({"text": "a slow answer", "pause_s": 3600})}
"""


@pytest.fixture
def server(sqlite_url: str, tmp_path: Path) -> Iterator[Shell]:
    """The command line on a server with a scripted agent."""
    script = tmp_path / "script"
    script.write_text(SCRIPT)
    chat = ChatSettings(script=str(script), spool=str(tmp_path / "spool"))
    app = create_app(open_database(sqlite_url), replace(QUIET, chat=chat))
    with listening(app) as url:
        yield Shell(url)


def test_thread_is_made_talked_to_and_saved(server: Shell) -> None:
    thread_id = server("thread", "create", "--title", "Seats").stdout.strip()
    assert server("thread", "send", thread_id, "hi").stdout == "one\n"
    (row,) = server("thread", "list", "--json").lines()
    assert (row["id"], row["title"], row["latest_turn_status"]) == (thread_id, "Seats", "completed")
    assert thread_id in server("thread", "list").stdout
    session_id = server("thread", "save", thread_id, "--session", "kept").stdout.strip()
    assert session_id == "kept"
    assert server("show", "kept").stdout
    resumed = server("thread", "resume", "kept").stdout.strip()
    assert server("thread", "send", resumed, "book", "--yes").stdout == "two\n"
    events = server("thread", "send", thread_id, "book", "--yes", "--json").lines()
    assert events[-1]["event"] == "turn.completed"


def test_conversation_asks_for_leave_and_obeys(server: Shell) -> None:
    said = server("chat", given="hi\nbook\ny\n/save kept\n/undo\n/fork\n/what\n\n/quit\n")
    assert "one" in said.stdout
    assert "two" in said.stdout
    assert "saved as kept" in said.stderr
    assert "taken back: book" in said.stderr
    (row, *_) = server("list", "--json").lines()
    assert (row["session_id"], row["message_count"]) == ("kept", 6)


def test_thread_works_as_it_is_told(server: Shell) -> None:
    options = ("--mode", "plan", "--workspace", "/srv", "--json")
    made = server("thread", "create", *options).json()
    assert (made["mode"], made["workspace"], made["permission_posture"]) == ("plan", "/srv", "ask")
    server("thread", "send", made["id"], "hi")
    asked = ("thread", "send", made["id"], "book", "--json")
    events = server(*asked, "--mode", "agent", "--posture", "full_access").lines()
    assert "approval.decided" not in {event["event"] for event in events}
    assert "booked" in str(events)
    said = server("chat", "--posture", "full_access", given="hi\nbook\n/quit\n")
    assert "two" in said.stdout
    assert "allow book?" not in said.stdout


def test_denied_tool_is_not_called(server: Shell) -> None:
    said = server("chat", given="hi\nbook\nn\n/save kept\n/quit\n")
    assert "two" in said.stdout
    messages = server("show", "kept", "--json").json()["messages"]
    assert "not allowed" in str(messages)


def test_interrupt_ends_the_turn_and_not_the_conversation(server: Shell) -> None:
    thread_id = server("thread", "create").stdout.strip()

    async def interrupt_slow_turn() -> None:
        async with RemoteThreads(server.url) as threads:
            async for event in threads.follow(thread_id):
                if event["event"] == "item.delta" and event["payload"]["delta"] == "a":
                    signal.raise_signal(signal.SIGINT)
                    return

    watcher = threading.Thread(target=asyncio.run, args=[interrupt_slow_turn()])
    watcher.start()
    said = server("chat", "--thread", thread_id, given="hi\nbook\ny\nslowly\n/save kept\n")
    watcher.join()
    assert "interrupted" in said.stderr
    assert "saved as kept" in said.stderr
    assert server("show", "kept", "--json").json()["messages"][-1]["message"]["content"] == "a"


def test_conversation_goes_on_where_somebody_else_gave_leave(server: Shell) -> None:
    thread_id = server("thread", "create").stdout.strip()
    heard, said = os.pipe()

    async def give_leave() -> None:
        async with RemoteThreads(server.url) as threads:
            async for event in threads.follow(thread_id):
                if event["event"] == "approval.required":
                    await threads.decide(thread_id, event["payload"]["id"], "allow")
                    os.write(said, b"n\n")
                    os.close(said)
                    return

    os.write(said, b"hi\nbook\n")
    watcher = threading.Thread(target=asyncio.run, args=[give_leave()])
    watcher.start()
    with os.fdopen(heard, "rb") as given:
        told = server("chat", "--thread", thread_id, given=given)
    watcher.join()
    assert "two" in told.stdout


def test_answers_alone_go_to_the_output_of_a_pipe(server: Shell) -> None:
    assert server("chat", given="hi\n").stdout == "one\n"


def test_server_that_is_gone_is_told(server: Shell) -> None:
    gone = {"HANSARD_DATABASE": "http://127.0.0.1:9", "HANSARD_RETRY_DEADLINE_S": "0"}
    refused = server("chat", code=1, given="hi\n", **gone)
    assert "127.0.0.1" in refused.stderr


def test_end_of_the_input_ends_the_conversation(server: Shell) -> None:
    assert "one" in server("chat", given="hi\n").stdout


def test_threads_need_a_server_with_an_agent(shell: Shell) -> None:
    is_server = shell.url.startswith("http")
    refused = shell("thread", "list", code=3 if is_server else 2).stderr
    assert ("no agent" if is_server else "live in a server") in refused
