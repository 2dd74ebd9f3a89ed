"""``hansard list``, ``show`` and ``fork``, wherever the record lives."""

from __future__ import annotations

import re

import pytest

from hansard import SessionService
from tests.cli.conftest import Shell
from tests.samples import call, dialogue


def test_list_writes_one_session_per_line(shell: Shell) -> None:
    second, first = shell("list", "--json").lines()
    assert (second["session_id"], first["session_id"]) == ("second", "first")
    assert second["usage"] == {
        "calls": 1,
        "input_tokens": 7,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 3,
        "reasoning_tokens": 0,
        "cost_usd": "0.0015",
        "unpriced_calls": 0,
    }
    assert (second["message_count"], second["turn_count"]) == (2, 1)
    assert first["created_at"].endswith("Z")


def test_list_is_aligned_when_nobody_watches(shell: Shell) -> None:
    head, second, first = shell("list").stdout.splitlines()
    assert head.split()[:4] == ["id", "title", "agent", "messages"]
    column = head.index("agent")
    assert second[column : column + 7].strip() == ""
    assert first[column:].startswith("airline")
    assert not any(line.endswith(" ") for line in (head, second, first))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--agent", "airline"], ["first"]),
        (["--search", "REBOOK"], ["first"]),
        (["--sort", "created_at"], ["first", "second"]),
        (["--limit", "1"], ["second"]),
        (["--archived"], []),
        (["--active"], ["second", "first"]),
        (["--since", "1h"], ["second", "first"]),
        (["--until", "1h"], []),
        (["--updated-since", "2020-01-01"], ["second", "first"]),
        (["--until", "2020-01-01T00:00:00Z"], []),
        (["--owner", "nobody"], []),
    ],
)
def test_list_filters(shell: Shell, options: list[str], found: list[str]) -> None:
    listed = shell("list", "--json", *options).lines()
    assert [session["session_id"] for session in listed] == found


def test_call_without_a_price_is_not_shown_as_free(local: Shell) -> None:
    async def fill(record: SessionService) -> None:
        entries = [call("a", 1, cost_nanousd=None), call("b", 1, cost_nanousd=5_000_000)]
        for usage in entries:
            await record.append_turn("first", [], usage=[usage])

    assert re.search(r"cost \$ +0\n", local("show", "first").stdout)
    local.act(fill)
    assert re.search(r"cost \$ +0\.005 \+ 1 unpriced\n", local("show", "first").stdout)
    assert "0.005 + 1 unpriced  " in local("list").stdout
    assert "0.005 USD, and 1 unpriced" in local("export", "first", "--format", "markdown").stdout


def test_what_is_not_limited_goes_through_all_pages(local: Shell) -> None:
    async def fill(record: SessionService) -> None:
        for number in range(1_003):
            await record.create(session_id=f"n{number}")

    local.act(fill)
    assert len(local("list", "--json", "-n", "0").lines()) == 1_005
    assert len(local("list", "--json", "-n", "1001").lines()) == 1_001
    assert len(local("verify", "--all", "--json").lines()) == 1_005


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "2026-01-31 12:00", "d", "99999999d"])
def test_list_refuses_what_is_no_time(local: Shell, time: str) -> None:
    assert "must be like" in local("list", "--since", time, code=2).stderr


def test_show_has_the_session_and_its_last_messages(shell: Shell) -> None:
    shown = shell("show", "second", "--json").json()
    assert shown["system_prompt"] == "Be kind."
    assert shown["cost_data"] == {}
    assert [row["message"]["content"] for row in shown["messages"]] == ["hi", "ho\nhum"]
    assert shown["messages"][0]["turn_id"] == "turn-1"


def test_show_is_readable(shell: Shell) -> None:
    text = shell("show", "first").stdout
    assert "title        Rebooking\n" in text
    assert "#0 user" in text
    assert text.rstrip().endswith("earlier")


def test_show_takes_as_many_messages_as_asked_for(shell: Shell) -> None:
    assert shell("show", "second", "-n", "0", "--json").json()["messages"] == []
    assert len(shell("show", "second", "-n", "1", "--json").json()["messages"]) == 1


def test_fork_shares_the_first_messages(shell: Shell) -> None:
    made = shell("fork", "second", "--at", "1", "--json").json()
    assert made["parent_session_id"] == "second"
    assert (made["forked_at_seq"], made["message_count"]) == (1, 1)


def test_fork_prints_the_new_id(shell: Shell) -> None:
    made = shell("fork", "second").stdout.strip()
    assert shell("show", made, "--json").json()["message_count"] == 2
    assert "second at 2" in shell("show", made).stdout


def test_fork_past_the_end_is_refused(shell: Shell) -> None:
    outcome = shell("fork", "second", "--at", "9", code=2)
    assert "index_out_of_range" in outcome.stderr
    assert outcome.stdout == ""


def test_archived_session_says_so(local: Shell) -> None:
    async def archive(record: SessionService) -> None:
        await record.update("first", archived=True)
        await record.append_messages("second", dialogue(1))

    local.act(archive)
    assert "archived" in local("show", "first").stdout
    assert "archived" not in local("show", "second").stdout
