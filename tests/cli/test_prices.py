"""``hansard price``: what calls cost, what would change, and what was imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from hansard.formats.prices import load_builtin
from tests.cli.conftest import Outcome, Shell

HOUSE = """
[[price]]
provider = "openai"
model = "gpt-4o"
input_per_million = "2.00"
output_per_million = "8"
valid_from = 2020-01-01

[[price]]
provider = "house"
match = {starts_with = "llama-", ends_with = "-it"}
input_per_million = "0.10"
output_per_million = "0.10"
per_request = "0.0001"
valid_from = 2090-01-01

[[price.above]]
input_tokens = 8000
input_per_million = "0.20"
"""


@pytest.fixture
def house(tmp_path: Path) -> str:
    (tmp_path / "prices.toml").write_text(HOUSE)
    return "prices.toml"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Shell:
    """The command line on a database that nothing has opened."""
    return Shell(str(request.getfixturevalue(f"{request.param}_url")))


def test_list_needs_no_database_and_makes_none(sqlite_url: str, tmp_path: Path) -> None:
    (row,) = Shell(sqlite_url)(
        "price", "list", "--provider", "openai", "--model", "gpt-4o-search", "--json"
    ).lines()
    assert row == {
        "provider": "openai",
        "model": "gpt-4o-search-preview",
        "service_tier": "",
        "valid_from": None,
        "valid_to": None,
        "daily": None,
        "input_per_million": "2.5",
        "output_per_million": "10",
        "above": [],
        "version": load_builtin().version,
    }
    assert list(tmp_path.iterdir()) == []


def test_list_is_readable(sqlite_url: str) -> None:
    listed = Shell(sqlite_url)("price", "list", "--model", "gemini-2.5-pro").stdout
    head, *rows = [line.split() for line in listed.splitlines()]
    assert head[:5] == ["provider", "model", "tier", "above", "input"]
    assert ["google", "gemini-2.5-pro", "1.25", "0.125", "10"] in [row[:5] for row in rows]
    assert ["google", "gemini-2.5-pro", "200,000", "2.5", "0.25"] in [row[:5] for row in rows]


def test_list_tells_hours_and_days(sqlite_url: str) -> None:
    shell = Shell(sqlite_url)
    listed = shell("price", "list", "--model", "deepseek-v4-pro", "--provider", "deepseek").stdout
    assert "from 2026-08-17 01:00-04:00" in listed
    assert "until 2026-08-17" not in listed
    listed = shell("price", "list", "--model", "deepseek-v4-pro", "--history").stdout
    assert "until 2026-08-17 01:00-04:00" in listed


def test_import_counts_for_its_tenant(database: Shell, house: str) -> None:
    made = database("price", "import", house, "--tenant", "acme", "--json").json()
    assert (made["tenant"], made["number"], made["source"]) == ("acme", 1, "prices.toml")
    first = database("price", "list", "--model", "gpt-4o", "--tenant", "acme", "--json").lines()[0]
    assert (first["input_per_million"], first["version"]) == ("2", made["version"])
    other = database("price", "list", "--model", "gpt-4o", "--json").lines()
    assert {row["version"] for row in other} == {load_builtin().version}


def test_import_for_all_counts_for_everybody(database: Shell, house: str) -> None:
    done = database("price", "import", house, "--all-tenants").stdout
    version = done.split()[0]
    assert done == f"{version} is in force for every tenant\n"
    first = database("price", "list", "--tenant", "acme", "--history", "--json").lines()[0]
    assert first["version"] == version


def test_list_shows_conditions_and_steps(database: Shell, house: str) -> None:
    database("price", "import", house)
    rows = database("price", "list", "--provider", "house", "--history", "--json").lines()
    (row,) = rows
    assert row["model"] == "llama-*-it"
    assert (row["input_per_million"], row["per_request"]) == ("0.1", "0.0001")
    assert row["above"] == [{"input_tokens": 8000, "input_per_million": "0.2"}]
    assert row["valid_from"] == "2090-01-01T00:00:00.000000Z"
    assert database("price", "list", "--provider", "house", "--json").lines() == []


def test_diff_tells_what_would_cost_otherwise(database: Shell, house: str) -> None:
    changes = {
        (line["provider"], line["price"]): (line["before"], line["after"])
        for line in database("price", "diff", house, "--json").lines()
    }
    assert changes == {
        ("openai", "input_per_million"): ("2.5", "2"),
        ("openai", "cached_per_million"): ("1.25", "-"),
        ("openai", "output_per_million"): ("10", "8"),
        ("openai", "per_web_search"): ("0.01", "-"),
        ("house", "input_per_million"): ("-", "0.1, 0.2 above 8,000"),
        ("house", "output_per_million"): ("-", "0.1"),
        ("house", "per_request"): ("-", "0.0001"),
    }


def test_diff_after_the_import_is_empty(database: Shell, house: str, tmp_path: Path) -> None:
    database("price", "import", house, "--all-tenants")
    assert database("price", "diff", house, "--all-tenants", "--json").lines() == []
    assert database("price", "diff", house, "--json").lines() == []
    (tmp_path / "none.toml").write_text("")
    taken_back = database("price", "diff", "none.toml", "--all-tenants").stdout
    assert taken_back.splitlines()[1].split()[-3:] == ["input_per_million", "2", "2.5"]


def test_diff_needs_no_database(sqlite_url: str, house: str) -> None:
    assert len(Shell(sqlite_url)("price", "diff", house, "--json").lines()) == 7


def test_versions_tell_what_was_imported(database: Shell, house: str) -> None:
    database("price", "import", house, "--tenant", "acme")
    assert database("price", "versions", "--all-tenants", "--json").lines() == []
    (line,) = database("price", "versions", "--tenant", "acme", "--json").lines()
    assert line["version"].endswith(line["sha256"][:12])
    head, row = database("price", "versions", "--tenant", "acme").stdout.splitlines()
    assert head.split() == ["number", "version", "imported", "source"]
    assert (row.split()[0], row.split()[-1]) == ("1", "prices.toml")


def test_wrong_file_is_refused(database: Shell, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('[[price]]\nmodel = "m"\ninput_per_million = 3.0')
    for command in ("diff", "import"):
        refused = database("price", command, "prices.toml", code=2).stderr
        assert "invalid_prices" in refused
        assert "in quotes" in refused
    assert database("price", "list", "--model", "gpt-4o-search", "--json").lines()


def test_setting_counts_below_the_database(database: Shell, house: str, tmp_path: Path) -> None:
    listing = ("price", "list", "--provider", "openai", "--model", "gpt-4o", "--json")

    def price_of(outcome: Outcome) -> str:
        return str(outcome.lines()[0]["input_per_million"])

    assert price_of(database(*listing, "--prices", house)) == "2"
    assert price_of(database(*listing, HANSARD_PRICES=house)) == "2"
    (tmp_path / "other.toml").write_text(HOUSE.replace("2.00", "1.00"))
    database("price", "import", "other.toml")
    assert price_of(database(*listing, "--prices", house)) == "1"


@pytest.mark.parametrize("text", [None, "[[price]]"])
def test_service_does_not_start_with_a_bad_file(local: Shell, tmp_path: Path, text: str) -> None:
    if text:
        (tmp_path / "bad.toml").write_text(text)
    refused = local("serve", "--port", "0", "--prices", "bad.toml", code=2).stderr
    assert "invalid_setting" in refused
    assert "bad.toml" in refused
