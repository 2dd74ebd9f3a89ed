"""``hansard doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from hansard.cli import databases, payloads, texts
from hansard.cli.errors import EXIT_ERROR, RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.cli.texts import Column
from hansard.core.durability import Finding
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.service.sessions import DatabaseSessions

_COLUMNS: Final = (Column("finding"), Column("state"), Column("detail"))


@click.command(cls=RecordCommand)
@takes_settings(on_database=True)
@as_json
def doctor(given: Settings, *, as_json: bool) -> None:
    """Check what the durability of a database rests on.

    Exit code 1 if an acknowledged write may be lost. With --json: one finding per line.
    """

    async def act(record: DatabaseSessions) -> Sequence[Finding]:
        return await record.diagnose()

    findings = databases.run(given, act)
    if as_json:
        for finding in findings:
            payloads.write(payloads.finding(finding))
    else:
        rows = [(finding.name, finding.severity, finding.detail) for finding in findings]
        texts.print_table(_COLUMNS, rows)
    if any(finding.severity == "error" for finding in findings):
        click.get_current_context().exit(EXIT_ERROR)
