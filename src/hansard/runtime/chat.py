"""The chat: an agent, and all turns that are under way with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from structlog.typing import FilteringBoundLogger

from hansard.core.errors import HansardError, LimitReached, Unavailable
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.gates import GateKeeper, Prices
from hansard.runtime.observers import Observer
from hansard.runtime.patience import Patience
from hansard.runtime.queues import SessionQueues
from hansard.runtime.recorder import Recorder
from hansard.runtime.spool import Spool
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turns import Asked, Tools, Turn
from hansard.service.sessions import DatabaseSessions


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """How much, and how long.

    Attributes:
        output_tokens: The most that a call may bring that sets no limit itself.
        turns: Under way at once; ``turns_by_tenant`` of them for one tenant.
        body_bytes: Of all their requests.
        turn_s: How long an agent may take.
        waiting: Turns that wait for one session; ``wait_s`` is how long one of them may.
        left_s: How long a turn goes on for a client that has left.
        record_s: How long an answer waits for the record.
        stop_s: How long turns under way may take when the server stops.
    """

    output_tokens: int = 16_384
    turns: int = 1_000
    turns_by_tenant: int = 1_000
    body_bytes: int = 512 * 1024 * 1024
    turn_s: float = 600.0
    waiting: int = 16
    wait_s: float = 30.0
    left_s: float = 60.0
    record_s: float = 2.0
    stop_s: float = 30.0


class Chat:
    """Answers chat requests and records them; an async context manager.

    Args:
        record: An open record.
        prices: Gives the prices of a record's tenant.
        spool: Folder for turns that the record does not take yet.
        is_record_required: Call no model without a hold.
        observers: Told how turns go.
        log: Told of what is spooled.
        tell_crash: Called with a turn's id and an error that nobody foresaw.
    """

    def __init__(
        self,
        record: DatabaseSessions,
        agent: Agent,
        *,
        prices: Prices,
        spool: Path,
        limits: ChatLimits,
        is_record_required: bool,
        observers: Sequence[Observer] = (),
        log: FilteringBoundLogger,
        tell_crash: Callable[[str, Exception], None],
    ) -> None:
        self.agent = agent
        self.is_record_required = is_record_required
        self._limits = limits
        self._tell_crash = tell_crash
        patience = Patience(limits.record_s)
        self._recorder = Recorder(record, SpoolFolder(spool), patience, log)
        self._tools = Tools(
            agent=agent,
            queues=SessionQueues(waiting_max=limits.waiting, wait_max_s=limits.wait_s),
            keeper=GateKeeper(
                prices=prices,
                patience=patience,
                output_tokens=limits.output_tokens,
                turn_max_s=limits.turn_s,
                is_record_required=is_record_required,
            ),
            recorder=self._recorder,
            patience=patience,
            observers=observers,
            turn_max_s=limits.turn_s,
            drain_s=limits.left_s,
        )
        self._turns: dict[Turn, asyncio.Task[None]] = {}
        self._by_tenant: Counter[str] = Counter()
        self._body_bytes = 0
        self._is_draining = False
        self._stack = AsyncExitStack()
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        """Make the agent ready, and begin to record what is left in the spool."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._recorder.spool)
            await stack.enter_async_context(self.agent)
            await stack.enter_async_context(self._group)
            stack.push_async_callback(self._finish)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let turns under way end, for a while; then interrupt them, and record all."""
        await self._stack.aclose()

    @property
    def spool(self) -> Spool:
        """Turns that wait to be recorded."""
        return self._recorder.spool

    @property
    def turns(self) -> int:
        """How many turns are under way."""
        return len(self._turns)

    def drain(self) -> None:
        """Begin no more turns."""
        self._is_draining = True

    def begin(self, asked: Asked) -> Turn:
        """Begin a turn.

        Raises:
            LimitReached: ``too_many_turns``.
            Unavailable: If the server stops, or could not keep the turn.
        """
        tenant_id = asked.record.actor.tenant_id
        if self._is_draining:
            raise Unavailable("the server is about to stop", code="draining")
        if self.spool.is_full:
            raise Unavailable("too many turns wait to be recorded", code="spool_full")
        limits = self._limits
        if self._body_bytes + asked.size_bytes > limits.body_bytes:
            raise Unavailable("too many large requests at once", code="busy")
        for count, limit in (
            (len(self._turns), limits.turns),
            (self._by_tenant.get(tenant_id, 0), limits.turns_by_tenant),
        ):
            if count >= limit:
                raise LimitReached(
                    f"{limit} turns are under way already", code="too_many_turns", limit=limit
                )
        turn = Turn(self._tools, asked)
        self._by_tenant[tenant_id] += 1
        self._body_bytes += asked.size_bytes
        self._turns[turn] = self._group.create_task(self._supervise(turn, asked))
        return turn

    async def models(self) -> list[dict[str, Any]]:
        """List what a request may name as ``model``."""
        return await self.agent.models()

    async def _supervise(self, turn: Turn, asked: Asked) -> None:
        """Run a turn; whatever happens in it ends here."""
        watching = self._group.create_task(turn.watch())
        try:
            await turn.run()
        except Exception as error:  # noqa: BLE001 - the turn's supervisor
            self._tell_crash(turn.turn_id, error)
            turn.delivery.fail(HansardError("the turn failed; the log knows more by its id"))
        finally:
            watching.cancel()
            del self._turns[turn]
            self._body_bytes -= asked.size_bytes
            tenant_id = asked.record.actor.tenant_id
            self._by_tenant[tenant_id] -= 1
            if not self._by_tenant[tenant_id]:
                del self._by_tenant[tenant_id]

    async def _finish(self) -> None:
        self.drain()
        if self._turns:
            await asyncio.wait(self._turns.values(), timeout=self._limits.stop_s)
        for turn in self._turns:
            turn.interrupt()
        if self._turns:
            await asyncio.wait(self._turns.values())
