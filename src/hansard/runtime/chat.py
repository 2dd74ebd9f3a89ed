"""The chat: an agent, and all turns that are under way with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from structlog.typing import FilteringBoundLogger

from hansard.core.errors import Unavailable
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.strict_json import check_text
from hansard.crashes import Guard
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.gates import GateKeeper, Prices
from hansard.runtime.observers import Observer
from hansard.runtime.patience import Patience
from hansard.runtime.queues import SessionQueues
from hansard.runtime.recorder import Recorder
from hansard.runtime.room import Room, too_long, too_many_bytes, too_many_turns
from hansard.runtime.spool import Spool
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_plans import TurnParts
from hansard.runtime.turns import Asked, Shared, Turn
from hansard.service.sessions import DatabaseSessions


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """How much, and how long.

    Attributes:
        output_tokens: The most that a call may bring that sets no limit itself.
        turns: Under way at once; ``turns_by_tenant`` of them for one tenant.
        size_bytes: Of their requests, and of the histories that are put before those;
            ``size_bytes_by_tenant`` of them for one tenant.
        turn_s: How long an agent may take.
        waiting: Turns that wait for one session; ``wait_s`` is how long one of them may.
        left_s: How long a turn goes on for a client that has left.
        drain_s: How long turns under way may take once no more are begun.
    """

    output_tokens: int
    turns: int
    turns_by_tenant: int
    size_bytes: int
    size_bytes_by_tenant: int
    turn_s: float
    waiting: int
    wait_s: float
    left_s: float
    drain_s: float


class Chat:
    """Answers chat requests and records them; an async context manager.

    Args:
        record: An open record.
        patience: How long an answer waits for the record.
        prices: Gives the prices of a record's tenant.
        spool: Folder for turns that the record does not take yet.
        is_record_required: Call no model without a hold.
        observers: Told how turns go.
        log: Told of what is spooled, and of errors that nobody foresaw.

    Raises:
        InvalidInput: If the agent has a name that cannot be recorded.
    """

    def __init__(
        self,
        record: DatabaseSessions,
        agent: Agent,
        *,
        patience: Patience,
        prices: Prices,
        spool: Path,
        limits: ChatLimits,
        is_record_required: bool,
        observers: Sequence[Observer] = (),
        log: FilteringBoundLogger,
    ) -> None:
        check_text(agent.name, "agent", length_max=NAME_LENGTH_MAX)
        self.agent = agent
        self.is_record_required = is_record_required
        self._limits = limits
        self._log = log
        self._recorder = Recorder(record, SpoolFolder(spool), patience, log)
        self._shared = Shared(
            agent=agent,
            queues=SessionQueues(waiting_max=limits.waiting, wait_max_s=limits.wait_s),
            keeper=GateKeeper(
                prices=prices,
                patience=patience,
                output_tokens=limits.output_tokens,
                turn_s=limits.turn_s,
                is_record_required=is_record_required,
            ),
            recorder=self._recorder,
            patience=patience,
            observers=observers,
            log=log,
            turn_s=limits.turn_s,
            left_s=limits.left_s,
        )
        self._turns: dict[Turn, asyncio.Task[None]] = {}
        turns, turns_by_tenant = limits.turns, limits.turns_by_tenant
        self._places = Room(turns, turns_by_tenant, too_many_turns, too_many_turns)
        size, size_by_tenant = limits.size_bytes, limits.size_bytes_by_tenant
        self._memory = Room(size, size_by_tenant, too_many_bytes, too_long)
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
        """Let turns under way end, as far as there is time, and record all."""
        await self._stack.aclose()

    @property
    def spool(self) -> Spool:
        """Turns that wait to be recorded."""
        return self._recorder.spool

    def turn_parts(self, wait_s: float) -> TurnParts:
        """What turns of threads share with those of the chat; ``wait_s`` is for people."""
        shared = self._shared
        return TurnParts(
            keeper=shared.keeper,
            recorder=shared.recorder,
            observers=shared.observers,
            log=shared.log,
            places=self._places,
            turn_s=shared.turn_s,
            wait_s=wait_s,
        )

    @property
    def turns(self) -> int:
        """How many turns are under way."""
        return len(self._turns)

    def drain(self) -> None:
        """Begin no more turns, and interrupt in time those that are under way."""
        if not self._is_draining:
            self._is_draining = True
            asyncio.get_running_loop().call_later(self._limits.drain_s, self._interrupt)

    def begin(self, asked: Asked) -> Turn:
        """Begin a turn.

        Raises:
            LimitReached: ``too_many_turns``, ``too_many_bytes`` or ``history_too_long``.
            Unavailable: If the server stops, or could not keep the turn.
        """
        tenant_id = asked.record.actor.tenant_id
        if self._is_draining:
            raise Unavailable("the server is about to stop", code="draining")
        if self.spool.is_full_for(tenant_id):
            raise Unavailable("too many turns wait to be recorded", code="spool_full")
        with ExitStack() as stack:
            stack.enter_context(self._places.taken(tenant_id, 1))
            take = stack.enter_context(self._memory.taken(tenant_id, asked.size_bytes))
            turn = Turn(self._shared, asked, take)
            taken = stack.pop_all()
        self._turns[turn] = self._group.create_task(self._supervise(turn, asked, taken))
        return turn

    async def models(self) -> list[dict[str, Any]]:
        """List what a request may name as ``model``."""
        return await self.agent.models()

    async def _supervise(self, turn: Turn, asked: Asked, taken: ExitStack) -> None:
        """Run a turn; whatever happens in it ends here."""
        watching = self._group.create_task(self._watch(turn, asked))
        with taken, Guard(self._log, "turn.crashed", turn_id=turn.turn_id):
            try:
                await turn.run()
            finally:
                watching.cancel()
                del self._turns[turn]

    async def _watch(self, turn: Turn, asked: Asked) -> None:
        """Wait until the client leaves, and tell the turn."""
        with Guard(self._log, "turn.unwatched", turn_id=turn.turn_id):
            await asked.client_left()
            turn.leave()

    def _interrupt(self) -> None:
        for turn in self._turns:
            turn.interrupt()

    async def _finish(self) -> None:
        """Wait until all that was asked is recorded."""
        self.drain()
        if self._turns:
            await asyncio.wait(self._turns.values())
