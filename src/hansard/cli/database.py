"""``hansard db``: the schema of a database, and copies of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hansard.cli import databases, payloads, records, texts
from hansard.cli.errors import EXIT_ERROR, RecordCommand
from hansard.cli.files import placed_whole
from hansard.cli.options import as_json, takes_settings
from hansard.clock import now_us
from hansard.core.errors import Corrupt
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.store.database import Connection, Engine


@click.group("db")
def database() -> None:
    """Migrate, check and back up a database."""


@database.command(cls=RecordCommand)
@takes_settings(on_database=True)
@as_json
def migrate(given: Settings, *, as_json: bool) -> None:
    """Bring a database to the newest schema, and make it if there is none.

    The service and the library do the same when they start. With --json: one object.
    """
    from hansard.store.maintenance import read_schema_state
    from hansard.store.migrate import migrate

    with _connected(given) as (engine, connection):
        done = migrate(connection, now_us)
        state = read_schema_state(connection, engine.dialect)
    if as_json:
        payloads.write({"schema_version": state.version, "applied": done})
        return
    for name in done:
        click.echo(f"applied {name}")
    click.echo(f"schema version {state.version}")


@database.command(cls=RecordCommand)
@takes_settings(on_database=True)
@as_json
def check(given: Settings, *, as_json: bool) -> None:
    """Look whether a database is at the newest schema and, if it is SQLite, sound.

    Changes nothing. Exit code 1 if it has to be migrated, or is newer than this program; 6
    if it is damaged. With --json: one object.
    """
    from hansard.store import durability, maintenance

    records.check_exists(given)
    with _connected(given) as (engine, connection):
        state = maintenance.read_schema_state(connection, engine.dialect)
        damage = [
            finding.detail
            for finding in durability.diagnose(engine)
            if finding.name == "integrity" and finding.severity == "error"
        ]
    if as_json:
        payloads.write(
            {
                "engine": engine.dialect,
                "schema_version": state.version,
                "newest_version": state.newest,
                "damage": damage if databases.is_sqlite(given) else None,
            }
        )
    else:
        texts.print_fields(
            {
                "engine": engine.dialect,
                "schema version": f"{state.version} of {state.newest}",
                "damage": "; ".join(damage)
                or ("none found" if databases.is_sqlite(given) else "not looked for"),
            }
        )
    if damage:
        raise Corrupt("the database is damaged", code="database_corrupt")
    if state.version != state.newest:
        click.get_current_context().exit(EXIT_ERROR)


@database.command(cls=RecordCommand)
@takes_settings(on_database=True)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def backup(given: Settings, *, file: Path, force: bool) -> None:
    """Copy a SQLite database into FILE, while it is in use.

    FILE appears when it is complete and on disk, or not at all. PostgreSQL is backed up
    with pg_dump.
    """
    from hansard.store.maintenance import back_up

    records.check_exists(given)
    with _connected(given) as (_engine, connection), placed_whole(file, force=force) as beside:
        back_up(connection, beside)
    click.echo(f"{file}  {file.stat().st_size:,} bytes")


@contextmanager
def _connected(given: Settings) -> Iterator[tuple[Engine, Connection]]:
    engine = databases.connect(given)
    connection = engine.connect()
    try:
        yield engine, connection
    finally:
        connection.close()
