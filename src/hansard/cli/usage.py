"""``hansard usage``."""

from __future__ import annotations

from typing import Final

import click

from hansard.cli import payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.cli.texts import Cell, Column
from hansard.cli.times import AGO
from hansard.core.money import format_usd
from hansard.core.reports import GROUPS, UsageReport
from hansard.core.usage import SessionUsage, UsageTotals
from hansard.face import SessionService
from hansard.formats.usage_tables import FOCUS_GROUPS, write_csv, write_focus
from hansard.settings import Settings

_COUNTS: Final = (
    Column("calls", number=True),
    Column("tokens in", number=True),
    Column("cached", number=True),
    Column("cache writes", number=True),
    Column("tokens out", number=True),
    Column("reasoning", number=True),
    Column("cost $", number=True),
    Column("unpriced", number=True),
)
_BAR = 24  # characters of the longest bar


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session", required=False)
@click.option(
    "--group-by",
    "groups",
    default="day",
    show_default=True,
    metavar="GROUP[,GROUP]",
    help=f"One or two of {', '.join(GROUPS)}.",
)
@click.option("--since", "since_us", type=AGO, help="From when on: 30d, 2026-01-31.")
@click.option("--until", "until_us", type=AGO, help="Until when.")
@click.option("--csv", "form", flag_value="csv", help="Write comma-separated values.")
@click.option("--focus", "form", flag_value="focus", help="Write a bill in FOCUS's columns.")
@as_json
def usage(
    given: Settings,
    *,
    session: str | None,
    groups: str,
    since_us: int | None,
    until_us: int | None,
    form: str | None,
    as_json: bool,
) -> None:
    """Show what was used and what it cost: in all, or by a SESSION's models.

    Cached tokens and cache writes are part of the tokens in, reasoning of those out; unpriced
    calls are in no sum of money. Bounds are widened to full hours, days are those of UTC.
    With --json: one object.
    """
    if session is not None:
        _show_session(given, session, as_json=as_json)
        return
    group_by = FOCUS_GROUPS if form == "focus" else tuple(groups.split(","))

    async def act(record: SessionService) -> UsageReport:
        return await record.usage_report(since_us=since_us, until_us=until_us, group_by=group_by)

    report = records.run(given, act)
    if as_json:
        payloads.write(payloads.report(report))
    elif form == "focus":
        click.echo(write_focus(report, given.record.tenant), nl=False)
    elif form == "csv":
        click.echo(write_csv(report), nl=False)
    else:
        _show_report(report)


def _show_session(given: Settings, session: str, *, as_json: bool) -> None:
    async def act(record: SessionService) -> SessionUsage:
        return await record.usage(await records.find_session(record, session))

    found = records.run(given, act)
    if as_json:
        payloads.write(payloads.usage(found))
        return
    rows = [(part.provider, part.model, *_counts(part.totals)) for part in found.models]
    columns = (Column("provider"), Column("model"), *_COUNTS)
    texts.print_table(columns, [*rows, ("total", None, *_counts(found.totals))])


def _show_report(report: UsageReport) -> None:
    """A table; on a terminal with a bar for what each line costs, or else for its tokens."""
    groups = report.query.group_by
    rows: list[tuple[Cell, ...]] = [
        (*[name or "-" for name in bucket.key], *_counts(bucket.totals))
        for bucket in report.buckets
    ]
    rows.append(("total", *[None] * (len(groups) - 1), *_counts(report.totals)))
    columns: tuple[Column, ...] = (*map(Column, groups), *_COUNTS)
    if texts.is_terminal():
        columns = (*columns, Column(""))
        bars = [*_bars([bucket.totals for bucket in report.buckets]), ""]
        rows = [(*row, bar) for row, bar in zip(rows, bars, strict=True)]
    texts.print_table(columns, rows)


def _bars(lines: list[UsageTotals]) -> list[str]:
    amounts = [line.cost_nanousd for line in lines]
    if not any(amounts):
        amounts = [line.input_tokens + line.output_tokens for line in lines]
    most = max(amounts, default=0)
    return ["▇" * (amount * _BAR // most if most else 0) for amount in amounts]


def _counts(totals: UsageTotals) -> tuple[Cell, ...]:
    return (
        totals.calls,
        totals.input_tokens,
        totals.cached_tokens,
        totals.cache_write_tokens,
        totals.output_tokens,
        totals.reasoning_tokens,
        format_usd(totals.cost_nanousd),
        totals.unpriced_calls,
    )
