"""``hansard serve``: a process that others reach, and that ends in good order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

from tests.cli.conftest import Shell


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_service_is_reached_and_ends_when_told(local: Shell) -> None:
    port = free_port()
    command = [sys.executable, "-m", "hansard.cli", "serve", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--database", local.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        remote = Shell(f"http://127.0.0.1:{port}")
        try:
            listed = remote("list", "--json", "--retry-deadline-s", "60").lines()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
        assert process.stdout.read() == b""
    assert listed == local("list", "--json").lines()


def test_open_door_to_other_machines_is_refused(local: Shell) -> None:
    outcome = local("serve", "--host", "0.0.0.0", code=2)
    assert outcome.stderr.startswith("error: setting host: ")


def test_service_that_cannot_be_reached_is_an_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    outcome = Shell(url)("list", "--retry-deadline-s", "0", code=1)
    assert "unreachable" in outcome.stderr
