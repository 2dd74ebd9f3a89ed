"""``hansard delete`` and ``purge``: nothing goes without somebody's word."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell
from tests.places import Place


def left(shell: Shell) -> list[str]:
    return [session["session_id"] for session in shell("list", "--json").lines()]


def test_delete_removes_what_is_named(shell: Shell) -> None:
    assert shell("delete", "f", "--yes", "--json").json() == {
        "session_id": "first",
        "deleted": True,
    }
    assert left(shell) == ["second"]


def test_delete_takes_several_and_each_once(shell: Shell) -> None:
    outcome = shell("delete", "first", "@last", "fir", "-y")
    assert outcome.stdout == "deleted first\ndeleted second\n"
    assert left(shell) == []


@pytest.mark.parametrize("command", [["delete", "first"], ["purge", "--before", "0s"]])
def test_without_terminal_yes_is_demanded(shell: Shell, place: Place, command: list[str]) -> None:
    before = place.dump()
    outcome = shell(*command, code=2)
    assert "give --yes" in outcome.stderr
    assert outcome.stdout == ""
    assert place.dump() == before


def test_delete_of_one_unknown_removes_none(shell: Shell, place: Place) -> None:
    before = place.dump()
    shell("delete", "first", "third", "--yes", code=3)
    assert place.dump() == before


def test_purge_counts_first(shell: Shell) -> None:
    report = shell("purge", "--before", "0s", "--dry-run", "--json").json()
    assert report == {"sessions": 2, "messages": 3, "dry_run": True}
    assert len(left(shell)) == 2
    text = shell("purge", "--before", "0s", "--dry-run").stdout
    assert text == "would delete 2 sessions, 3 messages\n"


def test_purge_removes_what_nobody_touched(shell: Shell) -> None:
    assert shell("purge", "--before", "1h", "--yes").stdout == "deleted 0 sessions, 0 messages\n"
    assert shell("purge", "--before", "0s", "--yes").stdout == "deleted 2 sessions, 3 messages\n"
    assert left(shell) == []
