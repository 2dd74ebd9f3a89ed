"""Texts: what people read on a terminal, or through a pipe.

What was recorded is not to be trusted: control characters, which could rewrite the screen,
are shown and not sent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from hansard.core.messages import Message
from hansard.core.money import format_usd
from hansard.core.usage import UsageTotals

Cell = str | int | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        number: Whether it stands right.
        is_word: Whether it is one word or time, which does not fold on a terminal.
        is_detail: Whether it is left out where a terminal is too narrow.
    """

    name: str
    number: bool = False
    is_word: bool = False
    is_detail: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it stands on one line."""
        return self.number or self.is_word


def printable(text: str, *, keep: str = "") -> str:
    r"""Replace what is not printable by its escape, but for the characters in ``keep``.

    >>> printable("a\x1b[2Jb\n", keep="\n")
    'a\\x1b[2Jb\n'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text
    )


def json_line(value: object) -> str:
    r"""Write JSON on one line; what is not printable is escaped, which means the same.

    >>> json_line({"said": "\x9b2J"})
    '{"said": "\\u009b2J"}'
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def local_time(time_us: int) -> str:
    """Write a time as it is here, to the second."""
    return datetime.fromtimestamp(time_us // 1_000_000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def cost(totals: UsageTotals) -> str:
    """What calls cost, in dollars, and how many have no price; those are never free.

    >>> cost(UsageTotals(calls=3, cost_nanousd=9_000_000, unpriced_calls=1))
    '0.009 + 1 unpriced'
    """
    unpriced = f"{totals.unpriced_calls} unpriced" if totals.unpriced_calls else ""
    if unpriced and not totals.cost_nanousd:
        return unpriced
    return " + ".join(filter(None, [format_usd(totals.cost_nanousd), unpriced]))


def days(count: int) -> str:
    """Write a number of days.

    >>> days(1), days(30)
    ('1 day', '30 days')
    """
    return f"{count} day" if count == 1 else f"{count} days"


def is_terminal() -> bool:
    """Whether a person reads this on a terminal."""
    return sys.stdout.isatty()


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table: framed by rich on a terminal, in plain aligned columns otherwise."""
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if is_terminal():
        from hansard.cli import terminal

        terminal.print_table(columns, cells)
        return
    names = [column.name for column in columns]
    widths = [max(map(len, line)) for line in zip(names, *cells, strict=True)]
    for line in [names, *cells]:
        padded = [
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def print_fields(fields: Mapping[str, Cell]) -> None:
    """Write names and values, one per line; what is not there is left out."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if value not in {None, ""}:
            click.echo(f"{name.ljust(width)}  {printable(str(value))}")


def print_message(message: Message) -> None:
    """Write a message: who, when, and what."""
    head = f"#{message.seq} {message.role or 'message'}  {local_time(message.created_at_us)}"
    turn = f"  {message.turn_id}" if message.turn_id else ""
    click.secho(head + turn, bold=True)
    for line in _said(message.body):
        click.echo(printable(line, keep="\n\t"))
    click.echo()


def _said(body: Mapping[str, Any]) -> Iterable[str]:
    """What a message says, in the shapes that chat models use; the rest as JSON."""
    content = body.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
        elif part is not None:
            yield json.dumps(part, ensure_ascii=False)
    calls = body.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        yield f"-> {_call(call)}"


def _call(call: Any) -> str:
    match call:
        case {"function": {"name": str(name), "arguments": str(arguments)}}:
            return f"{name} {arguments}"
        case _:
            return json.dumps(call, ensure_ascii=False)
