"""The real service as a process of its own, to be killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self


class Service:
    """``hansard serve`` on a database; one port for all its lives.

    Args:
        database_url: Where its record lives.
        folder: Where it writes its log.
        environment: Variables that it gets beside ours.
    """

    def __init__(
        self, database_url: str, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        where = ["--database", database_url, "--port", str(port), "--log-level", "error"]
        self._command = [sys.executable, "-m", "hansard.cli", "serve", *where]
        self._environment = {**os.environ, **(environment or {})}
        self._log = folder / "service.log"
        self._process: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id of its present life."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Begin a life; callers try again until it listens."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """End its life without warning, if it has one."""
        assert self._process
        self._process.kill()
        self._process.wait()
