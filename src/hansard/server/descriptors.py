"""Descriptors: how many connections this process can hold, beside the files that it needs.

A process that has none left can neither open its database nor take a connection. Systems
let a process have few (often 1,024) and more if it asks, which it does here.
"""

from __future__ import annotations

import sys
from typing import Final

FILES: Final = 256  # for databases, logs, exports that are spooled, the event loop


def hold_connections(wanted: int) -> int:
    """Ask the system for so many connections; return how many there may be, at least one."""
    if sys.platform == "win32":  # which has no such limit
        return wanted
    import resource  # noqa: PLC0415 - not there on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + FILES:
        soft = wanted + FILES if hard == resource.RLIM_INFINITY else min(wanted + FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, min(wanted, soft - FILES))
    return wanted
