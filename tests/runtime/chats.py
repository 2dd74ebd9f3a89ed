"""A chat without a server around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from structlog.typing import FilteringBoundLogger

from hansard.core.prices import PriceBook
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.chat import Chat, ChatLimits
from hansard.runtime.gates import Prices
from hansard.runtime.observers import Observer
from hansard.service.sessions import DatabaseSessions

SILENT: FilteringBoundLogger = structlog.wrap_logger(
    structlog.ReturnLogger(), processors=[], wrapper_class=structlog.make_filtering_bound_logger(50)
)
AMPLE = ChatLimits(
    output_tokens=1_000,
    turns=10,
    turns_by_tenant=10,
    size_bytes=10_000,
    size_bytes_by_tenant=10_000,
    turn_s=60.0,
    waiting=4,
    wait_s=60.0,
    left_s=60.0,
    record_s=60.0,
    drain_s=60.0,
)


async def record_prices(record: DatabaseSessions) -> PriceBook:
    """The prices that a record has."""
    return await record.shelf.book(record.actor.tenant_id)


@asynccontextmanager
async def chatting(
    record: DatabaseSessions,
    folder: Path,
    agent: Agent,
    *,
    limits: ChatLimits = AMPLE,
    observers: Sequence[Observer] = (),
    prices: Prices = record_prices,
) -> AsyncIterator[Chat]:
    """A chat on an open record."""
    async with Chat(
        record,
        agent,
        prices=prices,
        spool=folder / "spool",
        limits=limits,
        is_record_required=False,
        observers=observers,
        log=SILENT,
    ) as chat:
        yield chat
