"""``hansard verify``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import click

from hansard.cli import databases, payloads, records, texts
from hansard.cli.errors import EXIT_INTEGRITY, RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.core.actors import Actor
from hansard.core.paging import LIMIT_MAX
from hansard.face import SessionService
from hansard.settings import Settings


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("sessions", nargs=-1, metavar="SESSION...")
@click.option("--all", "every", is_flag=True, help="Every session within reach.")
@click.option(
    "--ledger", is_flag=True, help="Usage, budgets and holds instead; on a database only."
)
@as_json
def verify(
    given: Settings, *, sessions: tuple[str, ...], every: bool, ledger: bool, as_json: bool
) -> None:
    """Recompute the digest chain of sessions and compare; or every total of the ledger.

    Exit code 6 if any chain is broken, or any total is not what the entries say. With --json:
    one outcome per line.
    """
    if every + bool(sessions) + ledger != 1:
        raise click.UsageError("give one of the three: names of sessions, --all, or --ledger")
    sound = _verify_ledger if ledger else partial(_verify_sessions, sessions=sessions)
    if not sound(given, as_json=as_json):
        click.get_current_context().exit(EXIT_INTEGRITY)


def _verify_ledger(given: Settings, *, as_json: bool) -> bool:
    report = databases.run(
        given, lambda record: record.acting_as(Actor(given.record.tenant)).verify_ledger()
    )
    if as_json:
        payloads.write(payloads.ledger(report))
        return report.ok
    for drift in report.drifts:
        click.echo(texts.printable(f"DRIFT  {drift.what}  {drift.subject}  {drift.excess}"))
    outcome = "ok" if report.ok else "BROKEN"
    click.echo(f"{outcome}  {report.entries} entries  {report.windows} windows of budgets")
    return report.ok


def _verify_sessions(given: Settings, *, sessions: tuple[str, ...], as_json: bool) -> bool:

    async def act(record: SessionService) -> bool:
        sound = True
        async for session_id in _chosen(record, sessions):
            outcome = await record.verify(session_id)
            sound = sound and outcome.ok
            if as_json:
                payloads.write(payloads.verification(session_id, outcome))
            elif outcome.ok:
                click.echo(f"{session_id}  ok  {outcome.messages} messages  {outcome.digest}")
            else:
                click.echo(f"{session_id}  BROKEN at message {outcome.first_bad_seq}")
        return sound

    return records.run(given, act)


async def _chosen(record: SessionService, names: tuple[str, ...]) -> AsyncIterator[str]:
    for name in names:
        yield await records.find_session(record, name)
    cursor = None
    while not names:
        page = await record.list(limit=LIMIT_MAX, sort="created_at", cursor=cursor)
        for session in page.items:
            yield session.id
        if page.next_cursor is None:
            return
        cursor = page.next_cursor
