"""``hansard retention`` and ``purge``: rules, legal holds, and what goes by them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hansard.clock import now_us
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.retention import DAY_US, KINDS
from hansard.core.times import parse_us
from hansard.service.feedback import FeedbackService
from hansard.service.sessions import DatabaseSessions
from tests.cli.conftest import Shell
from tests.places import Place


@pytest.fixture(params=["sqlite", "postgres"])
def old(request: pytest.FixtureRequest) -> Shell:
    """The command line on a database: in two tenants a session and feedback of ten days ago."""
    shell = Shell(str(request.getfixturevalue(f"{request.param}_url")))
    past_us = now_us() - 10 * DAY_US

    async def fill(record: DatabaseSessions) -> None:
        for tenant in ("default", "acme"):
            actor = Actor(tenant)
            past = DatabaseSessions(record.runner, actor=actor, clock=lambda: past_us)
            await past.create(session_id="first", messages=[{"role": "user", "content": "hi"}])
            feedback = FeedbackService(record.runner, actor=actor, clock=lambda: past_us)
            await feedback.add(rating=1)

    asyncio.run(_act(shell.url, fill))
    return shell


async def _act(url: str, action: Callable[[DatabaseSessions], Awaitable[None]]) -> None:
    async with open_database(url) as record:
        await action(record)


def left(shell: Shell, *options: str) -> list[str]:
    return [session["session_id"] for session in shell("list", "--json", *options).lines()]


def rules(shell: Shell, *options: str) -> dict[str, tuple[int | None, str]]:
    shown = shell("retention", "list", "--json", *options).json()
    return {rule["kind"]: (rule["keep_days"], rule["set_for"]) for rule in shown["rules"]}


def test_rules_are_set_listed_and_unset(local: Shell) -> None:
    defaults = {kind: (90 if kind in {"holds", "alerts"} else None, "nobody") for kind in KINDS}
    assert rules(local) == defaults
    outcome = local("retention", "set", "sessions", "30d", "--every-tenant")
    assert outcome.stdout == "sessions are kept 30 days (every tenant)\n"
    assert local("retention", "set", "holds", "forever", "--json").json() == {
        "kind": "holds",
        "keep_days": None,
        "set_for": "tenant",
    }
    assert rules(local, "--tenant", "acme") == defaults | {"sessions": (30, "every tenant")}
    assert rules(local) == defaults | {
        "sessions": (30, "every tenant"),
        "holds": (None, "tenant"),
    }
    assert local("retention", "unset", "holds").stdout == "no rule for holds any more\n"
    assert local("retention", "unset", "sessions", "--every-tenant", "--json").json() == {
        "kind": "sessions",
        "unset": True,
    }
    assert rules(local) == defaults
    assert "rule_not_found" in local("retention", "unset", "sessions", code=3).stderr


def test_rules_are_shown_as_a_table(local: Shell) -> None:
    local("retention", "set", "sessions", "30d")
    lines = local("retention", "list").stdout.splitlines()
    assert [line.split(maxsplit=1) for line in lines[:3]] == [
        ["kind", "kept     set for"],
        ["sessions", "30 days  tenant"],
        ["traces", "forever  nobody"],
    ]


@pytest.mark.parametrize("days", ["0d", "36526d", "30", "1.5d", "-1d", "never"])
def test_bad_days_are_refused(local: Shell, days: str) -> None:
    assert (
        "must be from 1d to 36525d"
        in local("retention", "set", "sessions", "--", days, code=2).stderr
    )


def test_purge_without_rules_removes_no_content(old: Shell) -> None:
    outcome = old("purge", "--json")
    assert [(line["kind"], line["count"]) for line in outcome.lines()] == [
        ("holds", 0),
        ("alerts", 0),
    ]
    assert left(old) == ["first"]


def test_dry_run_tells_what_would_go(old: Shell) -> None:
    old("retention", "set", "sessions", "7d")
    old("retention", "set", "feedback", "11d")
    before = now_us() - 7 * DAY_US
    lines = old("purge", "--dry-run", "--json", "--kind", "sessions", "--kind", "feedback").lines()
    assert before <= parse_us(lines[0].pop("before")) <= now_us() - 7 * DAY_US
    assert lines[0] == {
        "tenant": "default",
        "kind": "sessions",
        "keep_days": 7,
        "count": 1,
        "dry_run": True,
    }
    assert (lines[1]["kind"], lines[1]["count"]) == ("feedback", 0)
    text = old("purge", "--dry-run").stdout.splitlines()
    assert [line.split() for line in text[:2]] == [
        ["tenant", "kind", "kept", "would", "delete"],
        ["default", "sessions", "7", "days", "1"],
    ]
    assert left(old) == ["first"]


def test_purge_asks_first(old: Shell) -> None:
    old("retention", "set", "sessions", "7d")
    old("retention", "set", "feedback", "7d")
    assert "give --yes" in old("purge", code=2).stderr
    assert left(old) == ["first"]
    lines = old("purge", "--yes").stdout.splitlines()
    assert lines[1].split() == ["default", "sessions", "7", "days", "1"]
    assert left(old) == []
    assert left(old, "--tenant", "acme") == ["first"]


def test_purge_of_all_tenants_goes_by_the_rules_of_each(old: Shell) -> None:
    old("retention", "set", "feedback", "7d", "--every-tenant")
    old("retention", "set", "sessions", "7d", "--tenant", "acme")
    lines = old("purge", "--all-tenants", "--yes", "--json").lines()
    assert [(line["tenant"], line["kind"], line["count"]) for line in lines] == [
        ("acme", "sessions", 1),
        ("acme", "feedback", 1),
        ("default", "feedback", 1),
    ]
    assert left(old) == ["first"]
    assert old("purge", "--all-tenants", "--json").stdout == ""


def test_purge_of_one_kind_leaves_the_others(old: Shell) -> None:
    for kind in ("sessions", "feedback"):
        old("retention", "set", kind, "7d")
    (line,) = old("purge", "--kind", "feedback", "--yes", "--json").lines()
    assert (line["kind"], line["count"]) == ("feedback", 1)
    assert left(old) == ["first"]


@pytest.mark.parametrize("option", [["--kind", "traces"], ["--all-tenants"]])
def test_purge_before_a_moment_is_about_sessions(local: Shell, option: list[str]) -> None:
    outcome = local("purge", "--before", "1d", *option, code=2)
    assert "--before is about the sessions of one tenant" in outcome.stderr


def test_rules_are_of_a_database(local: Shell) -> None:
    for command in (["purge"], ["retention", "list"], ["retention", "set", "traces", "1d"]):
        outcome = local(*command, code=2, HANSARD_DATABASE="http://127.0.0.1:1")
        assert "not_a_database" in outcome.stderr
        local(*command, code=3, HANSARD_DATABASE="sqlite:///nowhere.db")


def test_legal_hold_keeps_sessions(shell: Shell, place: Place) -> None:
    outcome = shell("retention", "legal-hold", "on", "f", "@last")
    assert outcome.stdout == "first  legal hold on\nsecond  legal hold on\n"
    before = place.dump()
    assert "(legal_hold)" in shell("delete", "first", "--yes", code=5).stderr
    assert shell("purge", "--before", "0s", "--yes").stdout == "deleted 0 sessions, 0 messages\n"
    assert place.dump() == before
    assert "legal hold   yes" in shell("show", "first").stdout
    outcome = shell("retention", "legal-hold", "off", "first", "--json")
    assert outcome.json() == {"session_id": "first", "legal_hold": False}
    shell("delete", "first", "--yes")


def test_legal_hold_of_a_tenant_keeps_everything(old: Shell) -> None:
    old("retention", "set", "sessions", "7d", "--every-tenant")
    outcome = old("retention", "legal-hold", "on", "--all", "--json")
    assert outcome.json() == {"tenant": "default", "legal_hold": True}
    lines = old("retention", "list").stdout.splitlines()
    assert lines[-1].startswith("nothing of default is removed: it is under legal hold since 2")
    assert old("retention", "list", "--json").json()["legal_hold_since"] is not None
    (line,) = old("purge", "--all-tenants", "--yes", "--json").lines()
    assert line["tenant"] == "acme"
    assert left(old) == ["first"]
    assert old("retention", "legal-hold", "off", "--all").stdout == "default  legal hold off\n"
    old("purge", "--yes")
    assert left(old) == []


@pytest.mark.parametrize("names", [[], ["first", "--all"]])
def test_legal_hold_is_of_sessions_or_of_all(local: Shell, names: list[str]) -> None:
    outcome = local("retention", "legal-hold", "on", *names, code=2)
    assert "name sessions, or give --all" in outcome.stderr
