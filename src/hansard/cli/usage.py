"""``hansard usage``."""

from __future__ import annotations

from typing import Final

import click

from hansard.cli import payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.cli.texts import Cell, Column
from hansard.core.money import format_usd
from hansard.core.usage import SessionUsage, UsageTotals
from hansard.face import SessionService
from hansard.settings import Settings

_COLUMNS: Final = (
    Column("provider"),
    Column("model"),
    Column("calls", number=True),
    Column("tokens in", number=True),
    Column("cached", number=True),
    Column("cache writes", number=True),
    Column("tokens out", number=True),
    Column("reasoning", number=True),
    Column("cost $", number=True),
)


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session")
@as_json
def usage(given: Settings, *, session: str, as_json: bool) -> None:
    """Show what a session used, by model.

    Cached tokens and cache writes are part of the tokens in, reasoning of those out. With
    --json: one object.
    """

    async def act(record: SessionService) -> SessionUsage:
        return await record.usage(await records.find_session(record, session))

    found = records.run(given, act)
    if as_json:
        payloads.write(payloads.usage(found))
        return
    rows = [(part.provider, part.model, *_counts(part.totals)) for part in found.models]
    texts.print_table(_COLUMNS, [*rows, ("total", None, *_counts(found.totals))])


def _counts(totals: UsageTotals) -> tuple[Cell, ...]:
    return (
        totals.calls,
        totals.input_tokens,
        totals.cached_tokens,
        totals.cache_write_tokens,
        totals.output_tokens,
        totals.reasoning_tokens,
        format_usd(totals.cost_nanousd),
    )
