"""What names a session: its id, any unique beginning of it, or ``@last``."""

from __future__ import annotations

import pytest

from hansard import SessionService
from tests.cli.conftest import Shell


def shown(shell: Shell, name: str) -> str:
    return str(shell("show", name, "--json").json()["session_id"])


@pytest.mark.parametrize(
    ("name", "found"), [("first", "first"), ("f", "first"), ("sec", "second"), ("@last", "second")]
)
def test_session_is_found(shell: Shell, name: str, found: str) -> None:
    assert shown(shell, name) == found


def test_last_is_the_session_that_changed_last(shell: Shell) -> None:
    async def touch(record: SessionService) -> None:
        await record.update("first", title="new")

    shell.act(touch)
    assert shown(shell, "@last") == "first"


def test_whole_id_wins_over_longer_ones(shell: Shell) -> None:
    async def lengthen(record: SessionService) -> None:
        await record.create(session_id="firstborn")

    shell.act(lengthen)
    assert shown(shell, "first") == "first"


def test_ambiguous_beginning_names_candidates(shell: Shell) -> None:
    async def add(record: SessionService) -> None:
        for number in range(12):
            await record.create(session_id=f"f{number:02}")

    shell.act(add)
    outcome = shell("show", "f", code=2)
    assert outcome.stdout == ""
    assert "f begins several ids: f00, f01" in outcome.stderr
    assert "f09 and more" in outcome.stderr
    assert "f10" not in outcome.stderr


def test_beginning_is_not_a_pattern(shell: Shell) -> None:
    async def add(record: SessionService) -> None:
        await record.create(session_id="a_b")
        await record.create(session_id="axb")

    shell.act(add)
    assert shown(shell, "a_") == "a_b"
    assert "invalid_id" in shell("show", "%", code=2).stderr


def test_unknown_session_is_not_found(shell: Shell) -> None:
    outcome = shell("show", "third", code=3)
    assert "no session 'third'" in outcome.stderr
    assert outcome.stdout == ""


def test_last_of_nothing_is_not_found(sqlite_url: str) -> None:
    shell = Shell(sqlite_url)
    shell("db", "migrate")
    assert "no session yet" in shell("show", "@last", code=3).stderr


def test_record_that_keeps_nothing_has_no_sessions() -> None:
    shell = Shell("null://")
    assert shell("list", "--json").lines() == []
    shell("show", "any", code=3)
