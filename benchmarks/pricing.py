"""Rows: pricing a call by the table that comes with the program, and who has to read it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.bench import Bench, Row
from hansard.core.prices import PriceBook
from hansard.core.usage import NewUsage
from hansard.formats.prices import load_builtin

MOST_US = 2.0
CALLS = {
    "two rates": NewUsage(
        event_id="1", provider="openai", model="gpt-4o", input_tokens=1_200, output_tokens=180
    ),
    "a cache written for an hour": NewUsage(
        event_id="2",
        provider="anthropic",
        model="claude-sonnet-4-20250514",
        input_tokens=1_200,
        cached_tokens=400,
        cache_write_tokens=600,
        cache_write_1h_tokens=600,
        output_tokens=180,
    ),
    "a long context": NewUsage(
        event_id="3",
        provider="google",
        model="gemini-2.5-pro",
        input_tokens=200_001,
        cached_tokens=100_000,
        output_tokens=500,
        reasoning_tokens=400,
    ),
}
AT_US = 1_790_000_000_000_000
PER_SECOND = 300_000  # calls in a burst of a second, about
IMPORT = """
import sys, time
start = time.perf_counter()
import hansard
print(time.perf_counter() - start, "hansard.formats.prices" in sys.modules)
"""


def rows(bench: Bench) -> Iterator[Row]:
    """Three calls of different kinds; then the package's import."""
    start = time.perf_counter()
    book = load_builtin()
    load_ms = 1e3 * (time.perf_counter() - start)
    times = {name: _time(bench, book, call) for name, call in CALLS.items()}
    slowest = max(times.values())
    detail = ", ".join(f"{name}: {taken:.2f}" for name, taken in times.items())
    yield Row(
        "pricing a call, the slowest of three kinds: CPU",
        f"{slowest:.2f} µs",
        f"≤ {MOST_US:g} µs",
        slowest <= MOST_US,
        f"{detail} µs",
    )
    yield _import_row(load_ms)


def _time(bench: Bench, book: PriceBook, call: NewUsage) -> float:
    """CPU microseconds of one call in the fastest round, which others slowed down least."""
    count = round(bench.amounts.seconds * PER_SECOND)
    times = []
    for _ in range(bench.amounts.rounds):
        start = time.process_time()
        for _ in range(count):
            book.price(call, AT_US)
        times.append(1e6 * (time.process_time() - start) / count)
    assert book.price(call, AT_US)
    return min(times)


def _import_row(load_ms: float) -> Row:
    told = subprocess.run(
        [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
    ).stdout.split()
    is_there = told[1] == "True"
    return Row(
        "import hansard: the price table",
        "read" if is_there else "not read",
        "not read",
        not is_there,
        f"{1e3 * float(told[0]):.0f} ms without it, {load_ms:.0f} ms to read it",
    )
