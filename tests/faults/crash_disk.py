"""A disk that can lose its power, and calls on it that fail: a file system for SQLite.

    write --> what SQLite reads back --sync--> what is on the plate

At a power cut every write since the last sync of its file is kept, dropped or torn at a sector
boundary, whichever the seed says; a file or a deletion that was never synced may be missing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

SECTOR = 512
BLOCK = 4096


class PowerCut(Exception):
    """The disk has no power any more."""


@dataclass
class File:
    """A file: what is read back, what is on the plate, and what came in between."""

    seen: bytearray = field(default_factory=bytearray)
    plate: bytearray | None = None
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)

    def write(self, at: int, data: bytes) -> None:
        _write(self.seen, at, data)
        self.unsynced.append((at, data))

    def truncate(self, size: int) -> None:
        del self.seen[size:]
        self.unsynced.append((size, None))

    def sync(self) -> None:
        self.plate = bytearray(self.seen)
        self.unsynced.clear()

    def after_cut(self, rng: random.Random) -> File | None:
        """The file as it is found when the power is back; None if it is not."""
        if self.plate is None and rng.random() < 0.5:
            return None
        content = bytearray(self.plate or b"")
        for at, data in self.unsynced:
            fate = rng.choice(["kept", "dropped", "torn"])
            if fate == "dropped":
                continue
            if data is None:
                del content[at:]
            else:
                kept = len(data) if fate == "kept" else rng.randrange(0, len(data), SECTOR)
                _write(content, at, data[:kept])
        return File(bytearray(content), content)


def _write(content: bytearray, at: int, data: bytes) -> None:
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


def lets_through(_call: int) -> None:
    """Let nothing fail."""


class Disk:
    """Files by name, and the calls that change them.

    Attributes:
        calls: How many calls there were that write, sync, truncate or delete.
        failures: How many of them failed.
        before_call: Told the number of each such call before it is carried out; what it raises
            happens in place of the call.
    """

    def __init__(self, files: dict[str, File] | None = None) -> None:
        self.files = files or {}
        self.calls = 0
        self.failures = 0
        self.before_call: Callable[[int], None] = lets_through
        self._deleted: dict[str, File] = {}

    def cut_power_at(self, call: int) -> None:
        """Let no call through from this one on."""

        def check(number: int) -> None:
            if number >= call:
                raise PowerCut

        self.before_call = check

    def fail_at(self, call: int, code: int, *, times: int = 1) -> None:
        """Let some calls fail with a result code of SQLite."""

        def check(number: int) -> None:
            if call <= number < call + times:
                self.failures += 1
                raise apsw.exception_for(code)

        self.before_call = check

    def after_cut(self, rng: random.Random) -> Disk:
        """The disk as it is found when the power is back."""
        returned = {name: file for name, file in self._deleted.items() if rng.random() < 0.5}
        found = {
            name: file.after_cut(rng) for name, file in sorted((returned | self.files).items())
        }
        return Disk({name: file for name, file in found.items() if file})

    def copy(self) -> Disk:
        """The same files, all of them on the plate."""
        return Disk({name: File(file.seen[:], file.seen[:]) for name, file in self.files.items()})

    def open(self, name: str) -> File:
        if name not in self.files:
            self.change()
            self.files[name] = File()
        return self.files[name]

    def delete(self, name: str, *, synced: bool) -> None:
        self.change()
        file = self.files.pop(name, None)
        if file and not synced:
            self._deleted[name] = file

    def change(self) -> None:
        """Count a call, or let it fail."""
        self.calls += 1
        self.before_call(self.calls)


class DiskVfs(apsw.VFS):
    """Makes SQLite keep its files on a ``Disk``; ``name`` is what a connection asks for."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.name = f"disk-{id(self)}"
        super().__init__(self.name, base="unix")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        flags[1] = flags[0]
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return DiskFile(self.disk, self.disk.open(path) if path else File())

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.disk.delete(filename, synced=syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return pathname in self.disk.files

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def excepthook(self, *_error: object) -> bool:
        """What is raised here reaches the caller of SQLite; it is no surprise."""
        return True


class DiskFile:
    """Implements the methods of ``apsw.VFSFile`` on a file of a disk."""

    def __init__(self, disk: Disk, file: File) -> None:
        self._disk = disk
        self._file = file

    def excepthook(self, *_error: object) -> None:
        """See ``DiskVfs.excepthook``."""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.change()
        self._file.write(offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.change()
        self._file.truncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.change()
        self._file.sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.seen)

    def xLock(self, level: int) -> None:  # noqa: N802
        """There is one connection."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """There is one connection."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return BLOCK

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:  # noqa: N802
        """Nothing is held open."""
