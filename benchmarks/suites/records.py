"""What suites share: an open record in a temporary folder, and messages to put into it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar

import hansard

T = TypeVar("T")

WORDS = "The record holds what was said, what was done and what it cost. "
EXCHANGE = [
    {"role": "user", "content": (WORDS * 8)[:470]},
    {"role": "assistant", "content": (WORDS * 8)[:465]},
]
USAGE = [{"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 180}]


def dialogue(count: int) -> list[dict[str, str]]:
    """A history of so many messages."""
    return [EXCHANGE[number % 2] for number in range(count)]


class RecordSuite:
    """Opens a record on SQLite before each benchmark, and removes it afterwards."""

    def setup(self, *_parameters: object) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.record = self.open("record")

    def teardown(self, *_parameters: object) -> None:
        self.run(self.record.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    def open(self, name: str) -> hansard.SessionService:
        """Open one more record of this suite."""
        record = hansard.open(f"sqlite:///{self.folder.name}/{name}.db")
        return self.run(record.__aenter__())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call."""
        return self.runner.run(call)

    async def exported(self, session_id: str, format: str) -> bytes:
        """A session as a document."""
        return b"".join([piece async for piece in self.record.export_session(session_id, format)])
