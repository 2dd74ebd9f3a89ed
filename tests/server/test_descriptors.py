"""Descriptors: connections that the system lets a process hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hansard.server.descriptors import FILES, hold_connections

ASK = "from hansard.server.descriptors import hold_connections as h; print(h({wanted}))"


@pytest.mark.skipif(sys.platform == "win32", reason="knows no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "possible"),
    [
        (400, 500, 100, 100),
        (400, 500, 200, 200),
        (400, 500, 1_000, 500 - FILES),
        (200, 200, 1_000, 1),
    ],
)
def test_connections_keep_to_what_the_system_gives(
    soft: int, hard: int, wanted: int, possible: int
) -> None:
    script = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", ASK.format(wanted=wanted)]
    assert int(subprocess.check_output(command)) == possible


@pytest.mark.skipif(sys.platform == "win32", reason="knows no such limit")
@pytest.mark.parametrize("error", [ValueError, OSError])
def test_limit_that_the_kernel_refuses_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    import resource

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda _: (FILES + 100, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert hold_connections(1_000_000) == 100
