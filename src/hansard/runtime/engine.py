"""Engines: one for each loaded thread, an actor that holds what the thread's agent knows.

    operations --mailbox--> engine --starts--> turn (a task of its own)
        ^                     |  ^                |
        `---- each answers ---'  `--- ends, once -'

The engine reads its mailbox also while a turn runs, so a snapshot never waits for the end of
one. What it shows is on disk: the state of a running turn moves on only as its log does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from hansard.core.errors import Conflict, HansardError, NotFound
from hansard.core.ids import make_ulid
from hansard.core.items import with_answers
from hansard.core.sessions import SYSTEM_PROMPT_LENGTH_MAX
from hansard.core.thread_edits import Editor, update
from hansard.core.thread_settings import change_settings, write_settings
from hansard.core.threads import (
    PROMPT_SHOWN,
    NewEvent,
    Thread,
    ThreadStep,
    check_prompt,
    turn_active,
)
from hansard.core.usage import NewUsage, UsageTotals, total_of
from hansard.crashes import Guard
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.feeds import Feed
from hansard.runtime.journals import read_journal
from hansard.runtime.log import Log, write_payload
from hansard.runtime.mailboxes import Mailbox, stopped
from hansard.runtime.operations import (
    SUM_UP,
    BeginTurn,
    Change,
    Compact,
    GetSessionSnapshot,
    Interrupt,
    Operation,
    SendMessage,
    Shutdown,
    Snapshot,
    Steer,
    SyncSession,
)
from hansard.runtime.stops import draining, server_stopping
from hansard.runtime.telling import first_events, started
from hansard.runtime.thread_turns import RunningTurn
from hansard.runtime.turn_plans import TurnParts, TurnPlan
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService

T = TypeVar("T")
Body = dict[str, Any]


class Engine:
    """The engine of one thread; it knows the history after the first ``SyncSession``.

    Args:
        record: On behalf of the thread's owner.

    Attributes:
        feed: Where readers of this process are told.
        lease_until_s: When the lease ends, by the loop's clock.
        saving: Held by whoever saves the thread: one does it after the other.
        is_draining: No turn begins any more.
    """

    def __init__(
        self,
        parts: TurnParts,
        record: DatabaseSessions,
        threads: ThreadService,
        thread: Thread,
        feed: Feed,
        *,
        agent: Agent,
        lease_until_s: float,
    ) -> None:
        assert thread.lease is not None
        self._thread = thread
        self.feed = feed
        self.lease_until_s = lease_until_s
        self.used_at_s = asyncio.get_running_loop().time()
        self.turn: RunningTurn | None = None
        self.saving = asyncio.Lock()
        self.is_draining = False
        self._parts = parts
        self._record = record
        self._threads = threads
        self._messages: list[Body] = []
        self._last_call: NewUsage | None = None
        self._agent = agent
        self._turn_task: asyncio.Task[None] | None = None
        self._mailbox = Mailbox()
        self._users = 0
        self._is_lost = self._is_stopping = self._is_busy = False
        self._log = Log(
            threads,
            thread.id,
            fence=thread.lease.fence,
            seq=thread.seq,
            holds=self.holds_lease,
            failed=self.stop,
            publish=feed.publish,
        )

    @property
    def thread(self) -> Thread:
        """The thread's head, as it was written last."""
        return replace(self._thread, seq=self._log.seq)

    @property
    def fence(self) -> int:
        """That of its lease."""
        return self._log.fence

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        is_used = self._is_busy or self._users or not self._mailbox.is_empty
        return self.turn is None and not is_used

    def holds_lease(self) -> bool:
        """Tell whether the lease is ours for some time yet."""
        is_lost = self._is_lost or self._log.error is not None
        return not is_lost and asyncio.get_running_loop().time() < self.lease_until_s

    async def ask(self, operation: Operation[T]) -> T:
        """Have something done, and wait for the answer.

        Raises:
            LimitReached: ``mailbox_full``.
            Unavailable: ``engine_stopped``.
        """
        self.used_at_s = asyncio.get_running_loop().time()
        return await self._mailbox.ask(operation)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Stay loaded: it is asked more than once, or has to be waited for."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def decide(self, approval_id: str, decision: str, *, remember: bool) -> None:
        """Answer whether a tool may be called; with ``remember`` also all that are to come.

        Raises:
            InvalidInput: ``invalid_decision``.
            NotFound: ``approval_not_found``.
        """
        if self.turn is None:
            raise NotFound("no turn is under way", code="approval_not_found")
        self.turn.desk.decide(approval_id, decision, remember=remember)
        if remember and decision == "allow":
            await self.ask(Change(edit=update({}, {"permission_posture": "full_access"})))

    async def wait_for_turn(self) -> None:
        """Wait until no turn runs."""
        if self._turn_task is not None and not self._turn_task.done():
            await asyncio.wait([self._turn_task])

    async def run(self) -> None:
        """Do what is asked, one after another, until ``Shutdown``."""
        operation: Operation[Any] | None = None
        try:
            while not isinstance(operation, Shutdown):
                operation = await self._mailbox.take()
                self._is_busy = True
                await self._carry_out(operation)
                self._is_busy = False
        finally:
            self._mailbox.close()
            self.stop()
            await self.wait_for_turn()

    def stop(self) -> None:
        """Interrupt what runs, or is about to: the lease is lost, or the server stops."""
        self._is_stopping = self.is_draining = True
        if self.turn is not None:
            self.turn.interrupt(server_stopping())

    async def _carry_out(self, operation: Operation[Any]) -> None:
        """Do one thing; whoever asked may have gone, or have read on disk that the turn is over."""
        if self.turn is not None and self.turn.is_over:
            await self.wait_for_turn()
        answer: Any = None
        error: HansardError | None = None
        with Guard(self._parts.log, "operation.crashed", thread_id=self._thread.id) as guard:
            try:
                answer = await self._do(operation)
            except HansardError as exc:
                error = exc
        if guard.error is not None:
            error = HansardError("the operation failed; the log knows more")
        if operation.answer.done():
            return
        if error is not None:
            operation.answer.set_exception(error)
        else:
            operation.answer.set_result(answer)

    async def _do(self, operation: Operation[Any]) -> Any:
        answer: Any = None
        match operation:
            case SendMessage():
                answer = await self._begin("message", operation.message(), operation)
            case Compact():
                if not self._messages:
                    raise Conflict("there is nothing to sum up", code="empty_thread")
                answer = await self._begin("compaction", SUM_UP, operation)
            case Steer(turn_id=turn_id, prompt=prompt):
                turn = self._running(turn_id)
                turn.steer(check_prompt(prompt, SYSTEM_PROMPT_LENGTH_MAX))
                answer = turn.steer_count
            case Interrupt(turn_id=turn_id):
                turn = self._running(turn_id)
                self._log.put("turn.interrupt_requested", {"turn_id": turn_id}, turn_id=turn_id)
                turn.interrupt()
            case SyncSession():
                answer = await self._sync()
            case GetSessionSnapshot():
                answer = self._snapshot()
            case Change(edit=edit):
                answer = await self._change(edit)
            case Shutdown():
                await self.wait_for_turn()
        return answer

    async def _sync(self) -> Thread:
        if self.turn is not None:
            raise turn_active(self._thread.id, self.turn.plan.turn_id)
        await self._log.drain()
        thread = await self._threads.get(self._thread.id)
        self._messages = await read_journal(self._record, thread)
        self._thread = replace(thread, message_count=len(self._messages))
        return self.thread

    async def _begin(self, kind: str, prompt: Body, asked: BeginTurn) -> str:
        """Begin a turn: its row and its first events are on disk when this returns."""
        if self.turn is not None:
            raise turn_active(self._thread.id, self.turn.plan.turn_id)
        if self.is_draining:
            raise draining()
        await self._log.drain()
        settings = change_settings(self._thread.settings, asked.settings)
        at_us = self._record.clock()
        plan = TurnPlan(
            turn_id="turn_" + make_ulid(at_us),
            agent=self._agent,
            model=asked.model or self._thread.model,
            context=self._context(),
            prompt=prompt,
            kind=kind,
            message_index=len(self._messages),
            key_id=asked.key_id,
            settings=settings,
            at_us=at_us,
        )
        with ExitStack() as stack:
            tenant_id = self._record.actor.tenant_id
            stack.enter_context(self._parts.places.taken(tenant_id, 1))
            await self._write_beginning(plan, asked.summary)
            place = stack.pop_all()
        self.turn = RunningTurn(
            self._parts,
            plan,
            self._record,
            self._threads,
            self._log,
            self._thread.id,
            place=place,
            ended=self._end_turn,
        )
        self._turn_task = asyncio.get_running_loop().create_task(self._take_turn(self.turn))
        if self._is_stopping:
            self.stop()
        return plan.turn_id

    async def _write_beginning(self, plan: TurnPlan, summary: str) -> None:
        turn_id, is_message = plan.turn_id, plan.kind == "message"
        events = first_events(turn_id, plan.prompt) if is_message else started(turn_id)
        begin = partial(
            self._threads.begin_turn,
            self._thread.id,
            turn_id=turn_id,
            kind=plan.kind,
            prompt=(summary or (plan.prompt["content"] if is_message else ""))[:PROMPT_SHOWN],
            settings=write_settings(plan.settings),
            message_index=plan.message_index,
        )
        async with self._log.turn:
            step = self._log.step(events, plan.at_us)
            await self._log.commit(step, begin)
            self._log.note(step)
        self._thread = replace(
            self._thread,
            turn_id=turn_id,
            latest_turn_id=turn_id,
            latest_status="in_progress",
            turn_count=self._thread.turn_count + 1,
            updated_at_us=plan.at_us,
        )

    async def _take_turn(self, turn: RunningTurn) -> None:
        if not await turn.run():  # the thread is another's by now, or cannot be written
            self._is_lost = True
            self.turn = None
        self.used_at_s = asyncio.get_running_loop().time()

    def _end_turn(self, step: ThreadStep) -> None:
        """Take over what a turn came to, which is on disk."""
        turn, end = self.turn, step.end
        assert turn is not None
        assert end is not None
        self._messages += turn.told.said
        self._last_call = turn.told.last_call or self._last_call
        self._thread = replace(
            self._thread,
            turn_id=None,
            latest_status=end.status,
            updated_at_us=max(step.at_us, self._thread.updated_at_us),
            context=end.context or self._thread.context,
            message_count=len(self._messages),
            usage=self._usage_with(turn),
        )
        self.turn = None

    async def _change(self, edit: Editor) -> Thread:
        async with self._log.turn:  # so that no turn ends between the look and the write
            fields, kind, payload = edit(self.thread)
            changed = replace(self._thread, **fields)
            events = (NewEvent(kind, write_payload(payload)),)
            step = self._log.step(events, self._record.clock())
            await self._log.commit(step, partial(self._threads.change, changed))
            self._thread = changed
            self._log.note(step)
        return self.thread

    def _snapshot(self) -> Snapshot:
        if not self.holds_lease():  # others may have written since
            raise stopped()
        thread, turn, call = self.thread, self.turn, self._last_call
        messages = list(self._messages)
        if turn is not None:
            messages += turn.told.said
            thread = replace(thread, usage=self._usage_with(turn))
            call = turn.told.last_call or call
        return Snapshot(
            thread=thread,
            messages=messages,
            usage=thread.total_usage,
            model=thread.model or (call.model if call is not None else None),
            provider=call.provider if call is not None else None,
            seq=thread.seq,
            turn=None if turn is None else turn.state(thread.turn_count),
        )

    def _usage_with(self, turn: RunningTurn) -> UsageTotals:
        used = total_of(turn.told.calls, turn.plan.at_us, turn.pricing)
        return self._thread.usage.plus(used)

    def _context(self) -> list[Body]:
        """What the agent gets before the prompt."""
        told: list[Body] = []
        if self._thread.system_prompt:
            told.append({"role": "system", "content": self._thread.system_prompt})
        return [*told, *with_answers(self._thread.shorten(self._messages))]

    def _running(self, turn_id: str) -> RunningTurn:
        """The turn that runs.

        Raises:
            Conflict: ``turn_not_active``.
        """
        turn = self.turn
        if turn is None or turn.is_over or turn.plan.turn_id != turn_id:
            raise Conflict("that turn is not under way", code="turn_not_active", turn_id=turn_id)
        return turn
