"""The two sides of a comparison, each in a process of its own, taking turns.

    parent --measure--> child A    works for a while, answers with a sample
    parent --measure--> child B    the same; and again, round after round

A machine that slows down for a while slows both sides of a round, so the ratio of a round
holds where the rates do not; the median over the rounds is the figure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Sample:
    """What one side did in one round."""

    operations: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds


class Side(Protocol):
    """Something that can be measured."""

    def measure(self, amount: float) -> Sample:
        """Work for so many seconds, or so many times; each side says which."""
        ...


class Child:
    """A side in a process of its own: a context manager, and a ``Side``.

    Args:
        entry: ``module:Class``, in this package; the class is a context manager.
        preload: A shared library to load into the process.
        arguments: Keyword arguments of the class.
    """

    def __init__(self, entry: str, *, preload: Path | None = None, **arguments: Any) -> None:
        command = [sys.executable, "-m", "benchmarks.child", entry, json.dumps(arguments)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def ask(self, method: str, **arguments: Any) -> Any:
        """Call a method of the side and return its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a benchmark process ended: {self._process.args!r}")
        return json.loads(answer)

    def measure(self, amount: float) -> Sample:
        """Let the side work."""
        return Sample(**self.ask("measure", amount=amount))


@dataclass(frozen=True)
class Comparison:
    """Samples of two sides, round by round."""

    ours: Sequence[Sample]
    theirs: Sequence[Sample]

    @property
    def ratio(self) -> float:
        """Our rate in terms of theirs."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return median(our.rate / their.rate for our, their in pairs)

    def detail(self) -> str:
        """Both rates, for the reader of the table."""
        ours, theirs = (median(sample.rate for sample in side) for side in (self.ours, self.theirs))
        return f"{ours:,.0f} / {theirs:,.0f} a second"


def compare(ours: Side, theirs: Side, *, rounds: int, amount: float) -> Comparison:
    """Measure both sides in turn, after a round that does not count."""
    pairs = []
    for _ in range(rounds + 1):
        our = ours.measure(amount)
        pairs.append((our, theirs.measure(amount)))
    return Comparison([our for our, _ in pairs[1:]], [their for _, their in pairs[1:]])
