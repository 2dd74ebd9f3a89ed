"""``hansard usage``."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell


def test_usage_is_told_by_model(shell: Shell) -> None:
    usage = shell("usage", "second", "--json").json()
    assert (usage["session_id"], usage["turns"]) == ("second", 1)
    assert usage["usage"]["cost_usd"] == "0.0015"
    assert [(part["provider"], part["model"]) for part in usage["models"]] == [("p", "m-1")]
    assert usage["models"][0]["usage"] == usage["usage"]


def test_usage_ends_with_the_total(shell: Shell) -> None:
    head, model, total = shell("usage", "second").stdout.splitlines()
    assert head.split()[:3] == ["provider", "model", "calls"]
    assert model.split() == ["p", "m-1", "1", "7", "0", "0", "3", "0", "0.0015"]
    assert total.split() == ["total", "1", "7", "0", "0", "3", "0", "0.0015"]


def test_usage_of_nothing_is_zero(shell: Shell) -> None:
    assert shell("usage", "first", "--json").json()["models"] == []
    assert shell("usage", "first").stdout.splitlines()[1].split()[-1] == "0"


@pytest.mark.parametrize(
    "options",
    [
        ["second", "--csv"],
        ["second", "--focus"],
        ["second", "--since", "1d"],
        ["second", "--until", "1d"],
        ["second", "--group-by", "model"],
        ["--csv", "--json"],
        ["--focus", "--json"],
        ["--focus", "--group-by", "model"],
    ],
)
def test_what_would_not_be_heeded_is_refused(local: Shell, options: list[str]) -> None:
    assert local("usage", *options, code=2).stdout == ""
