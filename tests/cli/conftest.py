"""The command line on a place: run within this process, its streams apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest
from click.testing import CliRunner

import hansard
from hansard import SessionService
from hansard.cli.main import cli
from tests.places import Place
from tests.samples import assistant, call, user

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What a command wrote and how it ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """The one payload."""
        (payload,) = self.lines()
        return payload

    def lines(self) -> list[Any]:
        """Every payload, one per line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


@dataclass(frozen=True)
class Shell:
    """Runs ``hansard`` on a record."""

    url: str

    def __call__(
        self, *args: str, code: int = 0, given: str | IO[bytes] | None = None, **environment: str
    ) -> Outcome:
        """Run a command, which must end with ``code``."""
        result = CliRunner().invoke(
            cli, args, input=given, env={"HANSARD_DATABASE": self.url, **environment}
        )
        assert result.exit_code == code, (args, result.output, result.exception)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def act(self, action: Callable[[SessionService], Awaitable[T]]) -> T:
        """Act on the record past the command line."""

        async def run() -> T:
            async with hansard.open(self.url) as record:
                return await action(record)

        return asyncio.run(run())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shell(place: Place) -> Shell:
    """The command line on a record with two sessions: ``first``, and ``second`` changed last."""
    shell = Shell(place.url)
    shell.act(_fill)
    return shell


@pytest.fixture
def local(sqlite_url: str) -> Shell:
    """The command line on a SQLite file with two sessions, for what no place changes."""
    shell = Shell(sqlite_url)
    shell.act(_fill)
    return shell


async def _fill(record: SessionService) -> None:
    await record.create(
        session_id="first", title="Rebooking", agent="airline", messages=[user("earlier")]
    )
    await record.create(session_id="second", system_prompt="Be kind.", metadata={"a": 1})
    await record.append_turn(
        "second",
        [user("hi"), assistant("ho\nhum")],
        turn_id="turn-1",
        usage=[call("e", 7, output_tokens=3, model="m-1", provider="p", cost_nanousd=1_500_000)],
    )
