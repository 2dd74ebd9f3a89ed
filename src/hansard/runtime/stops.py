"""Stops: how a turn is stopped from outside, and learns how far it came.

    stop -> its task is cancelled where it waits -> its agent says what it has done -> AgentFailed
                                                 `-> it does not end: it is left to itself

Only the block of a turn that may be stopped is: what has been asked is recorded to its end.
Whatever breaks out of an agent ends its turn, and never the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from hansard.core.errors import HansardError, Unavailable, UpstreamFailed
from hansard.runtime.agents.protocol import AgentFailed

UNAVAILABLE: Final = 503
GATEWAY_TIMEOUT: Final = 504
HEED_S: Final = 5.0  # for which an agent that was stopped may say how far it came

T = TypeVar("T")


class Stops:
    """Lets a block be stopped, once.

    Every way to cancel the block comes out of it as ``AgentFailed``: the end of the process
    is an interruption as any other. An agent that is cancelled says how far it came by the
    cause of its ``CancelledError``. The block stops itself by ``after`` alone: a task that
    cancels itself is cancelled at its next wait, which may be behind the block.

    Args:
        heed_s: How long ``outlast`` waits for a block that was stopped.

    Attributes:
        is_interrupted: It was stopped, and not for taking too long.
    """

    def __init__(self, heed_s: float = HEED_S) -> None:
        self.is_interrupted = False
        self._heed_s = heed_s
        self._ended = asyncio.Event()
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
        reason = self._reason
        if reason is not None and self._task is not None:
            self._task.uncancel()
        if error is not None and not isinstance(error, Exception):
            raise _told_by(error.__cause__, reason or self._why(error)) from error

    async def outlast(self, do: Callable[[], Awaitable[T]]) -> T:
        """Do something that may be stopped, and leave it to itself if it does not heed that.

        Raises:
            AgentFailed: If it was stopped.
        """
        task = asyncio.get_running_loop().create_task(self._do(do))
        task.add_done_callback(self._note_end)
        await self._ended.wait()
        if not task.done():
            assert self._reason is not None
            raise AgentFailed(self._reason.error, status=self._reason.status)
        return task.result()

    def check(self) -> None:
        """Say why it was stopped, if it goes on all the same.

        Raises:
            AgentFailed: If it was.
        """
        if self._reason is not None:
            raise self._reason

    def interrupt(self, why: HansardError | None = None) -> None:
        """Ask no longer; ``why`` if it is not because somebody wanted so."""
        if self._may_be_stopped:
            self._stop(self._interruption(why))

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
        self.after(self._heed_s, self._ended.set)

    async def _do(self, do: Callable[[], Awaitable[T]]) -> T:
        with self:
            return await do()

    def _note_end(self, task: asyncio.Task[T]) -> None:
        self._ended.set()
        if not task.cancelled():
            task.exception()  # which nobody asks for who does not wait any more

    def _why(self, error: BaseException) -> AgentFailed:
        """Why a block ends that was not stopped here: its task was, or the agent wants it so."""
        if isinstance(error, asyncio.CancelledError) and self._task and self._task.cancelling():
            return self._interruption()
        broken = UpstreamFailed(f"the agent ended with {type(error).__name__}", code="agent_failed")
        return AgentFailed(broken)

    def _interruption(self, why: HansardError | None = None) -> AgentFailed:
        self.is_interrupted = True
        why = why or Unavailable("the turn was interrupted", code="turn_interrupted")
        return AgentFailed(why, status=UNAVAILABLE)


def _told_by(agent: BaseException | None, reason: AgentFailed) -> AgentFailed:
    """Why a turn was stopped, and how far it came, if its agent says so."""
    if isinstance(agent, AgentFailed):
        reason.messages, reason.calls, reason.unmade = agent.messages, agent.calls, agent.unmade
    return reason


def draining() -> Unavailable:
    """Why nothing is begun here any more."""
    return Unavailable("the server is about to stop", code="draining")


def server_stopping() -> Unavailable:
    """Why a turn was interrupted that nobody wanted to end."""
    return Unavailable("the server that ran the turn stopped", code="server_stopping")
