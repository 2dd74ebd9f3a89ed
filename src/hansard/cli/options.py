"""Options that commands share; what a setting is called is declared in ``hansard.settings``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

import click

from hansard import settings
from hansard.core.windows import COUNT_MAX, UNITS
from hansard.settings import Declared

F = TypeVar("F", bound=Callable[..., Any])
Command = Callable[..., Any]

_DATABASE: Final = (
    "The database: sqlite:///path or postgresql://…; not a Hansard server (use its HTTP API)."
)
RECORD: Final = ("record",)
PRICES: Final = ("record", "prices")
SERVER: Final = (
    "record",
    "server",
    "access",
    "limits",
    "chat",
    "alerts",
    "prices",
    "telemetry",
)


def takes_settings(
    sections: tuple[str, ...] = RECORD, *, without: str = "", on_database: bool = False
) -> Callable[[Command], Command]:
    """Give a command the flags of these sections, and the settings as ``given``.

    Args:
        sections: Whose settings have a flag.
        without: A setting that has none here.
        on_database: Whether the command works on a database only, not through a server.
    """
    wanted = [
        item
        for item in settings.declared()
        if item.section in sections and item.flag and item.name != without
    ]

    def decorate(function: Command) -> Command:
        @wraps(function)
        def run(**options: Any) -> Any:
            flags = {item.name: options.pop(item.name) for item in wanted}
            return function(given=settings.load(flags), **options)

        command: Command = run
        for item in reversed(wanted):
            about = _DATABASE if on_database and item.name == "database" else item.about.text
            command = _option(item, about)(command)
        return command

    return decorate


def takes_window(function: F) -> F:
    """Give a command ``-n`` and ``--by``: how much of the end of a history to show."""
    many = click.option(
        "--messages",
        "-n",
        "count",
        type=click.IntRange(0, COUNT_MAX),
        default=10,
        show_default=True,
        help="How many of the last messages.",
    )
    unit = click.option(
        "--by",
        "unit",
        type=click.Choice(UNITS),
        default="messages",
        show_default=True,
        help="What -n counts; tokens are estimated from the length.",
    )
    return many(unit(function))


def as_json(function: F) -> F:
    """Give a command ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Write JSON to standard output, and nothing else."
    )(function)


def confirmed(function: F) -> F:
    """Give a command ``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def ask(question: str, *, yes: bool) -> None:
    """Let a destructive command go on only if somebody says so.

    Raises:
        UsageError: If nobody is there to be asked.
        Abort: If the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this cannot be undone and nobody can be asked; give --yes")
    click.confirm(question, abort=True, err=True)


def _option(item: Declared, about: str) -> Callable[[Command], Command]:
    assert item.flag is not None
    described = f"{about.replace('`', '')}  [{item.variable}]"
    if item.kind is bool:
        return click.option(item.flag, item.name, flag_value=True, default=None, help=described)
    if item.choices:
        return click.option(item.flag, item.name, type=click.Choice(item.choices), help=described)
    metavar = "TEXT" if item.kind in {str, dict} else "NUMBER"
    return click.option(item.flag, item.name, metavar=metavar, help=described)
