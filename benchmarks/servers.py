"""Server processes, and what the kernel counts of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_MAX_S = 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server process."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """CPU that it used so far, its own and the kernel's for it."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident(pid: int) -> float:
    """The memory that a process holds, in megabytes."""
    return _status(pid, "VmRSS")


def peak_resident(pid: int | str = "self") -> float:
    """The most memory that a process ever held, in megabytes.

    Not ``ru_maxrss``: a child inherits its parent's.
    """
    return _status(pid, "VmHWM")


def _status(pid: int | str, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc does not tell the memory held")


@contextmanager
def serve(url: str, *options: str, preload: Path | None = None) -> Iterator[Server]:
    """Run Hansard on a database."""
    environment = {} if preload is None else {"LD_PRELOAD": str(preload)}
    port = free_port()
    command = ["-m", "hansard.cli", "serve", "--database", url, "--port", str(port), *options]
    with running([sys.executable, *command], port, environment=environment) as server:
        yield server


@contextmanager
def serve_bare(app: str = "benchmarks.bare_asgi:app") -> Iterator[Server]:
    """Run an app of ours on the same uvicorn."""
    port = free_port()
    command = ["-m", "uvicorn", app, "--port", str(port)]
    how = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-server-header"]
    quiet = ["--no-access-log", "--no-proxy-headers", "--log-level", "error"]
    with running([sys.executable, *command, *how, *quiet], port) as server:
        yield server


@contextmanager
def running(
    command: list[str],
    port: int,
    *,
    path: str = "/livez",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server while it is needed, from when it answers at a path."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_MAX_S
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start: {command}")
            time.sleep(0.05)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
