"""Stops: how a turn is stopped from outside, and learns how far it came.

    stop -> its task is cancelled where it waits -> its agent says what it has done -> AgentFailed

Only the block of a turn that may be stopped is: what has been asked is recorded to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from hansard.core.errors import Unavailable, UpstreamFailed
from hansard.runtime.agents.protocol import AgentFailed

UNAVAILABLE: Final = 503
GATEWAY_TIMEOUT: Final = 504


class Stops:
    """Lets a block be stopped, once.

    Every way to cancel the block comes out of it as ``AgentFailed``: the end of the process
    is an interruption as any other. An agent that is cancelled says how far it came by the
    cause of its ``CancelledError``. The block stops itself by ``after`` alone: a task that
    cancels itself is cancelled at its next wait, which may be behind the block.

    Attributes:
        is_interrupted: It was stopped, and not for taking too long.
    """

    def __init__(self) -> None:
        self.is_interrupted = False
        self._reason: AgentFailed | None = None
        self._is_over = False
        self._task: asyncio.Task[object] | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def __enter__(self) -> Self:
        if self._reason is not None:
            raise self._reason
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        self._is_over = True
        if self._reason is not None and self._task is not None:
            self._task.uncancel()
        if isinstance(error, asyncio.CancelledError):
            raise _told_by(error.__cause__, self._reason or self._interruption()) from error

    def interrupt(self) -> None:
        """Ask no longer."""
        if self._may_be_stopped:
            self._stop(self._interruption())

    def time_out(self) -> None:
        """Likewise, because it takes too long."""
        if self._may_be_stopped:
            late = UpstreamFailed("the turn takes too long", code="turn_timeout")
            self._stop(AgentFailed(late, status=GATEWAY_TIMEOUT))

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do something later, if the block is not over by then."""
        if not self._is_over:
            self._timers.append(asyncio.get_running_loop().call_later(delay_s, do))

    @property
    def _may_be_stopped(self) -> bool:
        return not self._is_over and self._reason is None

    def _stop(self, reason: AgentFailed) -> None:
        self._reason = reason
        if self._task is not None:
            self._task.cancel()

    def _interruption(self) -> AgentFailed:
        self.is_interrupted = True
        interrupted = Unavailable("the turn was interrupted", code="turn_interrupted")
        return AgentFailed(interrupted, status=UNAVAILABLE)


def _told_by(agent: BaseException | None, reason: AgentFailed) -> AgentFailed:
    """Why a turn was stopped, and how far it came, if its agent says so."""
    if isinstance(agent, AgentFailed):
        reason.messages, reason.calls, reason.unmade = agent.messages, agent.calls, agent.unmade
    return reason
