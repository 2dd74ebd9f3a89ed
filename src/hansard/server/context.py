"""Context: what all calls of one server share, from start-up to the end of its drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from hansard.core.errors import LimitReached, Unavailable
from hansard.runtime.chat import Chat
from hansard.runtime.patience import Patience
from hansard.runtime.room import Room
from hansard.runtime.threads import Runtime
from hansard.server.auth import Authenticator, Nobody
from hansard.server.forwarding import Forwarder
from hansard.server.logs import Log
from hansard.server.metrics import Metrics
from hansard.server.sse import Streams
from hansard.service.sessions import DatabaseSessions
from hansard.settings import Settings

LARGE_AT_ONCE = 4  # large bodies in memory: each may be 64 MiB, and ten times that when parsed
LARGE_WAIT_MAX_S = 20.0
LARGE_ANSWER_BYTES = 2**20
ANSWERS_BYTES = 2**29  # in memory while slow clients read them, half of it for one tenant


class Context:
    """The record, the settings, and the few things that count or end.

    Attributes:
        answers: What large answers take of the memory while they go out.
        authenticator: Set once the record is open, which holds the keys.
        openapi: The API's description as JSON; ``docs`` is the same as a page.
        is_local: Nobody is asked for credentials, so only this machine may call.
        patience: How long to wait for the record, where that is not what was asked for.
        chat: What answers chat requests, while the server runs; None if nothing does.
        runtime: Where threads live, likewise.
        forwarder: Asks the servers that hold other threads, set once the record is open.
        draining: The server is about to stop: it is no longer ready, and streams are closed.
    """

    def __init__(
        self,
        record: DatabaseSessions,
        settings: Settings,
        *,
        log: Log,
        openapi: bytes,
        docs: bytes,
    ) -> None:
        self.record = record
        self.settings = settings
        self.authenticator: Authenticator = Nobody()
        self.log = log
        self.openapi = openapi
        self.docs = docs
        self.patience = Patience(settings.chat.record_wait_s, record.check)
        self._is_shared = settings.access.auth != "none"  # by tenants who do not know each other
        streams = settings.server.max_streams
        self.streams = Streams(streams, self.share_of(streams))
        self.metrics = Metrics(
            record.runner,
            lambda: self.streams.count,
            lambda: self.chat,
            lambda: self.runtime,
            by_tenant=settings.telemetry.metrics_tenant_label,
        )
        self.chat: Chat | None = None
        self.runtime: Runtime | None = None
        self.forwarder: Forwarder
        self.draining = False
        self.is_local = settings.access.auth == "none" and not settings.access.insecure
        self.answers = Room(
            ANSWERS_BYTES, self.share_of(ANSWERS_BYTES), _too_much_is_read, _too_much_is_read
        )
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._large_by_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def drain(self) -> None:
        """Stop being ready, and ask the streams to end; calls under way go on."""
        self.draining = True
        self.streams.close()
        if self.chat is not None:
            self.chat.drain()
        if self.runtime is not None:
            self.runtime.drain()

    @asynccontextmanager
    async def room_for(self, size_bytes: int | None, tenant_id: str) -> AsyncIterator[None]:
        """Wait until a tenant's body of this size (None: unknown) may be held in memory.

        Raises:
            Unavailable: If there is no room in time.
        """
        if size_bytes is not None and size_bytes <= self.settings.limits.body_limit_bytes:
            yield
            return
        share = self._large_by_tenant.setdefault(
            tenant_id, asyncio.Semaphore(self.share_of(LARGE_AT_ONCE))
        )
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(LARGE_WAIT_MAX_S):
                    await stack.enter_async_context(share)
                    await stack.enter_async_context(self._large)
            except TimeoutError as exc:
                raise Unavailable("too many large bodies at once", code="busy") from exc
            yield

    def share_of(self, places: int) -> int:
        """How many of some places one tenant may take."""
        return max(1, places // 2) if self._is_shared else places


def _too_much_is_read(limit: int) -> LimitReached:
    return LimitReached(
        f"answers on their way hold up to {limit:,} bytes; read pages, or export",
        code="too_many_bytes",
        limit=limit,
    )
