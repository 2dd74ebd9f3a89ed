"""``hansard db`` and ``doctor``."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hansard.store.migrate import load_migrations
from tests.cli.conftest import Shell
from tests.places import Place

NEWEST = len(load_migrations("sqlite"))


@pytest.fixture
def empty(empty_url: str) -> Shell:
    """The command line on a database of either engine that holds nothing yet."""
    return Shell(empty_url)


def test_migrate_brings_a_database_to_the_newest_schema_once(empty: Shell) -> None:
    done = empty("db", "migrate", "--json").json()
    assert done["schema_version"] == NEWEST
    assert len(done["applied"]) == NEWEST
    assert empty("db", "migrate", "--json").json() == {"schema_version": NEWEST, "applied": []}
    assert empty("db", "migrate").stdout == f"schema version {NEWEST}\n"


def test_migrate_says_what_it_did(empty: Shell) -> None:
    assert empty("db", "migrate").stdout.startswith("applied 0001_")


def test_check_of_a_new_database_asks_for_migration(postgres_url: str) -> None:
    shell = Shell(postgres_url)
    state = shell("db", "check", "--json", code=1).json()
    assert (state["schema_version"], state["newest_version"]) == (0, NEWEST)
    shell("db", "check", code=1)


def test_check_changes_nothing(postgres_url: str) -> None:
    place = Place(kind="postgres", url=postgres_url, database_url=postgres_url)
    Shell(postgres_url)("db", "check", code=1)
    assert place.tables() == []


def test_check_of_a_migrated_database_passes(empty: Shell) -> None:
    empty("db", "migrate")
    state = empty("db", "check", "--json").json()
    looked_for = empty.url.startswith("sqlite:")
    assert (state["schema_version"], state["damage"]) == (NEWEST, [] if looked_for else None)
    text = empty("db", "check").stdout
    assert f"schema version  {NEWEST} of {NEWEST}" in text
    assert text.endswith("none found\n" if looked_for else "not looked for\n")


def test_newer_database_is_told_apart(local: Shell) -> None:
    place = Place(kind="sqlite", url=local.url, database_url=local.url)
    place.execute("INSERT INTO schema_migrations VALUES (9999, 'future', 0)")
    assert local("db", "check", "--json", code=1).json()["schema_version"] == 9999
    assert "schema_too_new" in local("list", code=5).stderr


def test_foreign_database_is_refused(sqlite_url: str) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE sessions (session_id TEXT)")
    assert "foreign_database" in Shell(sqlite_url)("db", "migrate", code=5).stderr


def test_damage_everywhere_is_an_integrity_error(local: Shell, tmp_path: Path) -> None:
    overwrite(tmp_path / "record.db", slice(4_096, None))
    local("db", "check", code=6)
    local("list", code=6)


def test_damage_in_an_index_is_found(local: Shell, tmp_path: Path) -> None:
    place = Place(kind="sqlite", url=local.url, database_url=local.url)
    query = "SELECT rootpage FROM sqlite_schema WHERE name = 'sessions_updated'"
    ((page,),) = place.execute(query)
    overwrite(tmp_path / "record.db", slice(4_096 * (page - 1), 4_096 * page))
    outcome = local("db", "check", "--json", code=6)
    assert outcome.json()["damage"] != []
    assert json.loads(outcome.stderr)["error"]["code"] == "database_corrupt"


def overwrite(path: Path, part: slice) -> None:
    content = bytearray(path.read_bytes())
    content[part] = b"\xff" * len(content[part])
    path.write_bytes(content)


def test_something_else_than_a_database_is_an_integrity_error(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database at all\n" * 200)
    Shell(f"sqlite:///{tmp_path / 'text.db'}")("list", code=6)


def test_backup_is_whole_private_and_usable(local: Shell, tmp_path: Path) -> None:
    local("db", "backup", "copy.db")
    copy = tmp_path / "copy.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert Shell(f"sqlite:///{copy}")("list", "--json").lines() == local("list", "--json").lines()


def test_backup_replaces_a_file_only_if_told(local: Shell, tmp_path: Path) -> None:
    local("db", "backup", "copy.db")
    before = (tmp_path / "copy.db").read_bytes()
    assert "give --force" in local("db", "backup", "copy.db", code=2).stderr
    assert (tmp_path / "copy.db").read_bytes() == before
    local("db", "backup", "copy.db", "--force")


def test_backup_of_postgres_names_its_own_tool(postgres_url: str) -> None:
    assert "pg_dump" in Shell(postgres_url)("db", "backup", "copy.db", code=2).stderr
    assert not Path("copy.db").exists()


@pytest.mark.parametrize(
    "command", [["db", "check"], ["db", "migrate"], ["db", "backup", "x"], ["doctor"], ["serve"]]
)
@pytest.mark.parametrize("url", ["https://record.test", "null://"])
def test_what_needs_a_database_refuses_other_places(url: str, command: list[str]) -> None:
    assert "not_a_database" in Shell(url)(*command, code=2).stderr


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["show", "x"],
        ["db", "check"],
        ["db", "backup", "x"],
        ["doctor"],
        ["verify", "--ledger"],
        ["key", "list"],
        ["key", "revoke", "x", "--yes"],
    ],
)
def test_missing_file_is_not_made(command: list[str], tmp_path: Path) -> None:
    outcome = Shell(f"sqlite:///{tmp_path / 'absent.db'}")(*command, code=3)
    assert "no_database" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_doctor_names_what_durability_rests_on(local: Shell) -> None:
    findings = local("doctor", "--json").lines()
    assert {finding["name"] for finding in findings} > {"synchronous", "integrity"}
    assert {finding["severity"] for finding in findings} == {"ok"}
    assert local("doctor").stdout.splitlines()[0].split() == ["finding", "state", "detail"]


def test_doctor_fails_where_writes_may_be_lost(postgres_url: str) -> None:
    url = f"{postgres_url}&options=-c%20synchronous_commit%3Doff"
    findings = Shell(url)("doctor", "--json", code=1).lines()
    bad = {finding["name"] for finding in findings if finding["severity"] == "error"}
    assert "synchronous_commit" in bad
