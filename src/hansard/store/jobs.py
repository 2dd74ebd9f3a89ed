"""Jobs: transactions on their way to a thread, and the lanes that they wait in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from hansard.core.errors import Unavailable
from hansard.store.tallies import Tally

if TYPE_CHECKING:
    from hansard.store.database import Tx

Key = tuple[str, str]

BACKLOG_MAX = 10_000  # jobs that may wait: more could not be served before their deadline


class Outcome(Struct, frozen=True):
    """What a function came to: a value or an error."""

    value: Any = None
    error: BaseException | None = None


class Gathered(Struct, frozen=True):
    """What a batch came to: an outcome for each item, and what to count now that it happened.

    Attributes:
        usage: What calls used that were not known, corrections apart.
    """

    outcomes: list[Outcome]
    tally: Mapping[str, int]
    usage: Tally


Done = Callable[[Outcome], None]

DEFERRED = Outcome()
"""A batch gives this for an item that would have to wait for another transaction."""


class Job(Struct, frozen=True):
    """A function to run, or (``fn`` None) an item of a batch.

    Attributes:
        deadline: Moment of the monotonic clock after which nobody waits for it any more.
        key: Session that it changes, if it does.
        size_bytes: What an item adds to its batch.
    """

    fn: Callable[[Tx], Any] | None
    item: Any
    done: Done
    deadline: float
    key: Key | None = None
    size_bytes: int = 0


class Lanes:
    """Hands jobs out in order, those of one session to one thread at a time.

    Jobs of a session that a thread is busy with wait without a thread. So a session that is
    locked by somebody else holds up one thread and its own callers.

    Args:
        most: How many jobs a thread takes together.
        most_bytes: And how large they are together, before the last is added.
    """

    def __init__(self, *, most: int = 1, most_bytes: int = 1) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._backlog = 0
        self._lock = threading.Lock()
        self._free: deque[Job] = deque()
        self._held: dict[Key, list[Job]] = {}
        self._is_closed = False
        self._sleepers = 0
        self._alarm: SimpleQueue[None] = SimpleQueue()  # far cheaper than a Condition

    def put(self, job: Job) -> None:
        """Add a job, for a thread that is awake, or once they are woken.

        Raises:
            Unavailable: If no more jobs are taken.
        """
        with self._lock:
            if self._is_closed:
                raise Unavailable("the record is closed", code="closed")
            if self._backlog >= BACKLOG_MAX:
                raise Unavailable("the record is overloaded", code="overloaded")
            self._add(job)

    def pass_on(self, job: Job) -> None:
        """Add a job that was taken from other lanes before, and wake a thread for it."""
        with self._lock:
            if not self._is_closed:
                self._add(job)
                self._wake(1)
                return
        job.done(Outcome(error=Unavailable("the record is closed", code="closed")))

    def wake(self) -> None:
        """Wake as many threads as there is work for.

        Not done by ``put``: whoever adds several jobs wakes one thread for all of them.
        """
        if self._backlog:
            with self._lock:
                self._wake(self._count_takers())

    def close(self) -> None:
        """Say that no more jobs will come."""
        with self._lock:
            self._is_closed = True
            self._wake(self._sleepers)

    def take(self) -> list[Job]:
        """Wait for jobs and take some; none means that there will be no more."""
        while True:
            with self._lock:
                jobs = self._claim()
                self._backlog -= len(jobs)
                if jobs or (self._is_closed and not self._held):
                    return jobs
                self._sleepers += 1
            self._alarm.get()

    def finish(self, jobs: Iterable[Job]) -> None:
        """Say that jobs are done, and let those go that waited for their sessions."""
        with self._lock:
            for key in {job.key for job in jobs if job.key is not None}:
                self._free.extend(self._held.pop(key))
            others = self._count_takers() - 1  # this thread takes more itself
            self._wake(self._sleepers if self._is_closed else others)

    def _add(self, job: Job) -> None:
        self._backlog += 1
        if job.key in self._held:
            self._held[job.key].append(job)
        else:
            self._free.append(job)

    def _count_takers(self) -> int:
        """Count the threads that it needs to take all jobs that are free."""
        return -(-len(self._free) // self._most)

    def _wake(self, most: int) -> None:
        for _ in range(min(most, self._sleepers)):
            self._sleepers -= 1
            self._alarm.put(None)

    def _claim(self) -> list[Job]:
        claimed: set[Key] = set()
        jobs: list[Job] = []
        size_bytes = 0
        while self._free and len(jobs) < self._most and size_bytes < self._most_bytes:
            job = self._free.popleft()
            if job.key in self._held and job.key not in claimed:
                self._held[job.key].append(job)
                continue
            if job.key is not None and job.key not in claimed:
                claimed.add(job.key)
                self._held[job.key] = []
            jobs.append(job)
            size_bytes += job.size_bytes
        return jobs
