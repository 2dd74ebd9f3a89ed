"""The record, shown at work: ``python -m examples.demo``, or ``make demo``.

    conversations -> 16 clients -> hansard serve -> SQLite file
                          (killed half way)            |-> read back, verify, fork, revert
                                                       `-> export -> import -> compare
    agent in a server -> saved while it speaks, killed -> another server goes on

Everything goes through the product as its users have it: the service as a process, the
command line, and ``hansard.open``. What must hold is checked and printed; if anything does
not, the exit code is 1.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from examples.demo.chapters import RECORD, Stage, play, tell_input
from examples.demo.conversations import load
from examples.demo.report import Report
from examples.demo.service import Service

FOLDER = Path("demo-data")


def main() -> int:
    """Run the demonstration in ``demo-data``; return the exit code."""
    report = Report()
    report.title("Hansard", "the official record of AI agents")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    source, conversations = load()
    service = Service(f"sqlite:///{FOLDER / RECORD}", FOLDER / "server.log")
    stage = Stage(report, FOLDER, conversations, service)
    tell_input(stage, source)
    try:
        asyncio.run(play(stage))
    finally:
        service.close()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
