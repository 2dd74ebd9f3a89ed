"""Jobs: transactions on their way to a thread, and the lanes that they wait in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from hansard.store.database import Tx

Key = tuple[str, str]


class Outcome(Struct, frozen=True):
    """What a function came to: a value or an error."""

    value: Any = None
    error: BaseException | None = None


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

    Attributes:
        backlog: How many jobs wait.
    """

    def __init__(self) -> None:
        self.backlog = 0
        self._lock = threading.Lock()
        self._free: deque[Job] = deque()
        self._held: dict[Key, list[Job]] = {}
        self._is_closed = False
        self._sleepers = 0
        self._alarm: SimpleQueue[None] = SimpleQueue()  # far cheaper than a Condition

    def put(self, job: Job) -> None:
        """Add a job."""
        with self._lock:
            self.backlog += 1
            if job.key in self._held:
                self._held[job.key].append(job)
            else:
                self._free.append(job)
                self._wake(1)

    def close(self) -> None:
        """Say that no more jobs will come."""
        with self._lock:
            self._is_closed = True
            self._wake(self._sleepers)

    def take(self, most: int, *, most_bytes: int = 1) -> list[Job]:
        """Wait for jobs and take up to ``most``; none means that there will be no more.

        Those taken together are not larger than ``most_bytes`` before the last is added.
        """
        while True:
            with self._lock:
                jobs = self._claim(most, most_bytes)
                self.backlog -= len(jobs)
                if jobs or (self._is_closed and not self._held):
                    return jobs
                self._sleepers += 1
            self._alarm.get()

    def finish(self, jobs: Iterable[Job]) -> None:
        """Say that jobs are done, and let those go that waited for their sessions."""
        with self._lock:
            for key in {job.key for job in jobs if job.key is not None}:
                self._free.extend(self._held.pop(key))
            self._wake(self._sleepers if self._is_closed else len(self._free))

    def _wake(self, most: int) -> None:
        for _ in range(min(most, self._sleepers)):
            self._sleepers -= 1
            self._alarm.put(None)

    def _claim(self, most: int, most_bytes: int) -> list[Job]:
        claimed: set[Key] = set()
        jobs: list[Job] = []
        size_bytes = 0
        while self._free and len(jobs) < most and size_bytes < most_bytes:
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
