"""``hansard version``."""

from __future__ import annotations

import platform

import click

import hansard
from hansard.cli import payloads
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json


@click.command(cls=RecordCommand)
@as_json
def version(*, as_json: bool) -> None:
    """Print the version.

    With --json: one object with "version" and "python".
    """
    if as_json:
        payloads.write({"version": hansard.__version__, "python": platform.python_version()})
    else:
        click.echo(f"hansard {hansard.__version__}")
