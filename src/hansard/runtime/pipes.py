"""Pipes: an answer on its way from the turn that makes it to the client that reads it.

    turn -> put, put, put -> [what waits] -> pieces -> client

A piece for a reader that waits is handed over; else it waits itself, and what waits goes on in
one piece. A client that reads slowly slows the turn down; one that does not read at all, or has
gone, is left behind: the turn goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

FULL_BYTES: Final = 256 * 1024  # of an answer that wait for the client; a long answer is that long


class Pipe:
    """Carries one answer; one side puts, the other reads.

    Attributes:
        is_abandoned: Nobody reads any more; what is put is dropped.
    """

    def __init__(self) -> None:
        self.is_abandoned = False
        self._waiting: list[bytes] = []
        self._size_bytes = 0
        self._has_ended = False
        self._reader: asyncio.Future[bytes] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether to wait for the reader before more is put."""
        return self._size_bytes >= FULL_BYTES

    def put(self, data: bytes) -> None:
        """Add a piece."""
        if self.is_abandoned or self._hand_over(data):
            return
        self._waiting.append(data)
        self._size_bytes += len(data)

    def end(self) -> None:
        """Say that nothing more comes."""
        self._has_ended = True
        self._hand_over(b"")

    def abandon(self) -> None:
        """Read no more; what waits is dropped."""
        self.is_abandoned = self._has_ended = True
        self._take()
        self._hand_over(b"")

    async def wait_for_room(self) -> None:
        """Wait until the reader has taken what waits, or has gone."""
        while self.is_full:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Give the answer, as it comes."""
        while True:
            if self._waiting:
                yield self._take()
            elif self._has_ended:
                return
            else:
                self._reader = asyncio.get_running_loop().create_future()
                if piece := await self._reader:
                    yield piece

    def _hand_over(self, data: bytes) -> bool:
        """Give a piece to a reader that waits, if one does."""
        reader, self._reader = self._reader, None
        if reader is None or reader.done():
            return False
        reader.set_result(data)
        return True

    def _take(self) -> bytes:
        waiting, self._waiting, self._size_bytes = self._waiting, [], 0
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        return waiting[0] if len(waiting) == 1 else b"".join(waiting)
