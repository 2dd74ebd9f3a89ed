"""``hansard verify``."""

from __future__ import annotations

from collections.abc import AsyncIterator

import click

from hansard.cli import payloads, records
from hansard.cli.errors import EXIT_INTEGRITY, RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.core.paging import LIMIT_MAX
from hansard.face import SessionService
from hansard.settings import Settings


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("sessions", nargs=-1, metavar="SESSION...")
@click.option("--all", "every", is_flag=True, help="Every session within reach.")
@as_json
def verify(given: Settings, *, sessions: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Recompute the digest chain of sessions and compare.

    Exit code 6 if any chain is broken. With --json: one outcome per line.
    """
    if every == bool(sessions):
        raise click.UsageError("name sessions, or give --all")

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

    if not records.run(given, act):
        click.get_current_context().exit(EXIT_INTEGRITY)


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
