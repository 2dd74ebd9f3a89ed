"""Progress: something that moves on a terminal's standard error, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watched(what: str, *, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show that something is under way; the function given tells how much was done."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from hansard.cli import terminal

    with terminal.progress(what, unit) as advance:
        yield advance
