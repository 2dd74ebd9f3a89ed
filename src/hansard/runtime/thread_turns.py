"""One turn of a thread: what its agent does, told in the log as it happens, recorded at the end.

agent --events--> items and messages in the log --then--> what a snapshot shows
`--end--> messages, usage, holds, the turn's row, its last event: one transaction
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from typing import Any

from msgspec.structs import replace

from hansard.core.errors import Conflict, HansardError, Unavailable, UpstreamFailed
from hansard.core.items import answered
from hansard.core.threads import ThreadStep, TurnEnd
from hansard.core.usage import NewUsage, Pricing, total_of
from hansard.crashes import Guard
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallDone,
    Completed,
    Request,
)
from hansard.runtime.desks import TurnDesk
from hansard.runtime.gates import TurnGate
from hansard.runtime.log import Log, write_payload
from hansard.runtime.observers import TurnEnd as WatchedEnd
from hansard.runtime.observers import TurnStart, Watches
from hansard.runtime.operations import TurnState
from hansard.runtime.stops import Stops
from hansard.runtime.telling import Teller
from hansard.runtime.turn_plans import TurnParts, TurnPlan
from hansard.runtime.turn_records import TurnRecord, recordable
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService

Body = dict[str, Any]


class RunningTurn:
    """A turn under way.

    Args:
        place: Of it among the turns under way; given back at its end, before anybody hears of that.
        ended: Given the step that ends the turn, when it is on disk.

    Attributes:
        told: What it came to so far.
        is_over: The agent has ended; it is only recorded still.
        desk: Where people answer it.
    """

    def __init__(
        self,
        parts: TurnParts,
        plan: TurnPlan,
        record: DatabaseSessions,
        threads: ThreadService,
        log: Log,
        thread_id: str,
        *,
        place: ExitStack,
        ended: Callable[[ThreadStep], None],
    ) -> None:
        self.plan = plan
        self.steer_count = 0
        self.desk = TurnDesk(
            log,
            thread_id,
            plan.turn_id,
            clock=record.clock,
            wait_s=parts.wait_s,
            settings=plan.settings,
        )
        said = [plan.prompt] if plan.kind == "message" else []
        self.told = Teller(log, plan.turn_id, said, self.desk.private)
        self._parts = parts
        record = record.acting_as(dataclasses.replace(record.actor, key_id=plan.key_id))
        self._record = record
        self._threads = threads
        self._log = log
        self._thread_id = thread_id
        self._place = place
        self._ended = ended
        self.is_over = False
        self._stops = Stops(parts.heed_s)
        self._watches = Watches(parts.observers, self._start(), parts.log)
        self._gate = TurnGate(
            parts.keeper,
            record,
            session_id=thread_id,
            turn_id=plan.turn_id,
            agent=plan.agent.name,
            is_clamped=True,
            watch=self._watches,
        )

    @property
    def pricing(self) -> Pricing:
        """Says what its calls cost."""
        return self._gate.pricing

    def state(self, number: int) -> TurnState:
        """Tell how far it came, as far as that is on disk."""
        return TurnState(
            id=self.plan.turn_id,
            number=number,
            kind=self.plan.kind,
            steer_count=self.steer_count,
            started_at_us=self.plan.at_us,
            text="".join(self.told.saying["text"]),
            reasoning="".join(self.told.saying["reasoning"]),
            waits=tuple(self.desk.told.values()),
        )

    async def run(self) -> bool:
        """Take the turn to its end; False if this server has lost the thread meanwhile."""
        end: Completed | AgentFailed = AgentFailed(_crashed())
        is_recorded = False
        with self._place:
            with Guard(self._parts.log, "turn.crashed", turn_id=self.plan.turn_id):
                end = await self._reach_end()
            self.is_over = True
            self.desk.close()
            self._gate.close()
            end = self._with_told_calls(end)
            with Guard(self._parts.log, "turn.unrecorded", turn_id=self.plan.turn_id):
                is_recorded = await self._finish(end)
        self._watches.ended(self._watched(end, self._status_of(end)))
        return is_recorded

    def interrupt(self, why: HansardError | None = None) -> None:
        """Ask no longer; how far it came is recorded."""
        self._stops.interrupt(why)
        self.desk.close()

    def steer(self, prompt: str) -> None:
        """Say something that the agent hears with its next model call, if there is room."""
        self.desk.steer(prompt)
        self.steer_count += 1
        told = {"turn_id": self.plan.turn_id, "input": prompt}
        self._log.put("turn.steered", told, turn_id=self.plan.turn_id)

    async def _reach_end(self) -> Completed | AgentFailed:
        try:
            self._stops.after(self._parts.turn_s, self._time_out)
            return await self._stops.outlast(self._ask)
        except AgentFailed as failed:
            return failed
        except HansardError as error:
            return AgentFailed(error)

    def _time_out(self) -> None:
        self._stops.time_out()
        self.desk.close()

    async def _ask(self) -> Completed:
        body: Body = {"messages": [*self.plan.context, self.plan.prompt], "stream": True}
        if self.plan.model is not None:
            body["model"] = self.plan.model
        settings = self.plan.settings
        request = Request(
            body=body, gate=self._gate, stream=True, desk=self.desk, settings=settings
        )
        async with aclosing(self.plan.agent.run(request)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    return _with_output(event)
                self._stops.check()
                if self.plan.kind == "message" or isinstance(event, CallDone):
                    self.told.tell(event)
                if self._log.is_full or self._log.error is not None:
                    await self._log.drain()
        raise AgentFailed(UpstreamFailed("the answer has no end", code="agent_failed"))

    async def _finish(self, end: Completed | AgentFailed) -> bool:
        """Record the turn, with what nobody has seen yet; False if that cannot be."""
        try:
            await self._log.drain()
            await self._settle(end)
        except HansardError as error:
            code = error.code
            self._parts.log.warning("turn.refused", turn_id=self.plan.turn_id, code=code)
            is_told = isinstance(self._log.error, (Conflict, Unavailable))
            await self._spool_costs(end, besides=self.told.calls if is_told else [])
            return False
        with Guard(self._parts.log, "turn.holds_left", turn_id=self.plan.turn_id):
            await self._spool_costs(end, besides=end.calls)
        return True

    def _with_told_calls(self, end: Completed | AgentFailed) -> Completed | AgentFailed:
        """An end with all calls that were told, whatever the agent says at last."""
        calls = {call.event_id: call for call in (*self.told.made, *end.calls)}
        if isinstance(end, Completed):
            return replace(end, calls=list(calls.values()))
        end.calls = list(calls.values())
        return end

    def _rest(self, end: Completed | AgentFailed, status: str) -> list[Body]:
        """The agent's messages that were not told as whole, or what it was saying.

        What tools were called for and did not give is told with them, once and for all.
        """
        rest = list(map(self.told.to_record, end.messages[len(self.told.messages) - 1 :]))
        unfinished = self.told.unfinished()
        if not rest and unfinished is not None:
            rest = [unfinished]
        return answered(self.told.messages, rest, status)

    def _summary(self, end: Completed | AgentFailed) -> str | None:
        """What stands for the history from now on, after a compaction that went well."""
        if self.plan.kind != "compaction" or not isinstance(end, Completed) or not end.messages:
            return None
        content = recordable(end.messages[-1]).get("content")
        return content if isinstance(content, str) else None

    async def _settle(self, end: Completed | AgentFailed) -> None:
        """Write the end in one transaction."""
        status, summary = self._status_of(end), self._summary(end)
        rest = [] if self.plan.kind == "compaction" else self._rest(end, status)
        events = self.told.last_events(end, status, rest, summary)
        totals = total_of(end.calls, self.plan.at_us, self._gate.pricing)
        over = TurnEnd(
            turn_id=self.plan.turn_id,
            status=status,
            error=_error_of(end),
            usage=write_payload(totals._asdict()),
            steer_count=self.steer_count,
            context=summary
            and write_payload({"message_index": self.plan.message_index, "summary": summary}),
        )
        async with self._log.turn:
            step = self._log.step(events, self._record.clock(), end=over)
            await self._log.commit(step, partial(self._write_end, end.calls))
            self.told.said, self.told.calls = self.told.messages, list(end.calls)
            self._place.close()
            self._ended(step)  # before anybody hears of it, and begins the next
            self._log.note(step)

    async def _write_end(self, calls: list[NewUsage], step: ThreadStep) -> None:
        assert step.end is not None
        if not (self.told.messages or calls):
            await self._threads.write(self._thread_id, step)
            return
        await self._record.settle_turn(
            self._thread_id,
            self.told.messages,
            usage=calls,
            turn_id=self.plan.turn_id,
            status=step.end.status,
            holds=[call.event_id for call in calls],
            at_us=self.plan.at_us,
            agent=self.plan.agent.name,
            model=self.plan.model,
            creates=False,
            step=step,
        )

    async def _spool_costs(
        self, end: Completed | AgentFailed, *, besides: Sequence[NewUsage]
    ) -> None:
        """Keep what the turn cost, besides calls that are counted with its messages."""
        counted = {call.event_id for call in besides}
        usage = [call for call in end.calls if call.event_id not in counted]
        unmade = [*self._gate.doubtful, *(end.unmade if isinstance(end, AgentFailed) else ())]
        known = {*unmade, *(call.event_id for call in end.calls)}
        turn = TurnRecord(
            actor=self._record.actor,
            session_id=None,
            turn_id=self.plan.turn_id,
            status=self._status_of(end),
            at_us=self.plan.at_us,
            usage=usage,
            holds=[call.event_id for call in usage],
            unmade=unmade,
            unknown=[call for call in self._gate.granted if call not in known],
            agent=self.plan.agent.name,
        )
        await self._parts.recorder.record(turn)

    def _status_of(self, end: Completed | AgentFailed) -> str:
        if self._stops.is_interrupted:
            return "interrupted"
        return "completed" if isinstance(end, Completed) else "failed"

    def _start(self) -> TurnStart:
        return TurnStart(
            turn_id=self.plan.turn_id,
            tenant_id=self._record.actor.tenant_id,
            session_id=self._thread_id,
            agent=self.plan.agent.name,
            model=self.plan.model,
            is_stream=True,
            at_us=self.plan.at_us,
            headers=(),
        )

    def _watched(self, end: Completed | AgentFailed, status: str) -> WatchedEnd:
        return WatchedEnd(
            status=status,
            error=end.error.code if isinstance(end, AgentFailed) else None,
            calls=end.calls,
            pricing=self._gate.pricing,
            sent=self.plan.context,
            said=list(map(self.told.to_record, end.messages)),
            finish_reason=end.finish_reason if isinstance(end, Completed) else "",
        )


def _with_output(end: Completed) -> Completed:
    """An end that brings something; a turn without any has failed, whatever the agent says."""
    parts = ("content", "reasoning_content", "tool_calls")
    if any(message.get(part) for message in end.messages for part in parts):
        return end
    error = UpstreamFailed("the agent answered with nothing", code="no_output")
    raise AgentFailed(error, messages=end.messages, calls=end.calls)


def _error_of(end: Completed | AgentFailed) -> str | None:
    if isinstance(end, Completed):
        return None
    return write_payload({"code": end.error.code, "message": end.error.message})


def _crashed() -> HansardError:
    return HansardError("the turn failed; the log knows more by its id")
