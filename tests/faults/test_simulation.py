"""Row 20: thousands of schedules of transactions that interleave, break off and are repeated.

``simulate(seed)`` runs one of them; the same seed is the same schedule, statement by statement.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial

import pytest

from hansard import Actor, Conflict, NotFound, Unavailable
from hansard.clock import now_us
from hansard.core.sessions import SessionChanges
from hansard.core.strict_json import loads
from hansard.store import events, messages, sessions
from hansard.store.batches import batch
from hansard.store.database import Tx
from hansard.store.jobs import DEFERRED, Outcome
from hansard.store.migrate import migrate
from hansard.store.sqlite import SqliteConnection
from hansard.store.turns import Append
from tests.faults.appends import make_append
from tests.faults.harness import seed_told
from tests.faults.history import History, Sent, Snapshot, Told, make_turn
from tests.faults.invariants import check_snapshot
from tests.faults.simulation import Scheduler, World

PARTS = 4
SCHEDULES = 10_000
CALLERS = 3
TURNS_MAX = 2  # of each caller
PROCESSES = 2
SESSIONS_MAX = 2
ACTOR = Actor()
ALL = 1_000  # more rows than any session has
IMPATIENT = 0.2  # share of turns that are sent twice at once
CONDITIONAL = 0.2  # share of turns that must stand where their caller expects
SNAPSHOTS = 0.1  # share of reads that keep a snapshot


@dataclass(frozen=True)
class Stage:
    """What schedules use one after the other; each has sessions of its own."""

    bare: sqlite3.Connection
    threads: Executor


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A database in memory, and threads."""
    with closing(SqliteConnection(":memory:", 1.0, Counter())) as connection:
        migrate(connection, now_us)
        with ThreadPoolExecutor(PROCESSES + 2) as threads:
            yield Stage(connection.script(lambda bare: bare), threads)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_schedule_keeps_what_was_promised(stage: Stage, part: int) -> None:
    for seed in range(part, SCHEDULES, PARTS):
        with seed_told(seed):
            simulate(stage, seed)


def simulate(stage: Stage, seed: int) -> History:
    """Run one schedule to its end and check what is left."""
    scheduler = Scheduler(random.Random(seed))
    schedule = Schedule(World(stage.bare, scheduler), seed)
    work = [partial(schedule.process, queue) for queue in schedule.queues]
    scheduler.run(stage.threads, *work, schedule.read, schedule.edit)
    check_snapshot(schedule.world.tx, schedule.history)
    return schedule.history


@dataclass(frozen=True)
class Call:
    """A turn on its way; a caller may have several calls of one turn on their ways."""

    caller: int
    sent: Sent
    append: Append


