"""``hansard price``: what model calls cost, and who says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hansard.cli import databases, payloads, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import PRICES, as_json, takes_settings
from hansard.cli.texts import Column
from hansard.clock import now_us
from hansard.compose import sqlite_path
from hansard.core.money import format_pico
from hansard.core.price_changes import PriceChange, list_changes
from hansard.core.price_tables import (
    ALL,
    UNIT_BUCKETS,
    PriceVersion,
    Rates,
    rate_at,
    thresholds,
)
from hansard.core.prices import PriceBook, PriceRow
from hansard.core.times import format_us
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.service.sessions import DatabaseSessions

_SHOWN: Final = ("input", "cached", "cache_write", "cache_write_1h", "output")
_COLUMNS: Final = (
    Column("provider"),
    Column("model"),
    Column("tier"),
    Column("above", number=True),
    *[Column(name.replace("_", " "), number=True) for name in _SHOWN],
    Column("others"),
    Column("when"),
    Column("version"),
)
_CHANGES: Final = (
    Column("provider"),
    Column("model"),
    Column("tier"),
    Column("at"),
    Column("price"),
    Column("before", number=True),
    Column("after", number=True),
)
_VERSIONS: Final = (
    Column("number", number=True),
    Column("version"),
    Column("imported", is_word=True),
    Column("source"),
)

_all_tenants = click.option(
    "--all-tenants", is_flag=True, help="Those of every tenant, instead of one's own."
)
_document = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def price() -> None:
    """List, compare and import what model calls cost."""


@price.command("list", cls=RecordCommand)
@takes_settings(PRICES, on_database=True)
@click.option("--provider", default="", help="Only this provider's.")
@click.option("--model", default="", help="Only models with this in their names.")
@click.option("--history", is_flag=True, help="Also those that do not hold now.")
@as_json
def list_prices(
    given: Settings, *, provider: str, model: str, history: bool, as_json: bool
) -> None:
    """List the prices of a tenant; of several that fit a call, the first counts.

    In US dollars: for a million tokens, for one call (per_request) and for one search
    (per_web_search). With --json: one price per line, in the words of prices.toml.
    """
    now = now_us()
    rows = [
        row
        for row in _book(given).rows()
        if provider.lower() in {"", row.provider} and model.lower() in row.model.lower()
        if history or row.sheet.holds(now)
    ]
    if as_json:
        for row in rows:
            payloads.write(_payload(row))
    else:
        texts.print_table(_COLUMNS, [line for row in rows for line in _lines(row)])


@price.command(cls=RecordCommand)
@takes_settings(PRICES, on_database=True)
@_document
@_all_tenants
@as_json
def diff(given: Settings, *, file: Path, all_tenants: bool, as_json: bool) -> None:
    """Show what would cost otherwise if FILE were imported.

    With --json: one rate per line.
    """
    from hansard.formats.prices import read_toml

    new = read_toml(file.read_bytes())
    tenant = "" if all_tenants else given.record.tenant

    async def act(record: DatabaseSessions) -> tuple[PriceBook, PriceBook]:
        return await record.shelf.book(tenant), await record.shelf.book_with(tenant, new)

    base = _book_without_database(given)
    books = (base, PriceBook.layered(new, over=base)) if base else databases.run(given, act)
    changes = list_changes(*books, now_us())
    if as_json:
        for change in changes:
            payloads.write(_change(change))
    else:
        texts.print_table(_CHANGES, [tuple(_change(change).values()) for change in changes])


@price.command("import", cls=RecordCommand)
@takes_settings(PRICES, on_database=True)
@_document
@_all_tenants
@as_json
def import_prices(given: Settings, *, file: Path, all_tenants: bool, as_json: bool) -> None:
    """Put the prices of FILE in force, in place of those imported before.

    They count from now on; what was recorded keeps its price. An empty file takes all back.
    With --json: one object.
    """
    document = file.read_bytes()
    tenant = "" if all_tenants else given.record.tenant

    async def act(record: DatabaseSessions) -> PriceVersion:
        return await record.shelf.import_document(tenant, document, source=file.name)

    made = databases.run_new(given, act)
    if as_json:
        payloads.write(_version(made))
    else:
        click.echo(f"{made.version} is in force for {tenant or 'every tenant'}")


@price.command(cls=RecordCommand)
@takes_settings(on_database=True)
@_all_tenants
@as_json
def versions(given: Settings, *, all_tenants: bool, as_json: bool) -> None:
    """List what was imported, the newest first.

    With --json: one import per line.
    """
    tenant = "" if all_tenants else given.record.tenant

    async def act(record: DatabaseSessions) -> list[PriceVersion]:
        return await record.shelf.list_versions(tenant)

    found = databases.run(given, act)
    if as_json:
        for item in found:
            payloads.write(_version(item))
        return
    rows = [
        (item.number, item.version, texts.local_time(item.imported_at_us), item.source)
        for item in found
    ]
    texts.print_table(_VERSIONS, rows)


def _book(given: Settings) -> PriceBook:
    """The prices in force for the tenant."""

    async def act(record: DatabaseSessions) -> PriceBook:
        return await record.shelf.book(given.record.tenant)

    return _book_without_database(given) or databases.run(given, act)


def _book_without_database(given: Settings) -> PriceBook | None:
    """The prices that need no database, if the one that is named is not there yet."""
    path = sqlite_path(given.record.database) if databases.is_sqlite(given) else None
    if path is None or path.exists():
        return None
    from hansard.formats.prices import load_builtin

    file = databases.read_prices(given)
    return PriceBook.layered(*filter(None, [file]), over=load_builtin())


def _payload(row: PriceRow) -> dict[str, Any]:
    sheet = row.sheet
    return {
        "provider": row.provider,
        "model": row.model,
        "service_tier": sheet.tier,
        "valid_from": None if sheet.from_us is None else format_us(sheet.from_us),
        "valid_to": None if sheet.until_us is None else format_us(sheet.until_us),
        "daily": _hours(sheet.daily),
        **_dollars(sheet.rates, ALL),
        "above": [
            {"input_tokens": above, **_dollars(_stepping(sheet.rates, above), above)}
            for above in thresholds(sheet.rates)[1:]
        ],
        "version": row.version,
    }


def _lines(row: PriceRow) -> Iterator[tuple[str, ...]]:
    sheet = row.sheet
    for above in thresholds(sheet.rates):
        dollars = _dollars(sheet.rates, above)
        shown = [dollars.pop(_name(bucket), "") for bucket in _SHOWN]
        others = [f"{name} {text}" for name, text in dollars.items()]
        yield (
            row.provider,
            row.model,
            sheet.tier,
            "" if above == ALL else f"{above:,}",
            *shown,
            ", ".join(others),
            " ".join(_when(row)),
            row.version,
        )


def _when(row: PriceRow) -> Iterator[str]:
    sheet = row.sheet
    if sheet.from_us is not None:
        yield f"from {format_us(sheet.from_us)[:10]}"
    if sheet.until_us is not None:
        yield f"until {format_us(sheet.until_us)[:10]}"
    if hours := _hours(sheet.daily):
        yield hours


def _hours(daily: tuple[int, int] | None) -> str | None:
    """Hours of a day as ``01:00-04:00``, UTC."""
    if daily is None:
        return None
    minutes = [time_us // 60_000_000 for time_us in daily]
    return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in minutes)


def _change(change: PriceChange) -> dict[str, str]:
    return {
        "provider": change.provider,
        "model": change.model,
        "service_tier": change.tier,
        "at": format_us(change.at_us),
        "price": _name(change.bucket),
        "before": _steps(change.bucket, change.before),
        "after": _steps(change.bucket, change.after),
    }


def _version(item: PriceVersion) -> dict[str, Any]:
    return {
        "tenant": item.tenant_id or None,
        "number": item.number,
        "version": item.version,
        "source": item.source,
        "sha256": item.sha256,
        "imported_at": format_us(item.imported_at_us),
    }


def _dollars(rates: Rates, above: int) -> dict[str, str]:
    """The rates of calls of more than so many input tokens, as ``prices.toml`` names them."""
    return {_name(bucket): _usd(bucket, rate_at(steps, above)) for bucket, steps in rates.items()}


def _stepping(rates: Rates, above: int) -> Rates:
    """The rates that are others from there on."""
    return {
        bucket: steps for bucket, steps in rates.items() if above in [start for start, _ in steps]
    }


def _steps(bucket: str, steps: tuple[tuple[int, int], ...] | None) -> str:
    if steps is None:
        return "-"
    (_, first), *rest = steps
    more = [f"{_usd(bucket, rate)} above {above:,}" for above, rate in rest]
    return ", ".join([_usd(bucket, first), *more])


def _name(bucket: str) -> str:
    return f"per_{bucket}" if bucket in UNIT_BUCKETS else f"{bucket}_per_million"


def _usd(bucket: str, pico: int) -> str:
    """Pico-dollars for one unit as dollars, for what its price is for."""
    return format_pico(pico if bucket in UNIT_BUCKETS else pico * 10**6)
