"""``hansard delete`` and ``purge``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from hansard.cli import payloads, records, retention, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, ask, confirmed, takes_settings
from hansard.cli.texts import Column
from hansard.cli.times import AGO
from hansard.core.retention import KINDS, Removal
from hansard.core.sessions import PurgeReport
from hansard.face import SessionService
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.service.retention import RetentionService

_COLUMNS: Final = (Column("tenant"), Column("kind"), Column("kept"))


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...")
@confirmed
@as_json
def delete(given: Settings, *, sessions: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove sessions with everything in them.

    With --json: one object per session.
    """

    async def act(record: SessionService) -> None:
        found = dict.fromkeys([await records.find_session(record, name) for name in sessions])
        ask(f"Delete {', '.join(found)}?", yes=yes)
        for session_id in found:
            await record.delete(session_id)
            if as_json:
                payloads.write({"session_id": session_id, "deleted": True})
            else:
                click.echo(f"deleted {session_id}")

    records.run(given, act)


@click.command(cls=RecordCommand)
@takes_settings()
@click.option(
    "--before",
    "before_us",
    type=AGO,
    metavar="TIME",
    help="Instead of the rules: the sessions that nobody changed since then: 30d, 2026-01-31, "
    "or RFC 3339.",
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this; may be repeated."
)
@click.option("--all-tenants", is_flag=True, help="By the rules of every tenant.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@confirmed
@as_json
def purge(
    given: Settings,
    *,
    before_us: int | None,
    kinds: tuple[str, ...],
    all_tenants: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove what is older than the rules of "hansard retention" allow.

    With --json: one object for each kind; with --before, one with the counts.
    """
    if before_us is None:
        removals = _apply_rules(
            given, kinds or KINDS, all_tenants=all_tenants, dry_run=dry_run, yes=yes
        )
        _tell(removals, dry_run=dry_run, as_json=as_json)
        return
    if kinds or all_tenants:
        raise click.UsageError("--before is about the sessions of one tenant")

    async def act(record: SessionService) -> PurgeReport:
        report = await record.purge(updated_before_us=before_us, dry_run=True)
        if dry_run:
            return report
        ask(f"Delete {report.sessions} sessions, {report.messages} messages?", yes=yes)
        return await record.purge(updated_before_us=before_us)

    report = records.run(given, act)
    if as_json:
        payloads.write(payloads.purge(report))
    else:
        sums = f"{report.sessions} sessions, {report.messages} messages"
        click.echo(f"{_verb(dry_run=dry_run)} {sums}")


def _apply_rules(
    given: Settings, kinds: Sequence[str], *, all_tenants: bool, dry_run: bool, yes: bool
) -> list[Removal]:
    async def act(service: RetentionService) -> list[Removal]:
        tenants = [given.record.tenant]
        if all_tenants:
            tenants = [tenant async for tenant in service.iter_tenants()]
        found = [item for tenant in tenants for item in await service.preview(tenant, kinds)]
        if dry_run or not any(item.count for item in found):
            return found
        ask(f"Delete {_sums(found)}?", yes=yes)
        return [item for tenant in tenants for item in await service.apply(tenant, kinds)]

    found = retention.run(given, act)
    return [item for item in found if item.count or not all_tenants]


def _tell(removals: Sequence[Removal], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        for item in removals:
            payloads.write(payloads.removal(item, dry_run=dry_run))
        return
    columns = (*_COLUMNS, Column(_verb(dry_run=dry_run), number=True))
    rows = [
        (item.tenant_id, item.kind, texts.days(item.keep_days), item.count) for item in removals
    ]
    texts.print_table(columns, rows)


def _sums(removals: Sequence[Removal]) -> str:
    """Write how much of each kind goes."""
    sums: Counter[str] = Counter()
    for item in removals:
        sums[item.kind] += item.count
    return ", ".join(f"{count} {kind}" for kind, count in sums.items() if count)


def _verb(*, dry_run: bool) -> str:
    return "would delete" if dry_run else "deleted"
