"""``hansard verify``: a broken chain has an exit code of its own."""

from __future__ import annotations

from tests.cli.conftest import Shell
from tests.places import Place

TAMPER = 'UPDATE messages SET body = \'{"role":"user","content":"forged"}\' WHERE seq = 1'


def test_sound_sessions_pass(shell: Shell) -> None:
    outcomes = shell("verify", "--all", "--json").lines()
    assert [(o["session_id"], o["ok"], o["messages"]) for o in outcomes] == [
        ("first", True, 1),
        ("second", True, 2),
    ]
    assert "first  ok  1 messages" in shell("verify", "first").stdout


def test_forged_message_is_found(shell: Shell, place: Place) -> None:
    place.execute(TAMPER)
    outcomes = shell("verify", "--all", "--json", code=6).lines()
    assert [(o["ok"], o["first_bad_seq"]) for o in outcomes] == [(True, None), (False, 1)]
    assert shell("verify", "second", code=6).stdout == "second  BROKEN at message 1\n"


def test_something_must_be_chosen(local: Shell) -> None:
    local("verify", code=2)
    local("verify", "first", "--all", code=2)
    assert "give one of" in local("verify", "first", "--ledger", code=2).stderr
