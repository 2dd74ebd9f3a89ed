"""Reference: the whole command line as Markdown, for ``docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hansard.cli.errors import EXPLAINED
from hansard.cli.main import cli

WIDTH = 88

_JSON = """\
With `--json`, standard output holds the payload alone, on one line per object; a list is one
object per line, and an empty list is no line. Shapes are those of the HTTP API: times are RFC
3339 in UTC, costs decimal strings of US dollars. An error is an object `{"error": {"code",
"message", "details"}}` on standard error.
"""


def render() -> str:
    """Write every command with its help, the exit codes and what ``--json`` means."""
    codes = "\n".join(f"| {code} | {text} |" for code, text in EXPLAINED.items())
    root = _context(cli, "hansard", None)
    return "\n".join(
        [
            "# Command line\n",
            _block(root),
            "## Exit codes\n\n| code | meaning |\n|---|---|\n" + codes + "\n",
            "## JSON\n\n" + _JSON,
            *(f"## {ctx.command_path}\n\n{_block(ctx)}" for ctx in _walk(root)),
        ]
    )


def _walk(parent: click.Context) -> Iterator[click.Context]:
    """Every command below a group, in the order of its help."""
    group = parent.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        ctx = _context(command, name, parent)
        yield ctx
        if isinstance(command, click.Group):
            yield from _walk(ctx)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )


def _block(ctx: click.Context) -> str:
    return f"```text\n{ctx.command.get_help(ctx)}\n```\n"
