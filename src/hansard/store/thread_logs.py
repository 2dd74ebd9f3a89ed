"""Logs of threads in SQL: written under a fence, in steps that share a transaction with others.

lock the journal's session -> lock the thread -> check fence and number -> add the events -> write
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from hansard.core.actors import Actor
from hansard.core.threads import (
    ThreadStep,
    TurnEnd,
    lease_lost,
    step_written,
    thread_not_found,
    turn_active,
)
from hansard.store.database import ForRows, Row, Tx
from hansard.store.sessions import Key


class StepJob(Struct, frozen=True):
    """A step on its way into the log of the thread ``key``."""

    actor: Actor
    key: Key
    step: ThreadStep

    @property
    def size_bytes(self) -> int:
        """About what it adds to a batch."""
        return self.step.size_bytes


@dataclass(slots=True)
class ThreadHead:
    """The part of a locked thread that steps move on."""

    tenant_id: str
    thread_id: str
    owner: str | None
    seq: int
    turn_count: int
    turn_id: str | None
    latest_turn_id: str | None
    latest_status: str | None
    fence: int
    updated_at_us: int
    is_moved: bool = False


class Logs:
    """The threads of a transaction: locked, moved on in memory, written together.

    Args:
        rows: Of ``thread_lock``.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._heads = {(row[0], row[1]): ThreadHead(*row) for row in rows}
        self._events: list[Row] = []
        self._ends: list[Row] = []
        self._contexts: list[Row] = []

    def __contains__(self, key: Key) -> bool:
        return key in self._heads

    def check(self, key: Key, step: ThreadStep) -> ThreadHead:
        """Find the thread of a step.

        Raises:
            NotFound: If it is gone.
            Conflict: ``lease_lost``, if it is another's by now; ``step_written``, if the step was
                written before.
        """
        head = self._heads.get(key)
        if head is None:
            raise thread_not_found(key[1])
        if head.fence != step.fence:
            raise lease_lost(key[1])
        if head.seq != step.after:
            raise step_written(key[1])
        return head

    def add(self, key: Key, step: ThreadStep) -> int:
        """Add a step to what is to be written; return the number of its last event."""
        head = self.check(key, step)
        for event in step.events:
            head.seq += 1
            self._events.append(
                (
                    *key,
                    head.seq,
                    event.kind,
                    event.turn_id,
                    event.item_id,
                    event.payload,
                    step.at_us,
                )
            )
        head.is_moved = True
        if step.end is not None:
            self._end(head, step.end, step.at_us)
        return head.seq

    def writes(self) -> list[ForRows]:
        """What to write."""
        return [
            ("thread_event_insert", self._events),
            ("thread_turn_end", self._ends),
            (
                "thread_advance",
                [_moved(head) for head in self._heads.values() if head.is_moved],
            ),
        ]

    def contexts(self) -> ForRows:
        """What to write after that."""
        return ("thread_context_put", self._contexts)

    def _end(self, head: ThreadHead, end: TurnEnd, at_us: int) -> None:
        head.turn_id = None
        head.latest_status = end.status
        head.updated_at_us = max(at_us, head.updated_at_us)
        if end.context is not None:
            self._contexts.append((end.context, head.tenant_id, head.thread_id))
        self._ends.append(
            (
                end.status,
                end.error,
                end.usage,
                end.steer_count,
                at_us,
                head.tenant_id,
                head.thread_id,
                end.turn_id,
            )
        )


def write(tx: Tx, actor: Actor, thread_id: str, step: ThreadStep) -> int:
    """Write a step in a transaction of its own; return the number of its last event.

    Raises:
        NotFound: If the thread is gone.
        Conflict: ``lease_lost``.
    """
    key = (actor.tenant_id, thread_id)
    logs = lock(tx, [key])
    seq = logs.add(key, step)
    tx.many(*logs.writes())
    tx.many(logs.contexts())
    return seq


def lock(tx: Tx, keys: Sequence[Key]) -> Logs:
    """Lock threads in one order."""
    (rows,) = tx.look_up((lock_query(wait=True), sorted(set(keys))))
    return Logs(rows)


def lock_query(*, wait: bool) -> str:
    """Name the query that locks threads, for the keys in one order."""
    return "thread_lock" if wait else "thread_lock_free"


def begin_turn(
    tx: Tx,
    actor: Actor,
    thread_id: str,
    step: ThreadStep,
    *,
    turn_id: str,
    kind: str,
    prompt: str,
    settings: str,
    message_index: int,
) -> int:
    """Begin the one turn of a thread; return the number of its last event so far.

    Raises:
        Conflict: ``turn_active``, or ``lease_lost``.
    """
    key = (actor.tenant_id, thread_id)
    logs = lock(tx, [key])
    head = logs.check(key, step)
    if head.turn_id is not None:
        raise turn_active(thread_id, head.turn_id)
    head.turn_id = head.latest_turn_id = turn_id
    head.latest_status = "in_progress"
    head.turn_count += 1
    head.updated_at_us = max(step.at_us, head.updated_at_us)
    tx.run(
        "thread_turn_insert",
        tenant_id=actor.tenant_id,
        thread_id=thread_id,
        number=head.turn_count,
        turn_id=turn_id,
        kind=kind,
        prompt=prompt,
        settings=settings,
        started_seq=head.seq + 1,
        message_index=message_index,
        started_at_us=step.at_us,
    )
    seq = logs.add(key, step)
    tx.many(*logs.writes())
    return seq


def _moved(head: ThreadHead) -> Row:
    return (
        head.seq,
        head.turn_count,
        head.turn_id,
        head.latest_turn_id,
        head.latest_status,
        head.updated_at_us,
        head.tenant_id,
        head.thread_id,
    )
