"""Chat turns: a question goes to the agent, and what came of it into the record.

    in line -> history -> agent (hold, call, ...) -> record or spool -> the end of the answer

A turn is a task of its own. Its client only listens: when that leaves, the turn goes on, for
a while, so that what is billed is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from hansard.alarms import Alarm
from hansard.core.errors import HansardError, LimitReached, Unavailable, UpstreamFailed
from hansard.core.history import is_whole
from hansard.core.sessions import Session
from hansard.core.turns import make_chat_turn_id
from hansard.runtime.agents.openai_writer import AnswerWriter
from hansard.runtime.agents.protocol import (
    Agent,
    AgentFailed,
    CallDone,
    Completed,
    Event,
    Head,
    Headers,
    MessageDone,
    Reasoning,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
    Wire,
)
from hansard.runtime.deliveries import Delivery
from hansard.runtime.gates import GateKeeper, TurnGate
from hansard.runtime.histories import Bodies, Prompt, complete, find_session
from hansard.runtime.observers import CALLERS_ERRORS, Observer, TurnEnd, TurnStart, Watches
from hansard.runtime.patience import Patience
from hansard.runtime.queues import SessionQueues
from hansard.runtime.recorder import Recorder
from hansard.runtime.stops import Stops
from hansard.runtime.turn_records import TurnRecord, recordable
from hansard.service.sessions import DatabaseSessions

STALL_S: Final = 60.0  # after which a client that reads nothing counts as gone
HISTORY_S: Final = 30.0  # for a history of the longest kind; nobody else waits for it


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
        key: The client's for the question, however often it sends that.
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
    key: str | None = None


class Shared(NamedTuple):
    """What all turns share.

    Attributes:
        turn_s: How long an agent may take.
        left_s: How long one goes on for a client that has left.
    """

    agent: Agent
    queues: SessionQueues
    keeper: GateKeeper
    recorder: Recorder
    patience: Patience
    observers: Sequence[Observer]
    log: FilteringBoundLogger
    turn_s: float
    left_s: float


class Turn:
    """One turn under way.

    Args:
        take: Called with the size of what it reads, in bytes, to have room for it; may raise.

    Attributes:
        is_stream: The client takes a stream of events.
        delivery: What the client gets.
        watches: Told how it goes.
    """

    def __init__(self, shared: Shared, asked: Asked, take: Callable[[int], None]) -> None:
        self._shared = shared
        self._asked = asked
        self._take = take
        self._sent: Bodies = asked.body["messages"]
        self.session_id = asked.session_id
        self.is_stream = asked.body.get("stream") is True
        self._at_us = asked.record.clock()
        self.turn_id = make_chat_turn_id(self._at_us, asked.key)
        self._model: str | None = asked.body.get("model")
        self.watches = Watches(shared.observers, self._start(), shared.log)
        self._gate = TurnGate(
            shared.keeper,
            asked.record,
            session_id=asked.session_id,
            turn_id=self.turn_id,
            agent=shared.agent.name,
            is_clamped=asked.is_clamped,
            watch=self.watches,
        )
        writer = AnswerWriter(
            completion_id=f"chatcmpl-{self.turn_id}",
            model=self._model or shared.agent.name,
            created_s=self._at_us // 1_000_000,
        )
        self.delivery = Delivery(asked.body, writer, self._gate.warnings)
        self._stops = Stops()
        self._session: Session | None = None
        self._prompt: Prompt | None = None
        self._end: Completed | AgentFailed | HansardError = _crashed()
        self._is_asking = self._is_left = self._is_recorded = False

    async def run(self) -> None:
        """Take the turn to its end; what goes wrong is told to the client.

        What nobody foresaw is raised, after all that is known of the turn was recorded.
        """
        try:
            async with AsyncExitStack() as line:
                try:
                    self._end = await self._reach_end(line)
                finally:
                    await self._record()
        finally:
            self._finish()

    def leave(self) -> None:
        """Go on without the client, if there is something to go on with, and nobody waits."""
        self._is_left = True
        self.delivery.pipe.abandon()
        if self._is_asking and not self._shared.queues.waiting(self._line):
            self._stops.after(self._shared.left_s, self._stops.interrupt)
        else:
            self._stops.interrupt()

    def interrupt(self) -> None:
        """Ask no longer; how far it came is recorded."""
        self._stops.interrupt()

    @property
    def _line(self) -> tuple[str, str | None, str | None]:
        """Whose turns it waits for; a session that is somebody else's is not waited for."""
        actor = self._asked.record.actor
        return (actor.tenant_id, actor.owner, self.session_id)

    def _give_way(self) -> None:
        """End for a turn that waits, if nobody listens to this one any more."""
        if self._is_left:
            self._stops.interrupt()

    async def _reach_end(self, line: AsyncExitStack) -> Completed | AgentFailed | HansardError:
        """Wait in line, ask, and return what came of it."""
        try:
            with self._stops:
                if self.session_id is not None:
                    place = self._shared.queues.place(self._line, self._give_way)
                    await line.enter_async_context(place)
                await self._prepare()
                return await self._ask()
        except (AgentFailed, HansardError) as error:
            return error

    async def _prepare(self) -> None:
        """Complete the question; no prompt is made if nobody knows what of it is new.

        Raises:
            Unavailable: ``history_unavailable``, if it may need a history that cannot be read.
        """
        if self.session_id is None:
            self._prompt = Prompt(self._sent, [])
            return
        try:
            self._prompt = await self._read_history(self.session_id)
        except (Unavailable, TimeoutError) as error:
            if not is_whole(self._sent, self._asked.way):
                raise Unavailable(
                    "the session's history cannot be read", code="history_unavailable"
                ) from error

    async def _read_history(self, session_id: str) -> Prompt:
        asked, patience = self._asked, self._shared.patience
        record = asked.record
        spool, key = self._shared.recorder.spool, (record.actor.tenant_id, session_id)
        session = await patience.wait(lambda: find_session(record, session_id))
        if spool.has(key):
            with Alarm(patience.wait_max_s):
                if not await spool.catch_up(key):
                    raise Unavailable("earlier turns of the session are not recorded yet")
            session = await patience.wait(lambda: find_session(record, session_id))
        self._session = session
        with Alarm(HISTORY_S):
            return await complete(record, session, self._sent, asked.way, self._take, asked.key)

    async def _ask(self) -> Completed:
        """Ask the agent, and hand on what it gives."""
        request = Request(
            body={**self._asked.body, "messages": self._given},
            gate=self._gate,
            stream=self.is_stream,
            headers=self._asked.headers,
        )
        self._is_asking = True
        self._stops.after(self._shared.turn_s, self._stops.time_out)
        async with aclosing(self._shared.agent.run(request)) as events:
            async for event in events:
                match event:
                    case Wire():
                        self._keep(len(event.data))
                        self.delivery.pass_on(event)
                    case Head():
                        self.delivery.open(event)
                    case Completed():
                        self.delivery.complete(event)
                        return event
                    case Text():
                        self._keep(len(event.text))
                        self.delivery.say(event)
                    case Reasoning() | ToolCalled() | ToolReturned():
                        self.delivery.say(event)
                    case MessageDone() | CallDone():
                        pass  # told again at the end
                if self.delivery.pipe.is_full:
                    await self._wait_for_client(events)
        raise AgentFailed(UpstreamFailed("the answer has no end", code="agent_failed"))

    def _keep(self, size_bytes: int) -> None:
        """Have room for a piece of the answer, which is kept until the end, or stop the agent.

        It is stopped where it waits next; one that ends without a wait has ended.
        """
        try:
            self._take(size_bytes)
        except LimitReached:
            self._stops.after(0.0, self._stops.interrupt)

    async def _wait_for_client(self, events: AsyncGenerator[Event]) -> None:
        """Wait for a slow client; one that reads nothing for long is left behind.

        Only the agent knows how far it came, so it is told of a stop here as in its own waits.
        """
        timer = asyncio.get_running_loop().call_later(STALL_S, self.leave)
        try:
            await self.delivery.pipe.wait_for_room()
        except asyncio.CancelledError as exc:
            await events.athrow(exc)
            raise
        finally:
            timer.cancel()

    @property
    def _given(self) -> Bodies:
        """What the agent gets."""
        return self._sent if self._prompt is None else self._prompt.messages

    async def _record(self) -> None:
        """Record the turn, or spool it; nothing at all if no call was let through."""
        asked, gate, end = self._asked, self._gate, self._outcome
        new = self._prompt.new if self._prompt and gate.granted else []
        said = map(recordable, end.messages) if self.session_id is not None else ()
        holds = [call.event_id for call in end.calls]
        unmade = [*gate.doubtful, *(end.unmade if isinstance(end, AgentFailed) else ())]
        turn = TurnRecord(
            actor=asked.record.actor,
            session_id=self.session_id,
            creates=self._session is None,
            turn_id=self.turn_id,
            status=self._status,
            at_us=self._at_us,
            messages=[*new, *said],
            sent=self._sent if self._prompt is None and gate.granted else None,
            way=asked.way,
            usage=end.calls,
            holds=holds,
            unmade=unmade,
            unknown=[call_id for call_id in gate.granted if call_id not in {*holds, *unmade}],
            agent=self._shared.agent.name,
            model=self._model,
        )
        await self._shared.recorder.record(turn)
        self._is_recorded = True

    @property
    def _outcome(self) -> Completed | AgentFailed:
        """The end as agents tell it."""
        return AgentFailed(self._end) if isinstance(self._end, HansardError) else self._end

    @property
    def _status(self) -> str:
        if isinstance(self._end, Completed):
            return "completed"
        return "interrupted" if self._stops.is_interrupted else "failed"

    def _finish(self) -> None:
        """Give the client the end, and tell those who watch."""
        if not self._is_recorded:
            self._end = _crashed()
        if isinstance(self._end, Completed):
            self.delivery.release()
        else:
            self.delivery.fail(self._end)
        self.watches.ended(self._told())

    def _start(self) -> TurnStart:
        asked = self._asked
        return TurnStart(
            turn_id=self.turn_id,
            tenant_id=asked.record.actor.tenant_id,
            session_id=asked.session_id,
            agent=self._shared.agent.name,
            model=self._model,
            is_stream=self.is_stream,
            at_us=self._at_us,
            headers=asked.headers,
        )

    def _told(self) -> TurnEnd:
        """How it ended, for those who watch."""
        end, status = self._outcome, self._status
        error = end.error if isinstance(end, AgentFailed) else None
        if status == "failed" and isinstance(error, CALLERS_ERRORS):
            status = "refused"
        return TurnEnd(
            status=status,
            error=None if error is None else error.code,
            calls=end.calls,
            pricing=self._gate.pricing,
            sent=self._given if self._is_asking else (),
            said=end.messages,
            finish_reason=end.finish_reason if isinstance(end, Completed) else "",
        )


def _crashed() -> HansardError:
    return HansardError("the turn failed; the log knows more by its id")
