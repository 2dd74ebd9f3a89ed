"""Jobs: transactions on their way to a thread, and the queues that they wait in.

    Queue   first in, first out, shared by threads
    Lanes   the same, but of one session only one job at a time is handed out

A session that is locked by somebody else thus holds up one thread, and its own callers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hansard.store.database import Tx

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function came to: a value or an error."""

    value: Any = None
    error: BaseException | None = None


Done = Callable[[Outcome], None]

DEFERRED = Outcome()
"""A batch gives this for an item that would have to wait for another transaction."""


@dataclass(frozen=True, slots=True)
class Job:
    """A function to run, or (``fn`` None) an item of a batch.

    Attributes:
        deadline: Moment of the monotonic clock after which nobody waits for it any more.
        key: Session that it changes, if it does.
    """

    fn: Callable[[Tx], Any] | None
    item: Any
    done: Done
    deadline: float
    key: Key | None = None


class Queue:
    """Hands jobs out in order; None says that there will be no more."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()

    def put(self, job: Job) -> None:
        """Add a job."""
        self._jobs.put(job)

    def close(self, takers: int) -> None:
        """Tell as many threads that there will be no more."""
        for _ in range(takers):
            self._jobs.put(None)

    def take(self) -> Job | None:
        """Wait for a job."""
        return self._jobs.get()

    def take_all(self, most: int) -> tuple[list[Job], bool]:
        """Wait for a job and take those behind it; the second value says that it was the end."""
        job = self._jobs.get()
        jobs: list[Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == most:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs, False
        return jobs, True

    def finish(self, job: Job) -> None:
        """Say that a job is done."""


class Lanes(Queue):
    """Hands out one job of a session at a time; the others wait without a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._waiting: dict[Key, deque[Job]] = {}

    def put(self, job: Job) -> None:
        """Add a job."""
        if job.key is not None:
            with self._lock:
                lane = self._waiting.get(job.key)
                if lane is not None:
                    lane.append(job)
                    return
                self._waiting[job.key] = deque()
        super().put(job)

    def finish(self, job: Job) -> None:
        """Say that a job is done, and let the next of its session go."""
        if job.key is None:
            return
        with self._lock:
            lane = self._waiting[job.key]
            if not lane:
                del self._waiting[job.key]
                return
            following = lane.popleft()
        super().put(following)
