"""Every example of the documentation runs, page by page, and says what the page says.

    ```python    is run, with ``await`` wherever it likes; blocks of a page share their names
    ```console   is run: after ``$ `` a command, then what it writes, ``...`` for anything
    ```output    is what the block before it has printed

A page has a folder of its own, which is its working directory, and where it mentions
``http://127.0.0.1:8080``, a service on a database in that folder; it answers chat requests with
what it was told, if the page makes any.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.demo.service import Service
from tests.docs.pages import Block, blocks, name, pages

SHOWN_URL = "http://127.0.0.1:8080"
CHAT_PATH = "/v1/chat/completions"
COMMAND_MAX_S = 60
RUN = ("python", "console")

PAGES = [page for page in pages() if any(block.language in RUN for block in blocks(page))]
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@dataclass
class Stage:
    """Where the blocks of one page run."""

    folder: Path
    url: str
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})
    printed: str = ""

    def run(self, runner: asyncio.Runner, block: Block, where: str) -> None:
        """Run one block, or compare one that shows output."""
        text = block.text.replace(SHOWN_URL, self.url)
        match block.language:
            case "python":
                code = "\n" * (block.line - 1) + text
                self.printed = _run_python(runner, code, where, self.names)
            case "console":
                for command, expected in _COMMAND.findall(text):
                    _compare(expected, self.command(command), f"{where}: {command}")
            case "output":
                _compare(text, self.printed, f"{where}:{block.line}")

    def command(self, line: str) -> str:
        """Run a command in a shell; return all that it writes."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HANSARD_")
        }
        environment |= {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "TZ": "UTC",
            "COLUMNS": "100",
        }
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_MAX_S,
            check=False,
        )
        return done.stdout


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A folder with the command ``hansard``, and the service, if the page asks for it."""
    text = request.getfixturevalue("page").read_text(encoding="utf-8")
    if "$ curl" in text and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = tmp_path / "bin" / "hansard"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hansard.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    chat = ("--script", "echo") if CHAT_PATH in text else ()
    service = Service(f"sqlite:///{tmp_path / 'service.db'}", tmp_path / "service.log", *chat)
    if SHOWN_URL in text:
        service.start()
    yield Stage(tmp_path, service.url)
    service.close()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_run_and_say_what_the_page_says(page: Path, stage: Stage) -> None:
    with asyncio.Runner() as runner:
        for block in blocks(page):
            stage.run(runner, block, name(page))


def _run_python(runner: asyncio.Runner, text: str, where: str, names: dict[str, Any]) -> str:
    code = compile(text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        outcome = eval(code, names)
        if inspect.iscoroutine(outcome):
            runner.run(outcome)
    return printed.getvalue()


def _compare(expected: str, actual: str, where: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    same = doctest.OutputChecker().check_output(expected, actual, flags)
    assert same, f"{where}\nexpected:\n{expected}\nwas:\n{actual}"
