"""The product as processes: ``hansard serve``, and commands of ``hansard`` run to their end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx

START_MAX_S: Final = 20.0
STOP_MAX_S: Final = 20.0
TABLE_WIDTH: Final = 96  # of the tables that commands draw
COMMAND: Final = (sys.executable, "-m", "hansard.cli")


class Service:
    """A server process on a database; may be killed and started again on the same port."""

    def __init__(self, database_url: str, log: Path, *options: str) -> None:
        self._options = options
        self._database_url = database_url
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> float:
        """Start it and wait until it is ready; return how long that took, in seconds."""
        started = time.monotonic()
        arguments = ("--database", self._database_url, "--port", str(self._port), *self._options)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*COMMAND, "serve", *arguments], stderr=log, env=_environment()
            )
        with httpx.Client(base_url=self.url) as client:
            while not _is_ready(client):
                if self._process.poll() is not None or time.monotonic() > started + START_MAX_S:
                    raise SystemExit(f"the service did not start; see {self._log}")
                time.sleep(0.02)
        return time.monotonic() - started

    def kill(self) -> None:
        """End it as a crash does: no warning, no last words."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """Ask it to stop in good order; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_MAX_S)

    def close(self) -> None:
        """Make sure that nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def run(database_url: str, *arguments: str) -> str:
    """Run ``hansard`` on a record to its end; return what it wrote."""
    done = attempt(database_url, *arguments)
    if done.returncode:
        raise SystemExit(f"hansard {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def attempt(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``hansard`` where it may well fail."""
    settings = {"HANSARD_DATABASE": database_url, "COLUMNS": str(TABLE_WIDTH)}
    return subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, *arguments],
        env=_environment() | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    """The present environment, without settings that are meant for another record."""
    present = os.environ  # noqa: TID251 - passed on, not read
    return {name: value for name, value in present.items() if not name.startswith("HANSARD_")}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
