"""A PostgreSQL server that flushes as it does in production, run by a child process.

It has a process between us and it, so that a preloaded library reaches it and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.postgres import PostgresCluster, list_installations

SETTINGS: Final = {"shared_buffers": "256MB", "max_wal_size": "4GB"}


class DurableServer(PostgresCluster):
    """Side that makes databases; see ``benchmarks.children.Child``."""

    def __init__(self) -> None:
        super().__init__(durable=True, settings=SETTINGS)

    def version(self) -> str:
        """The server's version."""
        return str(self.execute("SHOW server_version")[0][0])


def find_pgbench() -> Path | None:
    """The ``pgbench`` of an installation; None if there is none."""
    programs = (installation.binaries / "pgbench" for installation in list_installations())
    return next((program for program in programs if program.is_file()), None)
