"""The command as a whole: what it loads, what it says, how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hansard import __version__
from hansard.cli import reference
from hansard.cli.errors import EXIT_CODES, EXPLAINED, exit_code
from hansard.cli.main import COMMANDS, cli
from hansard.core.errors import HansardError, InvalidInput, Unavailable
from hansard.settings import declared
from tests.cli.conftest import Shell

HEAVY = (
    "starlette uvicorn psycopg sqlite3 httpx rich prometheus_client asyncio msgspec structlog jwt"
)
LOADED = f"""
import sys
from click.testing import CliRunner
from hansard.cli.main import cli
result = CliRunner().invoke(cli, sys.argv[1:])
assert result.exit_code == 0, result.output
print(*sorted(set({HEAVY!r}.split()) & set(sys.modules)))
"""


@pytest.mark.parametrize("args", [["--help"], ["--version"], []])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = LOADED.replace("== 0", "in {0, 2}")
    assert loaded_by(code, *args) <= {"msgspec"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in {"db", "key"}])
def test_help_of_a_command_loads_neither_framework_nor_driver(command: str) -> None:
    assert loaded_by(LOADED, command, "--help") <= {"asyncio", "msgspec"}


def loaded_by(code: str, *args: str) -> set[str]:
    """Heavy modules that a fresh process loads; without coverage, which would load some."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_command_is_described_in_full() -> None:
    context = click.Context(cli)
    for name, entry in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert entry.text.endswith(".")


def test_version_is_told() -> None:
    shell = Shell("null://")
    assert shell("--version").stdout == shell("version").stdout == f"hansard {__version__}\n"
    assert shell("version", "--json").json()["version"] == __version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    assert "_HANSARD_COMPLETE" in Shell("null://")("completion", shell).stdout


def test_completion_knows_the_commands(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from hansard.cli.main import main; main()"],
        env={"_HANSARD_COMPLETE": "bash_complete", "COMP_WORDS": "hansard li", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "plain,list\n"


@pytest.mark.parametrize("args", [["lst"], ["list", "--colour"], ["show"], ["db", "drop"]])
def test_wrong_usage_has_its_own_code(args: list[str]) -> None:
    outcome = Shell("null://")(*args, code=2)
    assert outcome.stdout == ""
    assert outcome.stderr


def test_wrong_setting_is_named() -> None:
    outcome = Shell("null://")("list", "--json", code=2, HANSARD_DATABSE="x")
    error = json.loads(outcome.stderr)["error"]
    assert (error["code"], error["details"]) == ("invalid_setting", {"setting": "databse"})


def test_url_of_nowhere_is_refused() -> None:
    outcome = Shell("mysql://host/db")("list", code=2)
    assert "invalid_url" in outcome.stderr


def test_file_of_settings_is_read(local: Shell, tmp_path: Path) -> None:
    (tmp_path / "hansard.toml").write_text(f'[hansard]\ndatabase = "{local.url}"\n')
    listed = Shell("")("list", "--json").lines()
    assert len(listed) == 2


def test_flag_wins_over_environment(local: Shell) -> None:
    assert len(Shell("null://")("list", "--json", "--database", local.url).lines()) == 2


def test_tenant_is_chosen_by_setting(local: Shell) -> None:
    assert local("list", "--json", "--tenant", "acme").lines() == []
    assert local("list", "--json", HANSARD_TENANT="acme").lines() == []


def test_every_setting_with_a_flag_has_it_somewhere() -> None:
    text = reference.render()
    for item in declared():
        assert item.flag is None or item.flag in text


def test_every_exit_code_is_explained() -> None:
    assert set(EXIT_CODES.values()) <= set(EXPLAINED)
    assert set(EXIT_CODES) <= set(HansardError.__subclasses__())


def test_errors_without_a_code_of_their_own_end_with_one() -> None:
    assert exit_code(Unavailable("gone")) == exit_code(HansardError("bug")) == 1
    assert exit_code(InvalidInput("wrong")) == 2


def test_help_says_what_needs_a_database() -> None:
    for command in ("price list", "retention list", "key list", "db check", "serve"):
        assert "not a Hansard server" in " ".join(
            Shell("")(*command.split(), "--help").stdout.split()
        )
    for command in ("list", "usage", "budget list"):
        assert "not a Hansard server" not in Shell("")(*command.split(), "--help").stdout


def test_reference_names_every_command() -> None:
    text = reference.render()
    for name in [*COMMANDS, "db migrate", "db check", "db backup", "key create", "key revoke"]:
        assert f"\n## hansard {name}\n" in text
    assert str(Path.home()) not in text
