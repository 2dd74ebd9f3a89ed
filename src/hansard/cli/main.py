"""The command ``hansard``: its commands, each loaded when it is used.

Nothing here imports a web framework, a database driver or a terminal library, and the list
of commands is written without loading any, so that ``hansard --help`` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple

import click

import hansard


class Entry(NamedTuple):
    """Where a command is, and its line in ``hansard --help``."""

    module: str
    name: str
    text: str


COMMANDS: Final = {
    "serve": Entry("serve", "serve", "Serve a database over HTTP."),
    "chat": Entry("chat", "chat", "Talk to an agent that lives in a server."),
    "thread": Entry("threads", "thread", "Threads: make, send to, follow, approve, save, resume."),
    "list": Entry("sessions", "list_sessions", "List sessions, the newest first."),
    "show": Entry("sessions", "show", "Show a session and its last messages."),
    "tail": Entry("tail", "tail", "Print the last messages of a session, and those that come."),
    "export": Entry("documents", "export", "Write a session as a document."),
    "import": Entry("documents", "import_files", "Read documents into new sessions."),
    "fork": Entry("sessions", "fork", "Make a session that begins with another's messages."),
    "verify": Entry("verify", "verify", "Recompute the digest chains of sessions, or the ledger."),
    "delete": Entry("removal", "delete", "Remove sessions with everything in them."),
    "purge": Entry("removal", "purge", "Remove what is older than the rules of retention allow."),
    "retention": Entry("retention", "retention", "Say how long what is kept stays."),
    "price": Entry("prices", "price", "List, compare and import what model calls cost."),
    "usage": Entry("usage", "usage", "Show what was used, and what it cost."),
    "budget": Entry("budgets", "budget", "Set budgets, see what is left, resolve holds."),
    "db": Entry("database", "database", "Migrate, check and back up a database."),
    "doctor": Entry("doctor", "doctor", "Check what the durability of a database rests on."),
    "key": Entry("keys", "key", "Make, list and revoke API keys."),
    "completion": Entry("completion", "completion", "Print what a shell needs to complete."),
    "version": Entry("version", "version", "Print the version."),
}
"""Every command, in the order of ``hansard --help``."""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"hansard.cli.{entry.module}"), entry.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.text) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hansard.__version__, prog_name="hansard", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep the record of AI agents: what was said, what was done, what it cost.

    A session is named by its id, by any unique beginning of it, or by @last, the one that
    changed last. Where the record lives is a URL: --database, HANSARD_DATABASE, or
    database in hansard.toml.
    """


def main() -> None:
    """Run the command."""
    cli(prog_name="hansard")
