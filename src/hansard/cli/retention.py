"""``hansard retention``: how long what is kept stays, and what stays whatever the rules say."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hansard.cli import databases, payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.cli.texts import Column
from hansard.core.retention import EVERY_TENANT, KEEP_DAYS_MAX, KINDS, RetentionRule
from hansard.face import SessionService
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.service.retention import RetentionService

T = TypeVar("T")

_COLUMNS: Final = (Column("kind"), Column("kept"), Column("set for"))
_DAYS: Final = re.compile(r"(\d{1,5})d", re.ASCII)
_FOREVER: Final = "forever"


class KeepDays(click.ParamType[int | None]):
    """How long something is kept: ``90d``, or ``forever``."""

    name = "days"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        if value == _FOREVER:
            return None
        length = _DAYS.fullmatch(str(value))
        if length is None or not 1 <= int(length[1]) <= KEEP_DAYS_MAX:
            self.fail(f"must be from 1d to {KEEP_DAYS_MAX}d, or {_FOREVER}", param, ctx)
        return int(length[1])


_every_tenant = click.option(
    "--every-tenant", is_flag=True, help="For every tenant without a rule of its own."
)
_kind = click.argument("kind", type=click.Choice(KINDS))


@click.group()
def retention() -> None:
    """Say how long what is kept stays, and place legal holds.

    "hansard purge" and the service remove what is older than these rules allow.
    """


@retention.command("list", cls=RecordCommand)
@takes_settings(on_database=True)
@as_json
def list_rules(given: Settings, *, as_json: bool) -> None:
    """List the rules that a tenant goes by.

    With --json: one object, the rules under "rules".
    """
    tenant = given.record.tenant

    async def act(service: RetentionService) -> tuple[tuple[RetentionRule, ...], int | None]:
        return await service.list_rules(tenant), await service.find_legal_hold(tenant)

    rules, held_since_us = run(given, act)
    if as_json:
        payloads.write(payloads.retention(tenant, rules, held_since_us))
        return
    texts.print_table(_COLUMNS, [(rule.kind, _kept(rule), rule.scope) for rule in rules])
    if held_since_us is not None:
        since = texts.local_time(held_since_us)
        click.echo(f"nothing of {tenant} is removed: it is under legal hold since {since}")


@retention.command("set", cls=RecordCommand)
@takes_settings(on_database=True)
@_kind
@click.argument("keep_days", metavar="DAYS", type=KeepDays())
@_every_tenant
@as_json
def set_rule(
    given: Settings, *, kind: str, keep_days: int | None, every_tenant: bool, as_json: bool
) -> None:
    """Keep what is of a KIND for so many DAYS: 90d, or forever.

    "hansard purge --dry-run" tells what would go then. With --json: one object.
    """
    tenant = EVERY_TENANT if every_tenant else given.record.tenant
    rule = RetentionRule(tenant_id=tenant, kind=kind, keep_days=keep_days)
    run(given, lambda service: service.set_rule(tenant, kind, keep_days))
    if as_json:
        payloads.write(payloads.retention_rule(rule))
    else:
        click.echo(f"{kind} are kept {_kept(rule)} ({rule.scope})")


@retention.command("unset", cls=RecordCommand)
@takes_settings(on_database=True)
@_kind
@_every_tenant
@as_json
def unset_rule(given: Settings, *, kind: str, every_tenant: bool, as_json: bool) -> None:
    """Remove the rule for a KIND, so that the one of every tenant holds, or the default.

    With --json: one object.
    """
    tenant = EVERY_TENANT if every_tenant else given.record.tenant
    run(given, lambda service: service.unset_rule(tenant, kind))
    if as_json:
        payloads.write({"kind": kind, "unset": True})
    else:
        click.echo(f"no rule for {kind} any more")


@retention.command("legal-hold", cls=RecordCommand)
@takes_settings()
@click.argument("state", type=click.Choice(["on", "off"]))
@click.argument("sessions", nargs=-1, metavar="[SESSION...]")
@click.option("--all", "every", is_flag=True, help="Everything of the tenant, now and later.")
@as_json
def legal_hold(
    given: Settings, *, state: str, sessions: tuple[str, ...], every: bool, as_json: bool
) -> None:
    """Let nothing of sessions be removed or replaced, or lift that.

    With --json: one object per session.
    """
    if every == bool(sessions):
        raise click.UsageError("name sessions, or give --all")
    on = state == "on"
    if every:
        tenant = given.record.tenant
        run(
            given,
            lambda service: (
                service.place_legal_hold(tenant) if on else service.lift_legal_hold(tenant)
            ),
        )
        _tell({"tenant": tenant, "legal_hold": on}, tenant, as_json=as_json)
        return

    async def act(record: SessionService) -> None:
        found = dict.fromkeys([await records.find_session(record, name) for name in sessions])
        for session_id in found:
            await record.update(session_id, legal_hold=on)
            _tell({"session_id": session_id, "legal_hold": on}, session_id, as_json=as_json)

    records.run(given, act)


def run(given: Settings, action: Callable[[RetentionService], Awaitable[T]]) -> T:
    """Act on the retention of the database that the settings name."""
    from hansard.service.retention import RetentionService

    return databases.run(
        given, lambda record: action(RetentionService(record.runner, clock=record.clock))
    )


def _tell(payload: payloads.Payload, name: str, *, as_json: bool) -> None:
    if as_json:
        payloads.write(payload)
    else:
        click.echo(f"{name}  legal hold {'on' if payload['legal_hold'] else 'off'}")


def _kept(rule: RetentionRule) -> str:
    return _FOREVER if rule.keep_days is None else texts.days(rule.keep_days)
