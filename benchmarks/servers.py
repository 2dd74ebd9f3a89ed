"""Server processes, and what the kernel counts of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_MAX_S = 30
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


def peak_resident(pid: int | str = "self") -> float:
    """The most memory that a process ever held, in megabytes.

    Not ``ru_maxrss``: a child inherits its parent's.
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc does not tell the memory held")


@contextmanager
def serve(url: str) -> Iterator[Server]:
    """Run Hansard on a database."""
    port = _free_port()
    command = ["-m", "hansard.cli", "serve", "--database", url, "--port", str(port)]
    with _running([sys.executable, *command], port) as server:
        yield server


@contextmanager
def serve_bare() -> Iterator[Server]:
    """Run the bare app on the same uvicorn."""
    port = _free_port()
    command = ["-m", "uvicorn", "benchmarks.bare_asgi:app", "--port", str(port)]
    how = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-server-header"]
    quiet = ["--no-access-log", "--no-proxy-headers", "--log-level", "error"]
    with _running([sys.executable, *command, *how, *quiet], port) as server:
        yield server


@contextmanager
def _running(command: list[str], port: int) -> Iterator[Server]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_MAX_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start: {command}")
            time.sleep(0.05)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez"):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
