"""``hansard export`` and ``import``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

import click

from hansard.cli import payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.files import written_whole
from hansard.cli.options import as_json, takes_settings
from hansard.cli.progress import watched
from hansard.cli.texts import Column
from hansard.core.documents import ImportReport
from hansard.core.errors import InvalidInput
from hansard.face import SessionService
from hansard.formats.registry import FORMATS, detect
from hansard.settings import Settings

WRITTEN: Final = tuple(name for name, format in FORMATS.items() if format.can_write)
READ: Final = tuple(name for name, format in FORMATS.items() if format.can_read)
DATABASES: Final = ("cleveragents-db", "fipsagents-db")
STANDARD_INPUT = "-"

_COLUMNS: Final = (
    Column("from"),
    Column("session", is_word=True),
    Column("state"),
    Column("messages", number=True),
    Column("turns", number=True),
    Column("usage entries", number=True),
)


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, private to you; compressed if it ends in .gz.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(WRITTEN),
    default="native",
    show_default=True,
    help="How to write it.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def export(
    given: Settings, *, session: str, output: Path | None, format_: str, force: bool
) -> None:
    """Write a session as a document, to standard output or to a file.

    The file appears when it is complete and on disk, or not at all.
    """

    async def copy(record: SessionService, file: IO[bytes]) -> None:
        session_id = await records.find_session(record, session)
        with watched("exporting", unit="bytes") as advance:
            async for piece in record.export_session(session_id, format_):
                file.write(piece)
                advance(len(piece))

    if output is None:
        records.run(given, lambda record: copy(record, sys.stdout.buffer))
        sys.stdout.buffer.flush()
        return
    with written_whole(output, force=force) as file:
        records.run(given, lambda record: copy(record, file))


@click.command("import", cls=RecordCommand)
@takes_settings()
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--from",
    "--format",
    "format_",
    type=click.Choice([*READ, *DATABASES]),
    help="What it is; found out if not given.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, keep nothing.")
@as_json
def import_files(
    given: Settings,
    *,
    sources: tuple[str, ...],
    format_: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Read documents into new sessions, each file in one transaction, and only once.

    FILE may be compressed with gzip, or - for standard input; for cleveragents-db and
    fipsagents-db it is a SQLite file or the URL of a database. With --json: one report per
    file.
    """

    async def act(record: SessionService) -> None:
        for source in sources:
            with _source(source, format_) as (content, name), watched(f"importing {source}"):
                report = await record.import_session(content, name, dry_run=dry_run)
            if as_json:
                payloads.write(payloads.import_report(source, report))
            else:
                _print_report(source, report)

    (records.run if dry_run else records.run_new)(given, act)


@contextmanager
def _source(source: str, format_: str | None) -> Iterator[tuple[Path | str, str]]:
    """Give what is to be imported, and the name of its format."""
    if format_ in DATABASES and "://" in source:
        yield source, format_
    elif source == STANDARD_INPUT:
        with NamedTemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.flush()
            yield Path(spool.name), format_ or _detect(source, Path(spool.name))
    elif Path(source).is_file():
        yield Path(source), format_ or _detect(source, Path(source))
    else:
        raise click.UsageError(f"there is no file {source}")


def _detect(source: str, path: Path) -> str:
    with path.open("rb") as file:
        name = detect(file)
    if name is None:
        raise InvalidInput(
            f"{source} looks like none of {', '.join(READ)}; say which with --from",
            code="unknown_format",
        )
    return name


def _print_report(source: str, report: ImportReport) -> None:
    new = "would be made" if report.dry_run else "made"
    rows = [
        (
            line.source_session_id,
            line.session_id,
            new if line.created else "was there",
            line.messages,
            line.turns,
            line.usage_entries,
        )
        for line in report.sessions
    ]
    texts.print_table(_COLUMNS, rows)
    for loss in report.losses:
        click.echo(texts.printable(f"{source}: not kept: {loss}"), err=True)
