"""Descriptors: how many connections this process can hold, beside the files that it needs.

A process that has none left can neither open its database nor take a connection. Systems
let a process have few (often 1,024) and more if it asks, which it does here.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

FILES: Final = 256  # for databases, logs, exports that are spooled, the event loop


def hold_connections(wanted: int) -> int:
    """Ask the system for so many connections; return how many there may be, at least one."""
    if sys.platform == "win32":  # which has no such limit
        return wanted
    import resource  # noqa: PLC0415 - not there on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted + FILES:
        return wanted
    asked = wanted + FILES if hard == resource.RLIM_INFINITY else min(wanted + FILES, hard)
    with suppress(ValueError, OSError):  # a kernel may give less than the limit that it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (asked, hard))
        soft = asked
    return max(1, min(wanted, soft - FILES))
