"""A chat without a server around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from structlog.typing import FilteringBoundLogger

from hansard.core.actors import Actor
from hansard.core.prices import PriceBook
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.chat import Chat, ChatLimits
from hansard.runtime.gates import Prices
from hansard.runtime.observers import Observer
from hansard.runtime.patience import Patience
from hansard.runtime.turn_records import TurnRecord
from hansard.service.sessions import DatabaseSessions

SILENT: FilteringBoundLogger = structlog.wrap_logger(
    structlog.ReturnLogger(), processors=[], wrapper_class=structlog.make_filtering_bound_logger(50)
)
AMPLE = ChatLimits(
    output_tokens=1_000,
    turns=10,
    turns_by_tenant=10,
    size_bytes=1_000_000,
    size_bytes_by_tenant=1_000_000,
    turn_s=60.0,
    waiting=4,
    wait_s=60.0,
    left_s=60.0,
    drain_s=60.0,
)


class Bare:
    """The part of an agent that holds nothing open and names no model."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def models(self) -> list[dict[str, Any]]:
        return []


def turn(number: int, session_id: str | None = "s", **more: Any) -> TurnRecord:
    """A turn that ended."""
    return TurnRecord(
        actor=Actor("acme", "ann", sees_all=False),
        session_id=session_id,
        turn_id=f"turn-{number}",
        status="completed",
        at_us=number,
        messages=[{"role": "assistant", "content": f"answer {number}", "score": 0.25}],
        usage=[NewUsage(event_id=f"call-{number}", input_tokens=2**40)],
        holds=[f"call-{number}"],
        **more,
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
        patience=Patience(60.0, record.check),
        prices=prices,
        spool=folder / "spool",
        limits=limits,
        is_record_required=False,
        observers=observers,
        log=SILENT,
    ) as chat:
        yield chat
