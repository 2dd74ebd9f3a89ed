"""Describe the machine that measured, as far as its figures depend on it."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.bench import Bench

PACKAGES = ("psycopg", "uvicorn", "uvloop")


def describe(bench: Bench) -> str:
    """Give a line of cores, versions, load and date; no names of hosts or folders."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), "
        f"load {os.getloadavg()[2]:.1f}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, "
        f"PostgreSQL {bench.postgres().ask('version')}, {packages}."
    )
