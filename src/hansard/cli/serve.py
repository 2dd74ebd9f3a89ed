"""``hansard serve``."""

from __future__ import annotations

import click

from hansard.cli import databases
from hansard.cli.errors import RecordCommand
from hansard.cli.options import SERVER, takes_settings
from hansard.settings import Settings


@click.command(cls=RecordCommand)
@takes_settings(SERVER, without="tenant", on_database=True)
def serve(given: Settings) -> None:
    """Serve a database over HTTP, until interrupted or terminated.

    The API is described at /docs. Without --auth, everybody who reaches the address is let
    in, so only this machine may.
    """
    from hansard.server.serve import serve

    serve(databases.open_record(given), given)
