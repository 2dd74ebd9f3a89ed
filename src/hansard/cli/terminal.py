"""Terminal: tables and progress drawn by rich; imported only when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hansard.cli.texts import Column

_GAP: Final = 2  # characters between two columns
_FOLDED: Final = 16  # characters of a line of a text that folds, at least


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table of which nothing is cut.

    Where the terminal is too narrow, bars and then details are left out, the last first, long
    texts fold, and at last the terminal breaks the lines.
    """
    cells, room = list(rows), Console().width
    lines = zip([column.name for column in columns], *cells, strict=True)
    widths = [_width(column, texts) for column, texts in zip(columns, lines, strict=True)]
    shown = _fitting(columns, widths, room)
    table = Table(
        box=SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0)
    )
    for index in shown:
        table.add_column(
            columns[index].name,
            justify="right" if columns[index].number else "left",
            no_wrap=columns[index].is_whole,
            min_width=widths[index],
            overflow="fold",
        )
    for row in cells:
        table.add_row(*[Text(row[index]) for index in shown])
    console = Console(width=max(room, _total(widths[index] for index in shown)))
    console.print(table)
    left_out = [column.name for index, column in enumerate(columns) if index not in shown]
    if any(left_out):
        console.print(Text(f"no room for: {', '.join(filter(None, left_out))}"))


def _fitting(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Which columns to show in so many characters: all that are no details, at least."""
    shown = list(range(len(columns)))
    details = [index for index in shown if columns[index].is_detail]
    while details and _total(widths[index] for index in shown) > room:
        shown.remove(details.pop())
    return shown


def _width(column: Column, texts: Sequence[str]) -> int:
    """How many characters a column needs; a text that may fold needs no more than a few."""
    width = max(map(cell_len, texts))
    return width if column.is_whole else min(width, _FOLDED)


def _total(widths: Iterable[int]) -> int:
    return sum(width + _GAP for width in widths) - _GAP


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
