"""Threads of a record on a database: made, leased, written by their holder, read by anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from hansard.core.paging import Page
from hansard.core.threads import (
    LEASE_US,
    Thread,
    ThreadEvent,
    ThreadQuery,
    ThreadStep,
    ThreadTurn,
    check_thread_id,
)
from hansard.service.thread_copies import ThreadCopies
from hansard.store import sessions, thread_logs, threads
from hansard.store.database import Tx
from hansard.store.sessions import Key
from hansard.store.thread_logs import StepJob

T = TypeVar("T")

Leased = tuple[Key, int]
"""Tenant and thread, and the fence of the lease."""


class ThreadService(ThreadCopies):
    """The threads of a database, as far as its actor reaches."""

    async def get(self, thread_id: str) -> Thread:
        """Return a thread.

        Raises:
            NotFound: If there is none within the actor's reach.
        """
        check_thread_id(thread_id)
        return await self.runner.read(lambda tx: threads.get(tx, self.actor, thread_id))

    async def list(self, query: ThreadQuery) -> Page[Thread]:
        """Return a page of threads, the latest changed first."""
        cursors = self.cursors("threads")
        position = cursors.read(query.cursor)
        read = self.runner.read if query.search is None else self.runner.read_alone
        found = await read(lambda tx: threads.list_page(tx, self.actor, query, position))
        return cursors.page(found, query.limit, lambda last: [last.updated_at_us, last.id])

    async def list_turns(
        self, thread_id: str, *, before: int = 2**53, limit: int = 100
    ) -> Sequence[ThreadTurn]:
        """Return turns before a number, the latest first."""
        return await self._read(
            thread_id,
            lambda tx: threads.list_turns(tx, self.actor, thread_id, before=before, limit=limit),
        )

    async def get_turn(self, thread_id: str, turn_id: str) -> ThreadTurn | None:
        """Return one turn, or None."""
        return await self._read(
            thread_id, lambda tx: threads.get_turn(tx, self.actor, thread_id, turn_id)
        )

    async def list_events(self, thread_id: str, *, after: int, limit: int) -> Sequence[ThreadEvent]:
        """Return events after a number, in order."""
        return await self._read(
            thread_id,
            lambda tx: threads.list_events(tx, self.actor, thread_id, after=after, limit=limit),
        )

    async def lease(
        self, thread_id: str, *, holder: str, url: str | None, lease_us: int = LEASE_US
    ) -> Thread:
        """Take the lease for a server, unless another has it; the thread says who has it then."""
        check_thread_id(thread_id)
        now_us = self.clock()
        return await self.runner.write(
            lambda tx: threads.lease(
                tx,
                self.actor,
                thread_id,
                holder=holder,
                url=url,
                now_us=now_us,
                until_us=now_us + lease_us,
            ),
            key=(self.actor.tenant_id, thread_id),
        )

    async def renew(
        self, leases: Iterable[Leased], *, holder: str, lease_us: int = LEASE_US
    ) -> set[Key]:
        """Renew leases of any tenants; return the threads that are still held."""
        until_us, given = self.clock() + lease_us, sorted(leases)
        return await self.runner.write(
            lambda tx: threads.renew(tx, given, holder=holder, until_us=until_us)
        )

    async def release(self, thread_id: str, *, holder: str, fence: int) -> None:
        """Let go of a thread, if it is still held."""
        key = (self.actor.tenant_id, thread_id)
        await self.runner.write(
            lambda tx: threads.release(tx, key, holder=holder, fence=fence), key=key
        )

    async def find_lost(self, limit: int = 100) -> Sequence[tuple[str, str, str | None]]:
        """Find threads of all tenants whose turn nobody goes on with: tenant, thread, owner."""
        now_us = self.clock()
        return await self.runner.read(lambda tx: threads.find_lost(tx, now_us, limit))

    async def begin_turn(
        self,
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
            Conflict: ``turn_active``, ``lease_lost``, or ``step_written``.
        """
        return await self.write_session(
            thread_id,
            lambda tx: thread_logs.begin_turn(
                tx,
                self.actor,
                thread_id,
                step,
                turn_id=turn_id,
                kind=kind,
                prompt=prompt,
                settings=settings,
                message_index=message_index,
            ),
        )

    async def write(self, thread_id: str, step: ThreadStep) -> int:
        """Write a step together with others that wait; return the number of its last event.

        Raises:
            NotFound: If the thread is gone.
            Conflict: ``lease_lost``, or ``step_written``.
        """
        job = StepJob(self.actor, (self.actor.tenant_id, thread_id), step)
        seq: int = await self.runner.append(job)
        return seq

    async def change(self, thread: Thread, step: ThreadStep) -> int:
        """Write what a thread says of itself now, and the events that tell of it.

        Raises:
            Conflict: ``lease_lost``, or ``step_written``.
        """

        def write(tx: Tx) -> int:
            sessions.describe(
                tx,
                self.actor,
                thread.id,
                title=thread.title,
                model=thread.model,
                system_prompt=thread.system_prompt,
                now_us=step.at_us,
            )
            seq = thread_logs.write(tx, self.actor, thread.id, step)
            threads.change(tx, thread, self.actor.tenant_id)
            return seq

        return await self.write_session(thread.id, write)

    async def _read(self, thread_id: str, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` on a snapshot in which the thread is within reach."""
        check_thread_id(thread_id)

        def read(tx: Tx) -> T:
            threads.get(tx, self.actor, thread_id)
            return fn(tx)

        return await self.runner.read(read)
