"""``hansard budget``: set, shown, used up, resolved, on both engines and through a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hansard.cli import texts
from hansard.cli.errors import exit_code
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.budgets import NewHold
from hansard.core.errors import LimitReached
from tests.cli.conftest import Shell
from tests.places import Place

NANO = 1_000_000_000


@pytest.fixture
def engine(place: Place) -> Shell:
    """The command line on a record without sessions."""
    return Shell(place.url)


def take_hold(database_url: str, call_id: str, cost_nanousd: int, **who: Any) -> None:
    """Take a hold past the command line, of which nobody hears in time."""
    hold = NewHold(
        call_id=call_id,
        session_id=None,
        turn_id="t",
        agent=None,
        provider="openai",
        model_asked="gpt-4o",
        fixed_nanousd=cost_nanousd,
        fixed_tokens=10,
        output_pico_per_token=0,
        output_tokens=10,
        least_output_tokens=None,
        expires_at_us=1,
    )

    async def take() -> None:
        async with open_database(database_url) as record:
            await record.acting_as(Actor(**who)).take_hold(hold)
            await record.expire_holds()

    asyncio.run(take())


def state(shell: Shell, budget_id: str) -> dict[str, Any]:
    (found,) = shell("budget", "show", budget_id, "--json").json()["states"]
    return dict(found)


def test_budget_is_set_shown_and_deleted(engine: Shell) -> None:
    options = ("--limit", "25.00", "--window", "day", "--zone", "Europe/Berlin")
    made = engine("budget", "set", "tenant", *options, "--json").json()
    assert (made["budget_id"], made["limit"], made["time_zone"]) == (
        "tenant-day",
        "25",
        "Europe/Berlin",
    )
    assert made["states"][0]["remaining"] == "25"
    assert engine("budget", "show", "tenant-day", "--json").json() == made
    assert engine("budget", "list", "--json").json() == made
    assert engine("budget", "delete", "tenant-day", "--yes", "--json").json() == {
        "budget_id": "tenant-day",
        "deleted": True,
    }
    assert "budget_not_found" in engine("budget", "show", "tenant-day", code=3).stderr


def test_budget_takes_its_name_from_what_it_limits(engine: Shell) -> None:
    def name(*arguments: str) -> str:
        return str(engine("budget", "set", *arguments, "--json").json()["budget_id"])

    assert name("owner", "alice", "--limit", "5", "--window", "month") == "owner-alice-month"
    assert name("session", "*", "--limit", "1000", "--tokens") == "session-each-total-tokens"
    assert name("tenant", "--limit", "5", "--id", "mine") == "mine"


def test_options_say_how_strict_it_is(engine: Shell) -> None:
    warn = ("--warn", "80", "--warn", "50")
    made = engine("budget", "set", "tenant", "--limit", "1", "--observe", *warn, "--json").json()
    assert (made["mode"], made["warn_percents"]) == ("observe", [50, 80])
    kept = engine("budget", "set", "tenant", "--limit", "2", "--json").json()
    assert (kept["mode"], kept["warn_percents"]) == ("enforce", [80, 100])


def test_list_is_readable(engine: Shell, place: Place) -> None:
    engine("budget", "set", "tenant", "--limit", "2")
    engine("budget", "set", "owner", "*", "--limit", "1", "--id", "each")
    engine("budget", "set", "session", "*", "--limit", "500", "--tokens", "--id", "tokens")
    take_hold(place.database_url, "c", NANO // 2, owner="alice")
    lines = [" ".join(line.split()) for line in engine("budget", "list").stdout.splitlines()]
    assert lines == [
        "budget of window limit spent held left used",
        "each owner alice total $1 $0 $0.5 $0.5 50%",
        "tenant-total tenant total $2 $0 $0.5 $1.5 25%",
        "tokens session * total 500",
    ]
    shown = engine("budget", "show", "each").stdout
    assert "limit      $1 in total" in shown
    assert "never" in shown.splitlines()[-1]


def test_terminal_shows_bars(local: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    local("budget", "set", "tenant", "--limit", "1")
    take_hold(local.url, "c", NANO // 2)
    monkeypatch.setattr(texts, "is_terminal", lambda: True)
    assert "50%  ▇▇▇▇▇" in local("budget", "list", COLUMNS="120").stdout


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_budgets_are_those_of_the_tenant(engine: Shell) -> None:
    engine("budget", "set", "tenant", "--limit", "1", "--tenant", "acme")
    assert engine("budget", "list", "--json").lines() == []
    assert len(engine("budget", "list", "--json", "--tenant", "acme").lines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenant", "--limit", "2,5"),
        ("tenant", "--limit", "-1"),
        ("tenant", "--limit", "2.5", "--tokens"),
        ("tenant", "alice", "--limit", "1"),
        ("owner", "--limit", "1"),
        ("tenant", "--limit", "1", "--zone", "Berlin"),
        ("tenant", "--limit", "1", "--window", "year"),
        ("tenant", "--limit", "1", "--warn", "0"),
        ("world", "--limit", "1"),
        ("tenant",),
    ],
    ids=" ".join,
)
def test_bad_budget_is_refused(local: Shell, arguments: tuple[str, ...]) -> None:
    local("budget", "set", *arguments, code=2)
    assert local("budget", "list", "--json").lines() == []


def test_hold_is_listed_and_resolved_by_its_cost(engine: Shell, place: Place) -> None:
    engine("budget", "set", "tenant", "--limit", "1", "--id", "b")
    take_hold(place.database_url, "call-1", NANO // 2, owner="alice")
    (hold,) = engine("budget", "holds", "--json").lines()
    assert (hold["call_id"], hold["state"], hold["amount_usd"]) == ("call-1", "unknown", "0.5")
    assert engine("budget", "holds").stdout.splitlines()[1].split()[:4] == [
        "call-1",
        "unknown",
        "alice",
        "gpt-4o",
    ]
    assert engine("budget", "resolve", "call-1", "--cost", "0.01", "--json").json() == {
        "call_id": "call-1",
        "state": "settled",
    }
    assert (state(engine, "b")["spent"], state(engine, "b")["held"]) == ("0.01", "0")
    assert engine("budget", "holds", "--json").lines() == []
    again = engine("budget", "resolve", "call-1", "--cost", "0.01", code=5)
    assert "hold_ended" in again.stderr


def test_hold_is_written_off(engine: Shell, place: Place) -> None:
    engine("budget", "set", "tenant", "--limit", "1", "--id", "b")
    take_hold(place.database_url, "call-1", NANO // 2)
    take_hold(place.database_url, "call-2", NANO // 2)
    written_off = engine("budget", "resolve", "call-1", "call-2", "--written-off").stdout
    assert written_off == "written_off call-1\nwritten_off call-2\n"
    assert state(engine, "b")["remaining"] == "1"
    holds = engine("budget", "holds", "--state", "written_off", "--json").lines()
    assert [hold["ended_at"] is not None for hold in holds] == [True, True]


def test_tokens_of_a_resolved_call_are_priced(engine: Shell, place: Place) -> None:
    engine("budget", "set", "tenant", "--limit", "1", "--id", "b")
    take_hold(place.database_url, "call-1", NANO // 2)
    engine("budget", "resolve", "call-1", "--input-tokens", "1000", "--output-tokens", "500")
    assert state(engine, "b")["spent"] == "0.0075"


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_prices_of_the_settings_count_on_a_database(engine: Shell, place: Place) -> None:
    Path("prices.toml").write_text(
        '[[price]]\nmodel = "own"\ninput_per_million = "1.00"\noutput_per_million = "1.00"\n'
    )
    engine("budget", "set", "tenant", "--limit", "1", "--id", "b")
    take_hold(place.database_url, "call-1", NANO // 2)
    options = ("--model", "own", "--input-tokens", "1000")
    engine("budget", "resolve", "call-1", *options, HANSARD_PRICES="prices.toml")
    assert state(engine, "b")["spent"] == "0.001"


@pytest.mark.parametrize("options", [(), ("--cost", "1", "--written-off"), ("c", "--cost", "1")])
def test_one_resolution_must_be_said(local: Shell, options: tuple[str, ...]) -> None:
    local("budget", "resolve", "call-1", *options, code=2)


def test_deleting_asks_first(local: Shell) -> None:
    local("budget", "set", "tenant", "--limit", "1", "--id", "b")
    local("budget", "delete", "b", code=2)
    local("budget", "show", "b")


def test_refusal_has_an_exit_code_of_its_own() -> None:
    for code in ("budget_exceeded", "unpriced_model"):
        assert exit_code(LimitReached("no", code=code)) == 5
    assert exit_code(LimitReached("no", code="totals_full")) == 1


def test_only_setting_a_budget_makes_a_database() -> None:
    shell = Shell("sqlite:///new.db")
    error = json.loads(shell("budget", "list", "--json", code=3).stderr)
    assert error["error"]["code"] == "no_database"
    shell("budget", "set", "tenant", "--limit", "1")
    assert len(shell("budget", "list", "--json").lines()) == 1


def test_limit_out_of_range_is_told_in_its_unit(local: Shell) -> None:
    refused = local("budget", "set", "tenant", "--limit=-1", code=2).stderr
    assert "from 0 to 9223372036.854775807 dollars" in refused
