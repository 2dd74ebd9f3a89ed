"""The folder of a spool: one file for each turn, durable before anybody relies on it.

    spool/
      01KD.../         of one process, which holds the lock on ...
        lock           ... this; without that the process is dead, and its files go to another
        00000001.json  a turn
      refused/         turns that the record will not take; a person must look

A file is written beside its name, flushed to the disk and then renamed, so that there is all
of it or nothing. Everything here blocks and belongs on a thread, which goes on when nobody waits
for it any more: what is done twice, even at once, is as done once.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from hansard.clock import now_us
from hansard.core.errors import Unavailable
from hansard.core.ids import make_ulid

_LOCK: Final = "lock"
_REFUSED: Final = "refused"
_SUFFIX: Final = ".json"
_ATTEMPTS_MAX = 8  # at a folder of our own: another may take a new one for that of a dead process


class SpoolFolder:
    """The files of one process in a folder that several may share.

    Args:
        path: The shared folder; it is made if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = path
        self._lock: int | None = None
        self._numbers = itertools.count(1)

    def open(self) -> list[Path]:
        """Take a place in the folder; return the files that dead processes have left.

        Raises:
            Unavailable: ``spool_unavailable``, if it cannot be written to.
        """
        try:
            (self._path / _REFUSED).mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(_ATTEMPTS_MAX):
                self._own = self._path / make_ulid(now_us())
                self._own.mkdir(mode=0o700)
                self._lock = _take_lock(self._own)
                if self._lock is not None:
                    _flush_folder(self._path)
                    return self.adopt()
        except OSError as exc:
            raise Unavailable(
                f"the spool {self._path} cannot be written to: {exc.strerror}",
                code="spool_unavailable",
            ) from exc
        raise Unavailable("the spool is busy", code="spool_unavailable")

    def close(self) -> None:
        """Give the place up; what still waits in it is another process's from now on."""
        if self._lock is None:
            return
        with suppress(OSError):  # an empty folder that stays is the next process's to remove
            if not any(self._files(self._own)):
                _remove_folder(self._own)
        os.close(self._lock)
        self._lock = None

    def write(self, data: bytes) -> Path:
        """Add a turn; it is on disk when this returns.

        Raises:
            OSError: If it cannot be.
        """
        path = self._own / f"{next(self._numbers):08d}{_SUFFIX}"
        self.replace(path, data)
        return path

    def replace(self, path: Path, data: bytes) -> None:
        """Write a turn in place of another; it is on disk when this returns."""
        beside = path.with_suffix(f".{next(self._numbers)}.part")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
        _flush_folder(path.parent)

    def read(self, path: Path) -> bytes:
        """Return what a file holds."""
        return path.read_bytes()

    def size_bytes(self, path: Path) -> int:
        """How much a file holds."""
        return path.stat().st_size

    def remove(self, path: Path) -> None:
        """Forget a turn that is recorded."""
        path.unlink(missing_ok=True)

    def refuse(self, path: Path) -> None:
        """Put a turn aside for a person to look at; once more changes nothing."""
        target = self._path / _REFUSED / f"{path.parent.name}-{path.name}"
        try:
            path.rename(target)
        except FileNotFoundError:
            if not target.exists():
                raise
        _flush_folder(self._path / _REFUSED)

    def count_refused(self) -> int:
        """How many turns are put aside."""
        return sum(1 for _ in self._files(self._path / _REFUSED))

    def adopt(self) -> list[Path]:
        """Take over the files of processes that died, in their order."""
        adopted = []
        for folder in sorted(self._path.iterdir()):
            if folder in {self._own, self._path / _REFUSED} or not folder.is_dir():
                continue
            lock = _take_lock(folder)
            if lock is None:
                continue
            try:
                for path in sorted(self._files(folder)):
                    target = self._own / f"{next(self._numbers):08d}{_SUFFIX}"
                    path.rename(target)
                    adopted.append(target)
                _flush_folder(self._own)
                _remove_folder(folder)
            finally:
                os.close(lock)
        return adopted

    def _files(self, folder: Path) -> Iterator[Path]:
        return (path for path in folder.iterdir() if path.suffix == _SUFFIX)


def _take_lock(folder: Path) -> int | None:
    """Take the lock of a folder; None if a living process holds it, or the folder is gone."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), (folder / _LOCK).stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _remove_folder(folder: Path) -> None:
    """Remove a folder in which no turn is left."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
