"""Terminal: tables and progress drawn by rich; imported only when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hansard.cli.texts import Column


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table; long texts fold, ids and numbers do not."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.number else "left",
            no_wrap=column.number or column.name in {"id", "session", "key"},
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Draw a bar on standard error, gone when all is done."""
    parts = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    ]
    if unit:
        parts.insert(3, TextColumn("{task.completed:,} {task.fields[unit]}"))
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, unit=unit)
        yield lambda count: bar.advance(task, count)
