"""``hansard usage``."""

from __future__ import annotations

from collections.abc import Sequence
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
    Column("cached", number=True, is_detail=True),
    Column("cache writes", number=True, is_detail=True),
    Column("tokens out", number=True),
    Column("reasoning", number=True, is_detail=True),
    Column("cost $", number=True),
)
_UNPRICED: Final = Column("unpriced", number=True)
_BAR = 24  # characters of the longest bar


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session", required=False)
@click.option(
    "--group-by",
    "groups",
    show_default="day",
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
    groups: str | None,
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
    if form is not None and (as_json or (form == "focus" and groups is not None)):
        raise click.UsageError("--csv, --focus and --json each go alone; --focus has its groups")
    if session is not None and any(item is not None for item in (groups, form, since_us, until_us)):
        raise click.UsageError("a SESSION's usage is by model, of all time; with --json, as JSON")
    if session is not None:
        _show_session(given, session, as_json=as_json)
        return
    group_by = (
        FOCUS_GROUPS if form == "focus" else tuple(("day" if groups is None else groups).split(","))
    )

    async def act(record: SessionService) -> UsageReport:
        return await record.usage_report(since_us=since_us, until_us=until_us, group_by=group_by)

    report = records.run(given, act)
    if as_json:
        payloads.write(payloads.report(report))
    elif form == "focus":
        click.echo(write_focus(report), nl=False)
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
    lines = [((part.provider, part.model), part.totals) for part in found.models]
    _print(("provider", "model"), lines, found.totals)


def _show_report(report: UsageReport) -> None:
    names = [tuple(name or "-" for name in bucket.key) for bucket in report.buckets]
    totals = [bucket.totals for bucket in report.buckets]
    bars = _bars(totals) if texts.is_terminal() else None
    lines = list(zip(names, totals, strict=True))
    _print(report.query.group_by, lines, report.totals, bars)


def _print(
    names: tuple[str, ...],
    lines: Sequence[tuple[tuple[str, ...], UsageTotals]],
    totals: UsageTotals,
    bars: Sequence[str] | None = None,
) -> None:
    """Write a table that ends with the totals; a count of unpriced calls only if there are any."""
    columns = (*[Column(name, is_word=True) for name in names], *_COUNTS)
    rows = [(*key, *_counts(part)) for key, part in lines]
    rows.append(("total", *[None] * (len(names) - 1), *_counts(totals)))
    if totals.unpriced_calls:
        counts = [part.unpriced_calls for _, part in [*lines, ((), totals)]]
        columns = (*columns, _UNPRICED)
        rows = [(*row, count) for row, count in zip(rows, counts, strict=True)]
    if bars is not None:
        columns = (*columns, Column("", is_word=True, is_detail=True))
        rows = [(*row, bar) for row, bar in zip(rows, [*bars, ""], strict=True)]
    texts.print_table(columns, rows)


def _bars(lines: list[UsageTotals]) -> list[str]:
    """A bar for what each line costs; for its tokens where nothing has a price."""
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
    )
