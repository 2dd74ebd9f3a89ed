"""``hansard key``: the API keys of a service, in its database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from hansard.cli import databases, payloads, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, ask, confirmed, takes_settings
from hansard.cli.texts import Column
from hansard.cli.times import AHEAD
from hansard.clock import now_us
from hansard.core.actors import SCOPES
from hansard.core.keys import ApiKey
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.service.keys import KeyService
    from hansard.service.sessions import DatabaseSessions

_COLUMNS: Final = (
    Column("key", is_word=True),
    Column("owner"),
    Column("scopes"),
    Column("made", is_word=True),
    Column("expires", is_word=True),
    Column("state", is_word=True),
)


@click.group()
def key() -> None:
    """Make, list and revoke API keys."""


@key.command(cls=RecordCommand)
@takes_settings(on_database=True)
@click.option("--owner", required=True, help="On whose behalf the holder acts.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it opens beside the owner's own sessions; may be repeated.",
)
@click.option("--expires", "expires_at_us", type=AHEAD, help="Until when: 90d, 2027-01-31.")
@as_json
def create(
    given: Settings,
    *,
    owner: str,
    scopes: tuple[str, ...],
    expires_at_us: int | None,
    as_json: bool,
) -> None:
    """Make a key and print it, this once; it is kept nowhere.

    It belongs to the tenant of --tenant. With --json: one object, the key under "key".
    """
    if expires_at_us is not None and expires_at_us <= now_us():
        raise click.UsageError("--expires has passed already")

    async def act(record: DatabaseSessions) -> tuple[str, ApiKey]:
        tenant = given.record.tenant
        return await _service(given, record).create(tenant, owner, scopes, expires_at_us)

    text, made = databases.run_new(given, act)
    if as_json:
        payloads.write({"key": text, **payloads.api_key(made)})
    else:
        click.echo(text)


@key.command("list", cls=RecordCommand)
@takes_settings(on_database=True)
@as_json
def list_keys(given: Settings, *, as_json: bool) -> None:
    """List the keys of a tenant, the oldest first.

    With --json: one key per line.
    """

    async def act(record: DatabaseSessions) -> list[ApiKey]:
        return await _service(given, record).list(given.record.tenant)

    keys = databases.run(given, act)
    if as_json:
        for item in keys:
            payloads.write(payloads.api_key(item))
    else:
        texts.print_table(_COLUMNS, [_row(item) for item in keys])


@key.command(cls=RecordCommand)
@takes_settings(on_database=True)
@click.argument("key_id")
@confirmed
@as_json
def revoke(given: Settings, *, key_id: str, yes: bool, as_json: bool) -> None:
    """End a key at once; KEY_ID is as "hansard key list" shows it.

    With --json: one object.
    """
    ask(f"Revoke {key_id}?", yes=yes)

    async def act(record: DatabaseSessions) -> None:
        await _service(given, record).revoke(given.record.tenant, key_id)

    databases.run(given, act)
    if as_json:
        payloads.write({"key_id": key_id, "revoked": True})
    else:
        click.echo(f"revoked {key_id}")


def _service(given: Settings, record: DatabaseSessions) -> KeyService:
    from hansard.server.app import key_service

    return key_service(record, given.access)


def _row(item: ApiKey) -> tuple[str, ...]:
    until = item.expires_at_us
    state = "revoked" if item.revoked_at_us else "valid" if item.is_valid(now_us()) else "expired"
    return (
        item.key_id,
        item.owner,
        " ".join(item.scopes),
        texts.local_time(item.created_at_us),
        texts.local_time(until) if until else "never",
        state,
    )
