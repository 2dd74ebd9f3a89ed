"""Chat turns: a question goes to the agent, and what came of it into the record.

    in line -> history -> agent (hold, call, ...) -> record or spool -> the end of the answer

A turn is a task of its own. Its client only listens: when that leaves, the turn goes on, for
a while, so that what is billed is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from hansard.core.errors import HansardError, Unavailable, UpstreamFailed
from hansard.core.history import is_whole
from hansard.core.ids import NOISE, make_ulid
from hansard.runtime.agents.openai_writer import AnswerWriter
from hansard.runtime.agents.protocol import (
    Agent,
    AgentFailed,
    Completed,
    Event,
    Head,
    Headers,
    Request,
    Wire,
)
from hansard.runtime.deliveries import Delivery
from hansard.runtime.gates import GateKeeper, TurnGate
from hansard.runtime.histories import Bodies, Prompt, prepare
from hansard.runtime.observers import CALLERS_ERRORS, Observer, TurnEnd, TurnStart, Watches
from hansard.runtime.patience import Patience
from hansard.runtime.queues import SessionQueues
from hansard.runtime.recorder import Recorder
from hansard.runtime.turn_records import TurnRecord, recordable
from hansard.service.sessions import DatabaseSessions

STALL_S: Final = 60.0  # after which a client that reads nothing counts as gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client asks for.

    Attributes:
        record: The record, as far as the client reaches.
        session_id: None for a question of no session.
        body: The request, without fields of ours; its messages are the history, or what is
            new of it.
        size_bytes: Of the body as it came.
        way: Which of the two the messages are, see ``core.history``.
        is_clamped: Lower the output limit where a budget is too small for it.
        headers: For an upstream.
        client_left: Returns when the client has gone.
    """

    record: DatabaseSessions
    session_id: str | None
    body: dict[str, Any]
    size_bytes: int
    way: str
    is_clamped: bool
    headers: Headers
    client_left: Callable[[], Awaitable[None]]


class Tools(NamedTuple):
    """What all turns share.

    Attributes:
        turn_max_s: How long an agent may take.
        drain_s: How long one goes on for a client that has left.
    """

    agent: Agent
    queues: SessionQueues
    keeper: GateKeeper
    recorder: Recorder
    patience: Patience
    observers: Sequence[Observer]
    turn_max_s: float
    drain_s: float


class _Stage(Enum):
    WAITING = auto()  # nothing has been asked yet
    ASKING = auto()
    RECORDING = auto()
    OVER = auto()


_STOPPABLE: Final = (_Stage.WAITING, _Stage.ASKING)


