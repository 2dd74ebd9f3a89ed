"""``hansard delete`` and ``purge``."""

from __future__ import annotations

import click

from hansard.cli import payloads, records
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, ask, confirmed, takes_settings
from hansard.cli.times import AGO
from hansard.core.sessions import PurgeReport
from hansard.face import SessionService
from hansard.settings import Settings


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
    required=True,
    metavar="TIME",
    help="Remove what nobody changed since then: 30d, 2026-01-31, or RFC 3339.",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@confirmed
@as_json
def purge(given: Settings, *, before_us: int, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the sessions that nobody touched for a while.

    With --json: one object with the counts.
    """

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
        verb = "would delete" if dry_run else "deleted"
        click.echo(f"{verb} {report.sessions} sessions, {report.messages} messages")
