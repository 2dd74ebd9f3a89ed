"""``hansard key``: made once, shown once, ended at once, and good for the service."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

import hansard
from hansard import compose
from hansard.settings import AccessSettings
from tests.cli.conftest import Shell
from tests.places import serve
from tests.samples import call, user


@pytest.fixture
def service(local: Shell) -> Iterator[Shell]:
    """The command line on a service that asks for keys."""
    with serve(local.url, AccessSettings(auth="key")) as url:
        yield Shell(url)


def make(shell: Shell, *options: str) -> dict[str, str]:
    made: dict[str, str] = shell("key", "create", "--owner", "bob", "--json", *options).json()
    return made


def test_key_is_printed_alone(local: Shell) -> None:
    text = local("key", "create", "--owner", "bob").stdout
    assert text.count("\n") == 1
    assert text.startswith("hansard.default.")


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_key_is_kept_without_its_secret(engine: str, request: pytest.FixtureRequest) -> None:
    shell = Shell(str(request.getfixturevalue(f"{engine}_url")))
    made = make(shell, "--tenant", "acme", "--scope", "sessions:all", "--expires", "90d")
    secret = made.pop("key").rpartition(".")[2]
    (listed,) = shell("key", "list", "--tenant", "acme", "--json").lines()
    assert listed == made
    assert (listed["tenant"], listed["owner"], listed["scopes"]) == (
        "acme",
        "bob",
        ["sessions:all"],
    )
    assert listed["expires_at"] > listed["created_at"]
    assert secret not in json.dumps(listed)
    assert shell("key", "list", "--json").lines() == []


def test_list_is_readable(local: Shell) -> None:
    key_id = make(local)["key_id"]
    make(local, "--expires", "90d")
    with closing(sqlite3.connect(compose.sqlite_path(local.url) or "")) as database, database:
        database.execute("UPDATE api_keys SET expires_at_us = 1 WHERE expires_at_us IS NOT NULL")
    local("key", "revoke", key_id, "--yes")
    head, first, second = local("key", "list").stdout.splitlines()
    assert head.split()[:2] == ["key", "owner"]
    assert first.startswith(key_id)
    assert first.endswith("never    revoked") or first.split()[-1] == "revoked"
    assert second.split()[-1] == "expired"


def test_key_opens_the_service_for_its_owner(service: Shell, local: Shell) -> None:
    own = make(local)["key"]
    all_seeing = make(local, "--scope", "sessions:all")["key"]
    assert service("list", "--json", HANSARD_TOKEN=own).lines() == []
    assert len(service("list", "--json", HANSARD_TOKEN=all_seeing).lines()) == 2


def test_key_sets_budgets_if_it_may(service: Shell, local: Shell) -> None:
    options = ("budget", "set", "tenant", "--limit", "1", "--json")
    own, treasurers = (make(local, *scope)["key"] for scope in ((), ("--scope", "budgets:write")))
    service(*options, code=4)
    refused = service(*options, code=4, HANSARD_TOKEN=own)
    assert json.loads(refused.stderr)["error"]["code"] == "forbidden"
    made = service(*options, HANSARD_TOKEN=treasurers).json()
    assert service("budget", "list", "--json", HANSARD_TOKEN=own).lines() == [made]
    assert local("budget", "list", "--json").lines() == [made]


def test_bill_is_made_out_to_the_tenant_of_the_key(service: Shell, local: Shell) -> None:
    key = make(local, "--tenant", "acme")["key"]

    async def spend() -> None:
        async with hansard.open(service.url, token=key) as record:
            await record.append_turn("s", [user("hi")], usage=[call("e", 7)], create=True)

    asyncio.run(spend())
    (row,) = csv.DictReader(service("usage", "--focus", HANSARD_TOKEN=key).stdout.splitlines())
    assert (row["BillingAccountId"], row["SubAccountId"]) == ("acme", "acme")
    assert service("usage", "--json", HANSARD_TOKEN=key).json()["tenant"] == "acme"


def test_without_key_the_service_is_closed(service: Shell) -> None:
    outcome = service("list", "--json", code=4)
    assert json.loads(outcome.stderr)["error"]["code"] == "unauthorized"
    assert outcome.stdout == ""


def test_revoked_key_opens_nothing(service: Shell, local: Shell) -> None:
    made = make(local)
    assert local("key", "revoke", made["key_id"], "-y", "--json").json() == {
        "key_id": made["key_id"],
        "revoked": True,
    }
    service("list", code=4, HANSARD_TOKEN=made["key"])


def test_another_pepper_is_another_lock(service: Shell, local: Shell) -> None:
    made = local("key", "create", "--owner", "bob", HANSARD_KEY_PEPPER="other").stdout.strip()
    service("list", code=4, HANSARD_TOKEN=made)


def test_unknown_key_is_not_found(local: Shell) -> None:
    assert "key_not_found" in local("key", "revoke", "nothing", "--yes", code=3).stderr


def test_revoking_asks_first(local: Shell) -> None:
    local("key", "revoke", make(local)["key_id"], code=2)
    assert local("key", "list", "--json").json()["revoked_at"] is None


def test_keys_are_not_made_through_a_server(service: Shell) -> None:
    assert "not_a_database" in service("key", "create", "--owner", "bob", code=2).stderr


def test_key_that_has_expired_already_is_not_made(local: Shell) -> None:
    local("key", "create", "--owner", "bob", "--expires", "2020-01-01", code=2)
    assert local("key", "list", "--json").stdout == ""