class Turn:
    """One turn under way.

    Attributes:
        is_stream: The client takes a stream of events.
        delivery: What the client gets.
        watches: Told how it goes.
    """

    def __init__(self, tools: Tools, asked: Asked) -> None:
        self._tools = tools
        self._asked = asked
        self._sent: Bodies = asked.body["messages"]
        self.session_id = asked.session_id
        self.is_stream = asked.body.get("stream") is True
        self._at_us = asked.record.clock()
        self.turn_id = "turn_" + make_ulid(self._at_us, NOISE)
        model = asked.body.get("model")
        self._model = model if isinstance(model, str) else None
        self.watches = Watches(tools.observers, self._start())
        self._gate = TurnGate(
            tools.keeper,
            asked.record,
            session_id=asked.session_id,
            turn_id=self.turn_id,
            agent=tools.agent.name,
            is_clamped=asked.is_clamped,
            watch=self.watches,
        )
        writer = AnswerWriter(
            completion_id=f"chatcmpl-{self.turn_id}",
            model=self._model or tools.agent.name,
            created_s=self._at_us // 1_000_000,
        )
        self.delivery = Delivery(asked.body, writer, self._gate.warnings)
        self._stage = _Stage.WAITING
        self._stopped: AgentFailed | None = None
        self._given: Bodies = []
        self._end: Completed | AgentFailed | None = None
        self._error: HansardError | None = None
        self._is_released = False
        self._is_left = False
        self._timers: list[asyncio.TimerHandle] = []
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Take the turn to its end; what goes wrong is told to the client."""
        self._task = asyncio.current_task()
        session_id = self._asked.session_id
        key = (self._asked.record.actor.tenant_id, session_id)
        try:
            async with nullcontext() if session_id is None else self._tools.queues.place(key):
                await self._answer(await self._prepare())
        except (HansardError, AgentFailed) as error:
            self._fail(error)
        except asyncio.CancelledError:
            if not self._end_stop():
                raise
            assert self._stopped is not None
            self._fail(self._stopped)
        finally:
            self._stage = _Stage.OVER
            self.watches.ended(self._told())
            for timer in self._timers:
                timer.cancel()

    async def watch(self) -> None:
        """Wait until the client leaves."""
        await self._asked.client_left()
        self.leave()

    def leave(self) -> None:
        """Go on without the client, if there is something to go on with."""
        if self._is_left or self._stage is _Stage.OVER:
            return
        self._is_left = True
        self.delivery.pipe.abandon()
        if self._stage is _Stage.WAITING:
            self.interrupt()
        else:
            self._set_timer(self._tools.drain_s, self.interrupt)

    def interrupt(self) -> None:
        """Ask no longer; how far it came is recorded."""
        self._stop(Unavailable("the turn was interrupted", code="turn_interrupted"), 503)

    def _time_out(self) -> None:
        self._stop(UpstreamFailed("the turn takes too long", code="turn_timeout"), 504)

    def _stop(self, error: HansardError, status: int) -> None:
        if self._stopped is None and self._stage in _STOPPABLE:
            self._stopped = AgentFailed(error, status=status)
            assert self._task is not None
            self._task.cancel()

    def _end_stop(self) -> bool:
        """Take back that the task was cancelled, if it was by a stop of ours."""
        if self._stopped is None or self._task is None or not self._task.cancelling():
            return False
        return self._task.uncancel() == 0

    def _set_timer(self, delay_s: float, do: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, do))

    async def _prepare(self) -> Prompt | None:
        """Complete the question; None if nobody knows what of it is new.

        Raises:
            Unavailable: ``history_unavailable``, if it may need a history that cannot be read.
        """
        session_id, way = self._asked.session_id, self._asked.way
        if session_id is None:
            return Prompt(self._sent, [])
        try:
            return await self._tools.patience.wait(lambda: self._read_history(session_id))
        except Unavailable as error:
            if is_whole(self._sent, way):
                return None
            raise Unavailable(
                "the session's history cannot be read", code="history_unavailable"
            ) from error

    async def _read_history(self, session_id: str) -> Prompt:
        record, spool = self._asked.record, self._tools.recorder.spool
        key = (record.actor.tenant_id, session_id)
        if spool.has(key) and not await spool.catch_up(key):
            raise Unavailable("earlier turns of the session are not recorded yet")
        return await prepare(record, session_id, self._sent, self._asked.way)

    async def _answer(self, prompt: Prompt | None) -> None:
        """Ask the agent, record what came of it, and let the client know the end."""
        self._given = self._sent if prompt is None else prompt.messages
        request = Request(
            body={**self._asked.body, "messages": self._given},
            gate=self._gate,
            stream=self.is_stream,
            headers=self._asked.headers,
        )
        try:
            completed = await self._ask(request)
        except AgentFailed as failed:
            await self._record(prompt, failed)
            raise
        except HansardError as error:
            await self._record(prompt, AgentFailed(error))
            raise
        await self._record(prompt, completed)
        self.delivery.release()
        self._is_released = True

    async def _ask(self, request: Request) -> Completed:
        self._stage = _Stage.ASKING
        self._set_timer(self._tools.turn_max_s, self._time_out)
        try:
            async with aclosing(self._tools.agent.run(request)) as events:
                return await self._relay(events)
        except asyncio.CancelledError as exc:
            if self._stopped is None:
                raise
            raise _told_by(exc.__cause__, self._stopped) from exc
        finally:
            self._stage = _Stage.RECORDING
            self._end_stop()

    async def _relay(self, events: AsyncIterator[Event]) -> Completed:
        """Hand on what the agent gives; return its end."""
        delivery, completed = self.delivery, None
        async for event in events:
            match event:
                case Wire():
                    delivery.pass_on(event)
                case Head():
                    delivery.open(event)
                case Completed():
                    completed = event
                    delivery.complete(event)
                case _:
                    delivery.say(event)
            if delivery.pipe.is_full:
                await self._wait_for_client()
        if completed is None:
            raise AgentFailed(UpstreamFailed("the answer has no end", code="agent_failed"))
        return completed

    async def _wait_for_client(self) -> None:
        """Wait for a slow client; one that reads nothing for long is left behind."""
        timer = asyncio.get_running_loop().call_later(STALL_S, self.leave)
        try:
            await self.delivery.pipe.wait_for_room()
        finally:
            timer.cancel()

    async def _record(self, prompt: Prompt | None, end: Completed | AgentFailed) -> None:
        """Record the turn, or spool it; nothing at all if no call was let through."""
        self._end = end
        asked, gate = self._asked, self._gate
        new: Bodies = []
        sent: Bodies | None = None
        if prompt is None and gate.granted:
            sent = self._sent
        elif prompt is not None and gate.granted:
            new = prompt.new
        said = map(recordable, end.messages) if asked.session_id is not None else ()
        turn = TurnRecord(
            actor=asked.record.actor,
            session_id=asked.session_id,
            turn_id=self.turn_id,
            status=self._status(end),
            at_us=self._at_us,
            messages=[*new, *said],
            sent=sent,
            way=asked.way,
            usage=end.calls,
            holds=[call.event_id for call in end.calls],
            unmade=[*gate.doubtful, *(end.unmade if isinstance(end, AgentFailed) else ())],
            agent=self._tools.agent.name,
            model=self._model,
        )
        await self._tools.recorder.record(turn)

    def _status(self, end: Completed | AgentFailed) -> str:
        if isinstance(end, Completed):
            return "completed"
        return "interrupted" if self._is_interrupted else "failed"

    @property
    def _is_interrupted(self) -> bool:
        return self._stopped is not None and isinstance(self._stopped.error, Unavailable)

    def _fail(self, error: HansardError | AgentFailed) -> None:
        self._error = error.error if isinstance(error, AgentFailed) else error
        self.delivery.fail(error)

    def _start(self) -> TurnStart:
        asked = self._asked
        return TurnStart(
            turn_id=self.turn_id,
            tenant_id=asked.record.actor.tenant_id,
            session_id=asked.session_id,
            agent=self._tools.agent.name,
            model=self._model,
            is_stream=self.is_stream,
            at_us=self._at_us,
            headers=asked.headers,
        )

    def _told(self) -> TurnEnd:
        """How it ended, for those who watch."""
        end, error = self._end, self._error
        status = "completed" if self._is_released else "failed"
        if error is not None and self._is_interrupted:
            status = "interrupted"
        elif isinstance(error, CALLERS_ERRORS):
            status = "refused"
        return TurnEnd(
            status=status,
            error=None if self._is_released else error.code if error else "crashed",
            calls=end.calls if end else (),
            pricing=self._gate.pricing,
            sent=self._given,
            said=end.messages if end else (),
            finish_reason=end.finish_reason if isinstance(end, Completed) else "",
        )


def _told_by(agent: BaseException | None, stopped: AgentFailed) -> AgentFailed:
    """Why a turn was stopped, and how far it came, if its agent says so."""
    if not isinstance(agent, AgentFailed):
        return stopped
    return AgentFailed(
        stopped.error,
        status=stopped.status,
        messages=agent.messages,
        calls=agent.calls,
        unmade=agent.unmade,
    )
