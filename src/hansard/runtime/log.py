"""The log of one thread, as its engine writes it: in order, many events at once.

    put, put, put_delta, put_delta -> wait 32 ms, unless it is urgent -> one step -> told to readers

Pieces of a text that wait together become one event. What a step brings is seen by nobody
before it is on disk. A step names the event that it follows, so it is written again until somebody
knows what became of it, and lands once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from hansard.core.errors import Conflict, HansardError, Unavailable
from hansard.core.threads import (
    LEASE_LOST,
    STEP_WRITTEN,
    NewEvent,
    ThreadEvent,
    ThreadStep,
    TurnEnd,
)
from hansard.runtime.turn_records import clean
from hansard.service.threads import ThreadService

GATHER_S: Final = 0.032  # for which pieces of a text wait for each other
GATHER_BYTES: Final = 16 * 1024  # or until they are so many
PENDING_MAX_BYTES: Final = 1024 * 1024  # beyond which an agent waits for the disk
AGAIN_S: Final = 0.5  # between two tries of a step that the record did not take

Then = Callable[[], None]

_ENCODER: Final = msgspec.json.Encoder()


def write_payload(payload: object) -> str:
    """Write what an event carries, as far as it is text that the record can hold."""
    try:
        return _ENCODER.encode(payload).decode()
    except UnicodeEncodeError:  # half a surrogate pair
        return _ENCODER.encode(clean(payload)).decode()


@dataclass(slots=True)
class _Entry:
    """An event to be written; one of a text grows while it waits."""

    kind: str
    turn_id: str | None
    item_id: str | None
    payload: str
    then: Then | None
    pieces: list[str] = field(default_factory=list)
    item_kind: str = ""
    then_text: Callable[[str], None] | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def event(self) -> NewEvent:
        payload = self.payload
        if self.pieces:
            payload = write_payload({"delta": self.text, "kind": self.item_kind})
        return NewEvent(self.kind, payload, self.turn_id, self.item_id)

    def landed(self) -> None:
        if self.then is not None:
            self.then()
        if self.then_text is not None:
            self.then_text(self.text)


class Log:
    """Writes one thread's events under one lease.

    Args:
        threads: Of the record, on behalf of the thread's owner.
        seq: Number of the last event.
        holds: Tells whether the lease is still ours.
        failed: Called when nothing is written any more.
        publish: Given what was written.

    Attributes:
        error: Why nothing is written any more.
        turn: Held by whoever writes: events are numbered in the order of their writing.
    """

    def __init__(
        self,
        threads: ThreadService,
        thread_id: str,
        *,
        fence: int,
        seq: int,
        holds: Callable[[], bool],
        failed: Callable[[], None],
        publish: Callable[[list[ThreadEvent]], None],
    ) -> None:
        self.fence = fence
        self.seq = seq
        self.error: HansardError | None = None
        self._threads = threads
        self._thread_id = thread_id
        self._holds = holds
        self._failed = failed
        self._publish = publish
        self._pending: list[_Entry] = []
        self._size_bytes = 0
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self.turn = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether more waits to be written than should."""
        return self._size_bytes > PENDING_MAX_BYTES

    def put(
        self,
        kind: str,
        payload: object,
        *,
        turn_id: str | None = None,
        item_id: str | None = None,
        then: Then | None = None,
    ) -> None:
        """Write an event soon; ``then`` is called when it is on disk."""
        self._add(_Entry(kind, turn_id, item_id, write_payload(payload), then))
        self._due.set()

    def put_delta(
        self,
        item_kind: str,
        text: str,
        *,
        turn_id: str,
        item_id: str,
        then: Callable[[str], None],
    ) -> None:
        """Write a piece of an item's text; ``then`` is given the pieces that are on disk."""
        last = self._pending[-1] if self._pending else None
        if last is not None and last.pieces and last.item_id == item_id:
            last.pieces.append(text)
            self._size_bytes += len(text)
        else:
            entry = _Entry("item.delta", turn_id, item_id, "", None, [text], item_kind, then)
            self._add(entry)
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(GATHER_S, self._due.set)
        if self._size_bytes >= GATHER_BYTES:
            self._due.set()

    async def drain(self) -> None:
        """Wait until all that was put is on disk.

        Raises:
            HansardError: If it will not be.
        """
        if self._pending:
            self._due.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self.error is not None:
            raise self.error

    def step(
        self, events: tuple[NewEvent, ...], at_us: int, *, end: TurnEnd | None = None
    ) -> ThreadStep:
        """Make the step that comes next, for whoever holds the turn."""
        return ThreadStep(fence=self.fence, after=self.seq, events=events, at_us=at_us, end=end)

    async def commit(
        self, step: ThreadStep, write: Callable[[ThreadStep], Awaitable[object]]
    ) -> None:
        """Write a step, until it is known to be on disk.

        Raises:
            HansardError: If it is not. Nothing is written any more if nobody knows, or if the
                thread is another's.
        """
        is_again = False
        while self.error is None:
            try:
                await write(step)
            except Unavailable as error:
                if not self._holds():
                    self._fail(error)
                    raise
            except Conflict as error:
                if error.code == STEP_WRITTEN and is_again:
                    return
                if error.code in {LEASE_LOST, STEP_WRITTEN}:
                    self._fail(error)
                raise
            else:
                return
            is_again = True
            await asyncio.sleep(AGAIN_S)
        raise self.error

    def note(self, step: ThreadStep) -> None:
        """Go on behind a step that is on disk, and tell readers."""
        told = [
            ThreadEvent(
                seq=seq,
                kind=event.kind,
                turn_id=event.turn_id,
                item_id=event.item_id,
                payload=event.payload,
                created_at_us=step.at_us,
            )
            for seq, event in enumerate(step.events, step.after + 1)
        ]
        self.seq += len(told)
        self._publish(told)

    def _add(self, entry: _Entry) -> None:
        if self.error is not None:
            return
        self._pending.append(entry)
        self._size_bytes += len(entry.payload) + sum(map(len, entry.pieces))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    def _forget(self) -> None:
        self._pending = []
        self._size_bytes = 0
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: HansardError) -> None:
        if self.error is None:
            self.error = error
            self._failed()

    async def _write_all(self) -> None:
        error: HansardError | None = Unavailable("the log cannot be written", code="log_failed")
        try:
            while self._pending:
                await self._due.wait()
                async with self.turn:
                    entries = self._pending
                    self._forget()
                    await self._write(entries)
            error = None
        except HansardError as exc:
            error = exc
        finally:
            self._writing = None
            if error is not None:
                self._fail(error)

    async def _write(self, entries: list[_Entry]) -> None:
        events = tuple(entry.event() for entry in entries)
        step = self.step(events, self._threads.clock())
        await self.commit(step, partial(self._threads.write, self._thread_id))
        self.note(step)
        for entry in entries:
            entry.landed()
