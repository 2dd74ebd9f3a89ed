"""Writes and flushes that fail in other processes, switched on and off while they run."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.postgres import PostgresCluster

SOURCE = Path(__file__).with_name("faultio.c")
FLUSH, WRITE = 1, 2


class _Control(ctypes.Structure):
    """``struct control`` of the source."""

    _fields_ = (
        ("error", ctypes.c_int32),
        ("kinds", ctypes.c_int32),
        ("skip", ctypes.c_int32),
        ("limit", ctypes.c_int32),
        ("seen", ctypes.c_int32),
        ("failed", ctypes.c_int32),
        ("match", ctypes.c_char * 232),
    )


class FailingIo:
    """Gives processes an ``environment`` in which their writes can be made to fail."""

    def __init__(self, folder: Path, compiler: str) -> None:
        library, page = folder / "faultio.so", folder / "control"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True
        )
        page.write_bytes(bytes(ctypes.sizeof(_Control)))
        page.chmod(0o666)
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 0)
        self._control = _Control.from_buffer(self._page)
        self.environment = {"LD_PRELOAD": str(library), "FAULTIO": str(page)}

    @property
    def failed(self) -> int:
        """How many calls have failed."""
        return int(self._control.failed)

    def fail(self, error: int, kinds: int, match: str, *, skip: int = 0, limit: int = 0) -> None:
        """Let calls on files whose path contains ``match`` fail, after ``skip`` that do not.

        They fail until ``heal``, or until ``limit`` of them have failed.
        """
        control = self._control
        control.error = 0
        control.kinds, control.skip, control.limit = kinds, skip, limit
        control.seen = 0
        control.match = match.encode()
        control.error = error

    def heal(self) -> None:
        """Let all calls through."""
        self._control.error = 0


class FailingCluster(PostgresCluster):
    """A PostgreSQL server of our own whose writes can be made to fail."""

    def __init__(self, io: FailingIo) -> None:
        super().__init__(durable=True)
        self._runner["env"] = {**os.environ, **io.environment}


@contextmanager
def failing_io() -> Iterator[FailingIo]:
    """Compile the library into a folder that every account can read, or skip the test."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the library that makes writes fail")
    folder = Path(tempfile.mkdtemp(prefix="io-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield FailingIo(folder, compiler)
    finally:
        shutil.rmtree(folder)
