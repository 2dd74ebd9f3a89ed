"""What people see: tables and progress on a terminal, and an answer where one is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import IO

import pytest

from hansard.cli import errors, payloads, texts
from hansard.cli.progress import watched
from hansard.cli.texts import Column, printable
from hansard.core.errors import NotFound
from tests.cli.conftest import Shell

COLUMNS = [Column("id"), Column("title"), Column("count", number=True)]
ROWS = [("sess_1", "[bold]one\n", 7), ("sess_2", None, 12)]


@dataclass
class Screen:
    """A terminal that somebody looks at."""

    file: IO[str]
    seen: str = field(default="")


@contextmanager
def screen() -> Iterator[Screen]:
    master, slave = os.openpty()
    pieces: list[bytes] = []

    def look() -> None:
        with suppress(OSError):  # how a terminal says that its other end is closed
            while piece := os.read(master, 4_096):
                pieces.append(piece)

    watcher = threading.Thread(target=look)
    watcher.start()
    with os.fdopen(slave, "w") as file:
        shown = Screen(file)
        yield shown
    watcher.join()
    os.close(master)
    shown.seen = b"".join(pieces).decode()


def test_table_on_a_terminal_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with screen() as shown, redirect_stdout(shown.file):
        texts.print_table(COLUMNS, ROWS)
    lines = [line.rstrip() for line in shown.seen.splitlines()]
    assert any(line.split() == ["sess_1", "[bold]one\\n", "7"] for line in lines)
    assert any("─" in line for line in lines)


def test_nothing_is_cut_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    columns = [
        Column("model", is_word=True),
        Column("detail", number=True, is_detail=True),
        Column("cost $", number=True),
        Column("", is_word=True, is_detail=True),
    ]
    rows = [("claude-sonnet-4", "12", "0.0000084", "▇▇▇▇▇▇")]
    seen = {}
    for width in (50, 36, 26, 10):
        monkeypatch.setenv("COLUMNS", str(width))
        with screen() as shown, redirect_stdout(shown.file):
            texts.print_table(columns, rows)
        seen[width] = [line.split() for line in shown.seen.splitlines()]
    assert seen[50][2] == ["claude-sonnet-4", "12", "0.0000084", "▇▇▇▇▇▇"]
    assert seen[36][2] == ["claude-sonnet-4", "12", "0.0000084"]
    for narrow in (seen[26], seen[10]):
        assert narrow[2:] == [["claude-sonnet-4", "0.0000084"], ["no", "room", "for:", "detail"]]


def test_table_through_a_pipe_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    texts.print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "id      title        count",
        "sess_1  [bold]one\\n      7",
        "sess_2                  12",
    ]


def test_progress_is_seen_on_a_terminal_only() -> None:
    with (
        screen() as shown,
        redirect_stderr(shown.file),
        watched("exporting", unit="bytes") as advance,
    ):
        advance(1_234)
    assert "exporting" in shown.seen
    assert "1,234 bytes" in shown.seen
    with screen() as shown, redirect_stderr(shown.file), watched("importing"):
        pass
    assert "importing" in shown.seen


def test_progress_shows_a_name_as_it_is() -> None:
    with (
        screen() as shown,
        redirect_stderr(shown.file),
        watched("importing [bold]x[/y]") as advance,
    ):
        advance(1)
    assert "[bold]x[/y]" in shown.seen


def test_progress_is_silent_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with watched("exporting") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1)])
def test_somebody_at_the_terminal_is_asked(local: Shell, answer: bytes, code: int) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "hansard.cli", "delete", "first", "--database", local.url],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.write(master, answer)
        out, err = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == code
    assert b"Delete first?" in err
    assert out == (b"deleted first\n" if code == 0 else b"")
    assert len(local("list", "--json").lines()) == 1 + code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 🎉", "plain ünï 🎉"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("right\u202eleft", "right\\u202eleft"),
        ("a\nb\tc", "a\nb\\tc"),
        ("\x9b0m", "\\x9b0m"),
    ],
)
def test_what_is_not_printable_is_shown_and_not_sent(text: str, shown: str) -> None:
    assert printable(text, keep="\n") == shown


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J", "\x9b2J", "\x7f", "right\u202eleft", "\u2028", "\U000e0001", "\ud800", "ünï 🎉"],
)
def test_json_means_the_same_and_sends_nothing_unprintable(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    payloads.write({"said": text})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert json.loads(line) == {"said": text}


def test_error_as_json_sends_nothing_unprintable(capsys: pytest.CaptureFixture[str]) -> None:
    errors.report(NotFound("no \x9b2J"), as_json=True)
    line = capsys.readouterr().err.rstrip("\n")
    assert line.isprintable()
    assert json.loads(line)["error"]["message"] == "no \x9b2J"
