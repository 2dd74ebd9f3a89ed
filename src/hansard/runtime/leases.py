"""Leases: which threads this server may write to, and how long that is so.

A holder that renews nothing has lost its threads by the record's clock; by its own it acts as
if they were lost a little before. Whoever is wrong about that is stopped by the fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from platform import node
from typing import Final
from urllib.parse import urlsplit

from hansard.core.errors import Unavailable
from hansard.core.ids import NOISE, make_ulid
from hansard.core.threads import Lease, Thread
from hansard.service.threads import ThreadService

RENEWALS: Final = 3  # in the time of one lease
MARGIN: Final = 1 / 8  # of a lease, by which it ends sooner for its holder
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Key = tuple[str, str]


class HeldElsewhere(Unavailable):
    """Another server holds the thread; ``url`` is where it answers, if it says so."""

    def __init__(self, thread_id: str, url: str | None) -> None:
        super().__init__(
            "another server holds the thread", code="thread_elsewhere", thread_id=thread_id
        )
        self.url = url


class Leases:
    """The leases of one server.

    Attributes:
        holder: Names the server: where it runs, and which of its lives it is.
        url: Where others reach it; may be set later.
    """

    def __init__(self, now_us: int, url: str | None, lease_s: float) -> None:
        self.holder = f"{node()}/{make_ulid(now_us, NOISE)}"
        self.url = url
        self._lease_s = lease_s
        self._lease_us = round(lease_s * 1_000_000)

    @property
    def renew_s(self) -> float:
        """How long to wait between two renewals."""
        return self._lease_s / RENEWALS

    @asynccontextmanager
    async def taken(
        self, threads: ThreadService, thread_id: str
    ) -> AsyncGenerator[tuple[Thread, float]]:
        """Take a thread, and let go of it if what follows goes wrong.

        Gives the thread as it is then, and when the lease ends by the loop's clock.

        Raises:
            HeldElsewhere: If another server has it.
        """
        until_s = self._until_s()
        thread = await threads.lease(
            thread_id, holder=self.holder, url=self.url, lease_us=self._lease_us
        )
        assert thread.lease is not None
        if thread.lease.holder != self.holder:
            raise HeldElsewhere(thread_id, self._reachable(thread.lease))
        try:
            yield thread, until_s
        except BaseException:
            with suppress(Unavailable):  # it ends by itself then
                await self.release(threads, thread_id, thread.lease.fence)
            raise

    async def renew(self, threads: ThreadService, fences: Mapping[Key, int]) -> Mapping[Key, float]:
        """Renew leases; return when they end, as far as the record answers."""
        until_s = self._until_s()
        try:
            kept = await threads.renew(fences.items(), holder=self.holder, lease_us=self._lease_us)
        except Unavailable:
            return {}
        return {key: until_s if key in kept else 0.0 for key in fences}

    async def release(self, threads: ThreadService, thread_id: str, fence: int) -> None:
        """Let go of a thread, if it is still held."""
        await threads.release(thread_id, holder=self.holder, fence=fence)

    def _until_s(self) -> float:
        return asyncio.get_running_loop().time() + self._lease_s * (1 - MARGIN)

    def _reachable(self, lease: Lease) -> str | None:
        """Where a holder answers; an address of its own machine means something only there."""
        is_near = lease.holder.partition("/")[0] == self.holder.partition("/")[0]
        host = urlsplit(lease.url or "").hostname
        return lease.url if is_near or host not in LOOPBACK else None
