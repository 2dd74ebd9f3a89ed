"""``hansard tail``: the end of a session, and what comes after it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hansard import SessionService
from hansard.cli.tail import followed
from tests.cli.conftest import Shell
from tests.samples import assistant, dialogue, user


def test_tail_writes_one_message_per_line(shell: Shell) -> None:
    rows = shell("tail", "second", "--json").lines()
    assert [row["seq"] for row in rows] == [0, 1]
    assert rows[1]["message"] == assistant("ho\nhum")


def test_tail_never_begins_with_an_answer(shell: Shell) -> None:
    async def add(record: SessionService) -> None:
        asks = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
        await record.append_messages(
            "first", [asks, {"role": "tool", "tool_call_id": "c", "content": "ok"}]
        )

    shell.act(add)
    assert [row["seq"] for row in shell("tail", "first", "-n", "1", "--json").lines()] == [1, 2]


@pytest.mark.parametrize(("count", "unit", "expected"), [(1, "turns", [0, 1]), (10, "tokens", [1])])
def test_tail_counts_what_is_asked_for(
    shell: Shell, count: int, unit: str, expected: list[int]
) -> None:
    for command in ("tail", "show"):
        told = shell(command, "second", "-n", str(count), "--by", unit, "--json").lines()
        rows = told if command == "tail" else told[0]["messages"]
        assert [row["seq"] for row in rows] == expected


def test_tail_of_nothing_is_empty(shell: Shell) -> None:
    assert shell("tail", "second", "-n", "0").stdout == ""


def test_tool_calls_and_parts_are_readable(local: Shell) -> None:
    async def add(record: SessionService) -> None:
        call = {"id": "c", "function": {"name": "look", "arguments": '{"at":1}'}}
        parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {}}, "plain"]
        await record.append_messages("first", [user(parts)])
        await record.append_messages(
            "first", [{"role": "assistant", "content": None, "tool_calls": [call, {"odd": 1}]}]
        )

    local.act(add)
    lines = local("tail", "first", "-n", "2").stdout.splitlines()
    assert lines[1:4] == ["see", '{"type": "image_url", "image_url": {}}', "plain"]
    assert lines[6:8] == ['-> look {"at":1}', '-> {"odd": 1}']


def test_control_characters_do_not_reach_the_terminal(local: Shell) -> None:
    async def add(record: SessionService) -> None:
        await record.append_messages("first", [user("a\x1b[2Jb\r\n\tc")])
        await record.update("first", title="\x1b]0;owned\x07")

    local.act(add)
    assert "a\\x1b[2Jb\\r\n\tc\n" in local("tail", "first", "-n", "1").stdout
    assert "\x1b" not in local("list").stdout
    assert "\x1b" not in local("show", "first").stdout


async def test_followed_session_gives_what_comes_and_what_came_instead(
    record: SessionService, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = await record.create(messages=dialogue(2, "old"))
    await record.append_messages(seen.id, dialogue(1, "new"))
    messages = followed(record, seen, position=1)
    first = await anext(messages)
    await record.update(seen.id, title="not a message")
    await record.save_messages(seen.id, [*dialogue(1, "old"), user("other")])
    second = await anext(messages)
    await record.revert(seen.id, 1)
    await record.append_messages(seen.id, dialogue(1, "last"))
    third = await anext(messages)
    assert [(m.seq, m.body["content"]) for m in (first, second, third)] == [
        (2, "new 0"),
        (1, "other"),
        (1, "last 0"),
    ]
    told = capsys.readouterr().err.splitlines()
    assert told == ["the messages from 1 on were taken back"] * 2


def test_follow_writes_what_comes_and_says_what_was_taken_back(local: Shell) -> None:
    command = [sys.executable, "-m", "hansard.cli", "tail", "first", "-f", "--json", "-n", "1"]
    with subprocess.Popen(
        [*command, "--database", local.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None

        def next_text() -> str:
            assert process.stdout is not None
            return str(json.loads(process.stdout.readline())["message"]["content"])

        async def append(record: SessionService) -> None:
            await record.append_messages("first", dialogue(2, "new"))

        async def cut(record: SessionService) -> None:
            await record.revert("first", 1)

        async def rewrite(record: SessionService) -> None:
            await record.save_messages("first", [user("earlier"), user("other")])

        assert next_text() == "earlier"
        local.act(append)
        assert [next_text(), next_text()] == ["new 0", "new 1"]
        local.act(cut)
        local.act(rewrite)
        assert next_text() == "other"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "the messages from 1 on were taken back\n"
        assert process.wait(timeout=30) == 130


def test_follow_ends_with_its_reader(local: Shell, tmp_path: Path) -> None:
    command = f"{sys.executable} -m hansard.cli list --database {local.url} | head -1 >/dev/null"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
