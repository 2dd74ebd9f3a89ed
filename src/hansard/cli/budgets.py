"""``hansard budget``: what may be spent, what is left of it, and calls whose end nobody knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import click

from hansard.cli import databases, payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, ask, confirmed, takes_settings
from hansard.cli.texts import Cell, Column
from hansard.core.actors import Actor
from hansard.core.budgets import (
    EACH,
    HOLD_STATES,
    SCOPES,
    WARN_PERCENTS,
    Budget,
    BudgetState,
    Hold,
    parse_limit,
)
from hansard.core.errors import InvalidInput
from hansard.core.money import format_usd, parse_usd
from hansard.core.paging import Page
from hansard.core.periods import PERIODS
from hansard.core.usage import NewUsage, check_usage
from hansard.face import SessionService
from hansard.settings import Settings

T = TypeVar("T")
Found = tuple[Budget, Page[BudgetState]]

_BAR = 10  # characters of the longest bar
_STATE_COLUMNS: Final = (
    Column("spent", number=True),
    Column("held", number=True),
    Column("left", number=True),
    Column("used", number=True),
)
_COLUMNS: Final = (
    Column("budget"),
    Column("of"),
    Column("window"),
    Column("limit", number=True),
    *_STATE_COLUMNS,
)
_SHOWN_COLUMNS: Final = (Column("of"), *_STATE_COLUMNS, Column("resets", is_word=True))
_HOLD_COLUMNS: Final = (
    Column("call", is_word=True),
    Column("state"),
    Column("session", is_word=True),
    Column("owner"),
    Column("model"),
    Column("at most $", number=True),
    Column("tokens", number=True, is_detail=True),
    Column("budgets"),
    Column("taken", is_word=True),
)


@click.group()
def budget() -> None:
    """Set budgets, see what is left of them, and resolve holds."""


@budget.command("list", cls=RecordCommand)
@takes_settings()
@as_json
def list_budgets(given: Settings, *, as_json: bool) -> None:
    """List the budgets of a tenant, and what is left of each now.

    With --json: one budget per line.
    """
    found = _run(given, lambda record: record.list_budgets())
    if as_json:
        for each in found:
            payloads.write(payloads.budget(*each))
        return
    lines: list[tuple[Budget, BudgetState | None]] = []
    for item, page in found:
        lines += [(item, state) for state in page.items] or [(item, None)]
    rows = [
        (
            item.budget_id,
            _whose(item.scope, state.subject if state else item.subject),
            item.period if item.mode == "enforce" else f"{item.period}, {item.mode}",
            _amount(item, item.limit_amount),
            *_counts(state),
        )
        for item, state in lines
    ]
    _print(_COLUMNS, rows, [state for _, state in lines])
    for item, page in found:
        if page.next_cursor:
            click.echo(f"there are more: see hansard budget show {item.budget_id}")


@budget.command(cls=RecordCommand)
@takes_settings()
@click.argument("budget_id", metavar="BUDGET")
@click.option("-n", "count", type=click.IntRange(1, 1_000), default=100, show_default=True)
@as_json
def show(given: Settings, *, budget_id: str, count: int, as_json: bool) -> None:
    """Show a budget, and what is left of it now; with --json: one object."""
    found = _run(given, lambda record: record.get_budget(budget_id, limit=count))
    _show(found, as_json=as_json)


@budget.command("set", cls=RecordCommand)
@takes_settings()
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("subject", default="")
@click.option("--limit", required=True, help="Dollars, such as 25.00; with --tokens, tokens.")
@click.option("--tokens", "unit", flag_value="tokens", default="usd", help="Limit tokens.")
@click.option("--window", type=click.Choice(PERIODS), default="total", show_default=True)
@click.option("--zone", default="UTC", show_default=True, help="Whose clocks cut the windows.")
@click.option("--observe", "mode", flag_value="observe", default="enforce", help="Refuse nothing.")
@click.option(
    "--warn",
    "warn_percents",
    type=click.IntRange(1, 100),
    multiple=True,
    default=WARN_PERCENTS,
    show_default=True,
    help="Tell when so many percent are used; may be repeated.",
)
@click.option("--id", "budget_id", help="Its name; made of the rest if not given.")
@as_json
def set_budget(
    given: Settings,
    *,
    scope: str,
    subject: str,
    limit: str,
    unit: str,
    window: str,
    zone: str,
    mode: str,
    warn_percents: tuple[int, ...],
    budget_id: str | None,
    as_json: bool,
) -> None:
    """Say what may be spent: by the tenant, or by a SUBJECT, '*' for each by itself.

    As in: hansard budget set owner alice --limit 25.00 --window day --zone Europe/Berlin. Set
    again with another limit, it goes on with what was spent. With --json: one object.
    """
    name = budget_id or _name(scope, subject, window, unit)

    async def act(record: SessionService) -> Found:
        await record.put_budget(
            name,
            scope=scope,
            subject=subject,
            limit_amount=_read_limit(unit, limit),
            unit=unit,
            period=window,
            time_zone=zone,
            mode=mode,
            warn_percents=warn_percents,
        )
        return await record.get_budget(name)

    _show(records.act_on(_open(given), act), as_json=as_json)


@budget.command(cls=RecordCommand)
@takes_settings()
@click.argument("budget_id", metavar="BUDGET")
@confirmed
@as_json
def delete(given: Settings, *, budget_id: str, yes: bool, as_json: bool) -> None:
    """Remove a budget; what was spent stays in the ledger."""
    ask(f"Delete budget {budget_id}?", yes=yes)
    _run(given, lambda record: record.delete_budget(budget_id))
    if as_json:
        payloads.write({"budget_id": budget_id, "deleted": True})
    else:
        click.echo(f"deleted {budget_id}")


@budget.command(cls=RecordCommand)
@takes_settings()
@click.option("--state", type=click.Choice(HOLD_STATES), default="unknown", show_default=True)
@click.option("-n", "count", type=click.IntRange(1, 1_000), default=100, show_default=True)
@as_json
def holds(given: Settings, *, state: str, count: int, as_json: bool) -> None:
    """List what calls may cost, by default those of which nobody knows the end.

    With --json: one hold per line.
    """
    page = _run(given, lambda record: record.list_holds(state=state, limit=count))
    if as_json:
        for item in page.items:
            payloads.write(payloads.hold(item))
    else:
        texts.print_table(_HOLD_COLUMNS, map(_hold_row, page.items))


@budget.command(cls=RecordCommand)
@takes_settings()
@click.argument("call_ids", metavar="CALL...", nargs=-1, required=True)
@click.option("--cost", help="What it cost, in dollars, as its provider says.")
@click.option("--input-tokens", type=click.IntRange(0), default=0, help="What was sent.")
@click.option("--output-tokens", type=click.IntRange(0), default=0, help="What came back.")
@click.option("--model", default="", help="The model that answered, if not the one asked.")
@click.option("--written-off", is_flag=True, help="It cost nothing; also of many calls.")
@as_json
def resolve(
    given: Settings,
    *,
    call_ids: tuple[str, ...],
    cost: str | None,
    input_tokens: int,
    output_tokens: int,
    model: str,
    written_off: bool,
    as_json: bool,
) -> None:
    """Say what became of a call: what it used, or that it cost nothing.

    Tokens without --cost are priced by the table. Of many calls, the first that cannot be
    resolved ends the command. With --json: one object per line.
    """
    if written_off is (cost is not None or input_tokens + output_tokens > 0):
        raise click.UsageError("say what was used (--cost, or tokens), or --written-off, not both")
    if len(call_ids) > 1 and not written_off:
        raise click.UsageError("what was used is said of one call")
    state = "written_off" if written_off else "settled"
    usage = None if written_off else _usage(call_ids[0], cost, input_tokens, output_tokens, model)

    async def act(record: SessionService) -> None:
        for call_id in call_ids:
            await record.resolve_hold(call_id, usage)
            if as_json:
                payloads.write({"call_id": call_id, "state": state})
            else:
                click.echo(f"{state} {call_id}")

    _run(given, act)


def _run(given: Settings, act: Callable[[SessionService], Awaitable[T]]) -> T:
    """Act on the budgets of the tenant."""
    records.check_exists(given)
    return records.act_on(_open(given), act)


def _open(given: Settings) -> SessionService:
    """Give the record, not yet connected; a database with the prices that calls are resolved by."""
    if databases.is_database(given):
        return databases.open_record(given).acting_as(Actor(given.record.tenant))
    return records.open_record(given)


def _name(scope: str, subject: str, window: str, unit: str) -> str:
    """Name a budget: ``owner-alice-day``."""
    parts = [scope, "each" if subject == EACH else subject, window, "" if unit == "usd" else unit]
    return "-".join(filter(None, parts))


def _read_limit(unit: str, text: str) -> int:
    if unit == "usd":
        return parse_limit(unit, text)
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("limit: must be a whole number of tokens", code="invalid_budget")
    return int(text)


def _usage(
    call_id: str, cost: str | None, input_tokens: int, output_tokens: int, model: str
) -> NewUsage:
    usage = NewUsage(
        event_id=call_id,
        model=model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_nanousd=None if cost is None else parse_usd(cost),
    )
    return check_usage(usage, call_id)


def _show(found: Found, *, as_json: bool) -> None:
    item, page = found
    if as_json:
        payloads.write(payloads.budget(item, page))
        return
    texts.print_fields(
        {
            "budget": item.budget_id,
            "limit": _limit(item),
            "of": _whose(item.scope, item.subject),
            "time zone": item.time_zone,
            "told at": " ".join(f"{percent}%" for percent in item.warn_percents),
        }
    )
    if not page.items:
        return
    click.echo()
    rows = [(_whose(item.scope, s.subject), *_counts(s), _resets(s)) for s in page.items]
    _print(_SHOWN_COLUMNS, rows, page.items)
    if page.next_cursor:
        click.echo("there are more: see -n")


def _print(
    columns: tuple[Column, ...],
    rows: Sequence[tuple[Cell, ...]],
    states: Sequence[BudgetState | None],
) -> None:
    """A table of states; on a terminal with a bar for what is used."""
    if texts.is_terminal():
        columns = (*columns, Column("", is_word=True, is_detail=True))
        rows = [(*row, _bar(state)) for row, state in zip(rows, states, strict=True)]
    texts.print_table(columns, rows)


def _counts(state: BudgetState | None) -> tuple[Cell, ...]:
    """What one has used; None where nothing has happened to anybody yet."""
    if state is None:
        return (None,) * len(_STATE_COLUMNS)
    counts = (state.spent, state.held, state.remaining)
    return (*[_amount(state.budget, count) for count in counts], f"{_percent(state)}%")


def _amount(item: Budget, amount: int) -> str:
    """Dollars, or a number of tokens."""
    if item.unit != "usd":
        return f"{amount:,}"
    return f"{'-' if amount < 0 else ''}${format_usd(abs(amount))}"


def _limit(item: Budget) -> str:
    unit = "" if item.unit == "usd" else f" {item.unit}"
    window = "in total" if item.period == "total" else f"per {item.period}"
    observed = "" if item.mode == "enforce" else f", {item.mode} only"
    return f"{_amount(item, item.limit_amount)}{unit} {window}{observed}"


def _whose(scope: str, subject: str) -> str:
    return f"{scope} {subject}".rstrip()


def _resets(state: BudgetState) -> str:
    end_us = state.window.end_us
    return "never" if end_us is None else texts.local_time(end_us)


def _percent(state: BudgetState) -> int:
    limit = state.budget.limit_amount
    return (state.spent + state.held) * 100 // limit if limit else 100


def _bar(state: BudgetState | None) -> str:
    return "" if state is None else "▇" * (min(_percent(state), 100) * _BAR // 100)


def _hold_row(item: Hold) -> tuple[Cell, ...]:
    return (
        item.call_id,
        item.state,
        item.session_id,
        item.owner,
        item.model_asked,
        None if item.amount_nanousd is None else format_usd(item.amount_nanousd),
        item.amount_tokens,
        " ".join(item.budget_ids),
        texts.local_time(item.created_at_us),
    )
