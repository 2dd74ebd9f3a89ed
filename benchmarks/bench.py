"""What every row of the table has at hand: how much to measure, and places to measure in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import slow_fsync
from benchmarks.children import Child

ENGINES = ("SQLite", "PostgreSQL")
MEMORY_DISK = Path("/dev/shm")  # where there is one


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        bar: What must be reached, in words; empty for a figure without a bar.
        met: Whether it was; None without a bar or where nothing was measured.
        detail: What the figure was made from.
    """

    what: str
    figure: str
    bar: str = ""
    met: bool | None = None
    detail: str = ""


@dataclass(frozen=True)
class Amounts:
    """How much to measure."""

    rounds: int = 7
    seconds: float = 2.0
    history: int = 100_000
    sessions: int = 200_000
    document: int = 200_000
    few_sessions: int = 1_000
    entries: int = 5_000_000
    few_entries: int = 50_000
    turns: int = 10_000


QUICK = Amounts(
    rounds=1,
    seconds=0.3,
    history=1_000,
    sessions=2_000,
    document=2_000,
    few_sessions=100,
    entries=50_000,
    few_entries=20_000,
    turns=500,
)


class Bench:
    """Temporary folders and servers, all gone at the end: a context manager."""

    def __init__(self, amounts: Amounts) -> None:
        self.amounts = amounts
        self._stack = ExitStack()
        self._servers: dict[bool, Child] = {}

    def __enter__(self) -> Self:
        self.slow_fsync = slow_fsync.build(self.folder(open_to_all=True))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def folder(self, *, in_memory: bool = False, open_to_all: bool = False) -> Path:
        """Make a folder, on the disk of ``TMPDIR`` or (where there is such) in memory."""
        parent = MEMORY_DISK if in_memory and MEMORY_DISK.is_dir() else None
        path = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
        self._stack.callback(shutil.rmtree, path)
        if open_to_all:
            path.chmod(0o755)
        return path

    def postgres(self, *, slow: bool = False) -> Child:
        """A PostgreSQL server, with or without the flush that costs a millisecond."""
        if slow not in self._servers:
            preload = self.slow_fsync if slow else None
            child = Child("benchmarks.postgres:DurableServer", preload=preload)
            self._servers[slow] = self._stack.enter_context(child)
        return self._servers[slow]

    def database(self, engine: str) -> str:
        """The URL of an empty database of one of ``ENGINES``."""
        if engine == "SQLite":
            return sqlite_url(self.folder())
        return str(self.postgres().ask("create_database"))


Measure = Callable[[Bench], Iterator[Row]]


def sqlite_url(folder: Path) -> str:
    """A database in a folder."""
    return f"sqlite:///{folder / 'record.db'}"


def at_least(bar: float, ratio: float, what: str, *, than: str, detail: str = "") -> Row:
    """A row whose ratio must reach the bar."""
    return Row(what, f"{ratio:.2f} x {than}", f"≥ {bar:g} x", ratio >= bar, detail)


def at_most(bar: float, ratio: float, what: str, *, than: str, detail: str = "") -> Row:
    """A row whose ratio must stay below the bar."""
    return Row(what, f"{ratio:.2f} x {than}", f"≤ {bar:g} x", ratio <= bar, detail)
