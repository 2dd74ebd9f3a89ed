"""What the demonstration prints: chapters, facts, and checks that passed or did not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDTH = 100
_INDENT = 4


class Report:
    """Prints as it goes, and counts what was checked and what failed."""

    def __init__(self) -> None:
        measured = Console()
        width = min(measured.width, WIDTH) if measured.is_terminal else WIDTH
        self._console = Console(highlight=False, width=width)
        self._started = time.monotonic()
        self._chapters = 0
        self.checks = 0
        self.failures: list[str] = []

    def title(self, name: str, line: str) -> None:
        """Print the first line."""
        self._console.print()
        self._console.print(Text.assemble((f"  {name}  ", "bold reverse"), f"  {line}"))

    def chapter(self, name: str) -> None:
        """Begin a chapter."""
        self._chapters += 1
        elapsed = f"{time.monotonic() - self._started:5.1f} s"
        heading = Text.assemble((f"{self._chapters:>2}  ", "dim"), (name, "bold"))
        space = self._console.width - heading.cell_len - len(elapsed)
        self._console.print()
        self._console.print(heading.append(" " * max(1, space)).append(elapsed, "dim"))

    def fact(self, text: str) -> None:
        """Print something that was done or found."""
        self._print(Text(text))

    def check(self, holds: bool, text: str) -> None:  # noqa: FBT001 - the verdict itself
        """Print whether something that must hold does."""
        self.checks += 1
        if not holds:
            self.failures.append(text)
        mark = ("✔ ", "bold green") if holds else ("✘ ", "bold red")
        self._print(Text.assemble(mark, (text, "" if holds else "red")))

    def command(self, line: str) -> None:
        """Print a command as it is run."""
        self._print(Text.assemble(("$ ", "dim"), (line, "cyan")))

    def output(self, text: str) -> None:
        """Print what a command wrote."""
        for line in text.rstrip().splitlines():
            self._print(Text(line, no_wrap=True, overflow="ellipsis"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table; all columns but the first hold numbers."""
        table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=bool(index))
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, _INDENT), expand=False))

    def end(self) -> int:
        """Print the verdict; return the exit code."""
        elapsed = f"{time.monotonic() - self._started:.1f} s"
        self._console.print()
        if self.failures:
            self._console.print(
                Text(f"  {len(self.failures)} of {self.checks} checks failed:", "bold red")
            )
            for text in self.failures:
                self._print(Text(f"✘ {text}", "red"))
            return 1
        verdict = f"  All {self.checks} checks hold, in {elapsed}.  "
        self._console.print(Text(verdict, "bold reverse green"))
        self._console.print()
        return 0

    def _print(self, text: Text) -> None:
        self._console.print(Padding(text, (0, 0, 0, _INDENT), expand=False))