class Schedule:
    """Callers whose calls lie in the queues of processes, and those who read beside them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = world.scheduler.rng
        self.history = History()
        self.names = [f"{seed}.{n}" for n in range(self.rng.randint(1, SESSIONS_MAX))]
        self.queues: list[list[Call]] = [[] for _ in range(PROCESSES)]
        self._writing = PROCESSES + 1
        self._to_come = [self.rng.randint(1, TURNS_MAX) for _ in range(CALLERS)]
        self._count = sum(self._to_come)
        for caller in range(CALLERS):
            self._send_next(caller)

    def process(self, queue: list[Call]) -> None:
        """Run some of what waits in one transaction, again and again, until all is answered."""
        while not self._is_answered() or queue:
            self.world.scheduler.pause(lambda: bool(queue) or self._is_answered())
            calls = [queue.pop(0) for _ in range(self.rng.randint(0, len(queue)))]
            if calls:
                for call, outcome in zip(calls, self._run(calls), strict=True):
                    self._answer(call, outcome)
        self._writing -= 1

    def read(self) -> None:
        """Ask for what is new after each commit, and keep a snapshot now and then."""
        commits = -1
        while commits < self.world.commits or self._writing:
            self.world.scheduler.pause(partial(self._is_news, commits))
            commits = self.world.commits
            for name in self.names:
                if not self.world.is_being_made((ACTOR.tenant_id, name)):
                    self._read(name)

    def edit(self) -> None:
        """Give sessions other titles now and then, and lock them all as a purge does."""
        for n in range(self.rng.randint(0, 3)):
            self.world.scheduler.pause()
            with suppress(NotFound, Unavailable):
                self.world.transact(partial(self._edit, name=self.rng.choice(self.names), n=n))
        self._writing -= 1

    def _edit(self, tx: Tx, *, name: str, n: int) -> None:
        sessions.lock_many(tx, [(ACTOR.tenant_id, name) for name in self.names], wait=True)
        changes = SessionChanges(title=f"{n}")
        sessions.update(tx, ACTOR, name, changes, expected_version=None, now_us=n)

    def _read(self, name: str) -> None:
        tx, history = self.world.tx, self.history
        seen = history.polled.setdefault(name, [])
        followed = history.followed.setdefault(name, [])
        after = seen[-1] if seen else None
        seen += [one.seq for one in messages.list_page(tx, ACTOR, name, after=after, limit=ALL)]
        followed += [
            Told(event.number, event.turn_id, event.first_seq, event.last_seq)
            for event in events.list_page(tx, ACTOR, name, after=len(followed), limit=ALL)
        ]
        if followed and self.rng.random() < SNAPSHOTS:
            session = sessions.get(tx, ACTOR, name)
            bodies = [loads(text) for text in messages.list_texts(tx, ACTOR, name, first=0)]
            history.snapshots.append(Snapshot(name, session.version, session.digest, bodies))

    def _run(self, calls: list[Call], *, alone: bool = False) -> list[Outcome]:
        appends = [call.append for call in calls]
        try:
            outcomes = self.world.transact(
                lambda tx: batch(tx, appends, sure=alone, wait=alone).outcomes
            )
        except Unavailable as error:
            return [Outcome(error=error)] * len(calls)
        return [
            self._run([call], alone=True)[0] if outcome is DEFERRED else outcome
            for call, outcome in zip(calls, outcomes, strict=True)
        ]

    def _answer(self, call: Call, outcome: Outcome) -> None:
        history, key = self.history, call.sent.key
        if key in history.acknowledged:
            if outcome.error is None:
                first = history.acknowledged[key][1]
                assert replace(outcome.value, replayed=first.replayed) == first
            else:
                assert isinstance(outcome.error, Unavailable), "an acknowledged turn was refused"
        elif isinstance(outcome.error, Unavailable):
            self.rng.choice(self.queues).append(call)
        elif key in history.refused:
            assert isinstance(outcome.error, Conflict), "a refused turn was acknowledged"
        else:
            if isinstance(outcome.error, Conflict):
                history.refuse(call.sent, outcome.error)
            else:
                assert outcome.error is None
                history.acknowledge(call.sent, outcome.value)
            self._send_next(call.caller)

    def _send_next(self, caller: int) -> None:
        """Let a caller send its next turn, sometimes twice, sometimes to a certain place."""
        if not self._to_come[caller]:
            return
        self._to_come[caller] -= 1
        turn_id = f"{caller}.{self._to_come[caller]}"
        sent = make_turn(self.rng, self.rng.choice(self.names), turn_id)
        seen = self.history.polled.get(sent.session_id, [])
        expected_seq = len(seen) if self.rng.random() < CONDITIONAL else None
        call = Call(caller, sent, make_append(sent, expected_seq))
        for _ in range(2 if self.rng.random() < IMPATIENT else 1):
            self.rng.choice(self.queues).append(call)

    def _is_answered(self) -> bool:
        return len(self.history.acknowledged) + len(self.history.refused) == self._count

    def _is_news(self, commits: int) -> bool:
        return self.world.commits > commits or not self._writing
