"""Files written whole or not at all: beside their place first, on disk, then moved there."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import click


@contextmanager
def written_whole(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Give a file to write, compressed if its name ends in ``.gz``; see ``placed_whole``."""
    with placed_whole(path, force=force) as beside, beside.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
            yield cast("IO[bytes]", compressed)


@contextmanager
def placed_whole(path: Path, *, force: bool) -> Iterator[Path]:
    """Give an empty file, for its owner alone; it takes its place once it is on disk.

    After an error, what stood at ``path`` stands there still.

    Raises:
        UsageError: If a file stands at ``path`` and ``force`` was not given, or if what
            stands there is no file.
    """
    _refuse_existing(path, force=force)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    except OSError as exc:
        raise click.UsageError(f"{path.parent} cannot be written to: {exc.strerror}") from exc
    beside = Path(name)
    try:
        os.close(handle)
        yield beside
        _sync(beside)
        _refuse_existing(path, force=force)
        beside.replace(path)
        _sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _refuse_existing(path: Path, *, force: bool) -> None:
    if path.exists() and not path.is_file():
        raise click.UsageError(f"{path} is not a file")
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists; give --force to replace it")


def _sync(path: Path) -> None:
    """Put a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
