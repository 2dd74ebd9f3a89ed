"""The runtime: the engines of this server, their leases, and what dead servers left behind.

    request -> engine here                       -> asked
            -> nobody's -> lease -> recover -> load -> asked
            -> another server's                  -> ``HeldElsewhere``: the request goes there

Engines that nobody asks are let go, the least recently used first, never one with a turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakValueDictionary

from hansard.core.actors import Actor
from hansard.core.errors import Conflict, Unavailable
from hansard.core.items import Folded
from hansard.core.threads import (
    LEASE_US,
    Thread,
    ThreadTurn,
    thread_not_found,
)
from hansard.crashes import Guard
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.engine import Engine
from hansard.runtime.feeds import Feeds, LogReader, Wake
from hansard.runtime.leases import HeldElsewhere, Leases
from hansard.runtime.operations import Shutdown, SyncSession
from hansard.runtime.recovery import read_turn, recover
from hansard.runtime.stops import draining
from hansard.runtime.thread_turns import RunningTurn
from hansard.runtime.turn_plans import TurnParts
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService

ENGINES_MAX: Final = 256  # that are loaded; more only while all of them run turns

Key = tuple[str, str]
Body = dict[str, Any]


class Runtime:
    """The threads that live in this server; an async context manager.

    Args:
        record: An open record.
        agents: By their names in threads.
        url: Where other servers reach this one.
        engines_max: How many stay loaded.
        lease_s: How long a thread is this server's without a word from it.
        drain_s: How long turns go on once the server is to stop.

    Attributes:
        leases: Those that this server has.
    """

    def __init__(
        self,
        record: DatabaseSessions,
        agents: Mapping[str, Agent],
        parts: TurnParts,
        *,
        url: str | None = None,
        engines_max: int = ENGINES_MAX,
        lease_s: float = LEASE_US / 1_000_000,
        drain_s: float = 0.0,
    ) -> None:
        self.agents = agents
        self.feeds = Feeds()
        self.leases = Leases(record.clock(), url, lease_s)
        self._record = record
        self._parts = parts
        self._engines_max = engines_max
        self._drain_s = drain_s
        self._is_draining = False
        self.counts = Counter(snapshots=0, leases_lost=0)
        self._engines: dict[Key, Engine] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._loading: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._group = asyncio.TaskGroup()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to look after leases."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._group)
            for chore in (self._renew, self._find_lost):  # neither waits for the other
                stack.callback(self._group.create_task(self._keep(chore)).cancel)
            stack.push_async_callback(self._finish)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let turns end, as far as there is time, record all, and let go of all leases."""
        await self._stack.aclose()

    def drain(self) -> None:
        """Begin no more turns, interrupt in time those that run, and let go of the others."""
        if self._is_draining:
            return
        self._is_draining = True
        for key, engine in self._engines.items():
            self._retire(key, engine)
        asyncio.get_running_loop().call_later(self._drain_s, self._interrupt)

    @property
    def engines(self) -> int:
        """How many are loaded."""
        return len(self._engines)

    @property
    def turns(self) -> list[RunningTurn]:
        """Those that run here."""
        engines = self._engines.values()
        return [engine.turn for engine in engines if engine.turn is not None]

    def threads(self, actor: Actor) -> ThreadService:
        """The threads of the record, on behalf of somebody."""
        return ThreadService(self._record.runner, actor=actor, clock=self._record.clock)

    async def fold(self, actor: Actor, thread: Thread, turn: ThreadTurn) -> Folded:
        """Make of the events of a running turn what they say, as far as the thread was read."""
        return await read_turn(self.threads(actor), thread.id, turn.started_seq, until=thread.seq)

    async def engine(self, actor: Actor, thread_id: str) -> Engine:
        """Return the engine of a thread, loaded if it is not here yet.

        Raises:
            NotFound: If there is no such thread within the actor's reach.
            HeldElsewhere: If another server holds it.
            Conflict: ``agent_unknown``.
        """
        engine = self._find_holding((actor.tenant_id, thread_id))
        if engine is None:
            engine = await self._find_or_load(actor, thread_id)
        if not actor.may_see(engine.thread.owner):
            raise thread_not_found(thread_id)
        return engine

    def check_room(self, actor: Actor) -> None:
        """Check that one more turn may begin.

        Raises:
            LimitReached: ``too_many_turns``.
        """
        with self._parts.places.taken(actor.tenant_id, 1):
            pass

    def source(
        self, actor: Actor, thread: Thread, *, after: int
    ) -> Callable[[Wake], AbstractContextManager[LogReader]]:
        """Give what reads a thread's log after an event, first the past, then what comes."""
        return partial(
            self.feeds.reading, self.threads(actor), thread.id, after=after, last=thread.seq
        )

    def _find_holding(self, key: Key) -> Engine | None:
        engine = self._engines.get(key)
        return engine if engine is not None and engine.holds_lease() else None

    async def _find_or_load(self, actor: Actor, thread_id: str) -> Engine:
        """Load an engine, once however many ask, and after the one before has let go."""
        key = (actor.tenant_id, thread_id)
        lock = self._loading.setdefault(key, asyncio.Lock())
        async with lock:
            if (engine := self._find_holding(key)) is not None:
                return engine
            if key in self._engines:
                self._let_go(key)
            if key in self._running:
                await asyncio.wait([self._running[key]])
            return await self._load(actor, thread_id)

    async def _load(self, actor: Actor, thread_id: str) -> Engine:
        if self._is_draining:
            raise draining()
        asked = self.threads(actor)
        agent_name = (await asked.get(thread_id)).agent
        agent = self.agents.get(agent_name)
        if agent is None:
            raise Conflict("no agent of that name is here", code="agent_unknown", agent=agent_name)
        async with self.leases.taken(asked, thread_id) as (thread, until_s):
            return await self._start(actor, agent, thread, until_s)

    async def _start(self, actor: Actor, agent: Agent, thread: Thread, until_s: float) -> Engine:
        """Begin an engine for a thread that is leased."""
        thread_id = thread.id
        owner = Actor(actor.tenant_id, thread.owner, sees_all=actor.sees_all)
        record, threads = self._record.acting_as(owner), self.threads(owner)
        if thread.turn_id is not None:
            await recover(record, threads, thread)
            thread = await threads.get(thread_id)
        key = (actor.tenant_id, thread_id)
        feed = self.feeds.open(key, thread.seq)
        feed.begin(thread.seq)
        engine = Engine(
            self._parts,
            record,
            threads,
            thread,
            feed,
            agent=agent,
            lease_until_s=until_s,
        )
        self._running[key] = self._group.create_task(self._run(key, engine))
        try:
            await engine.ask(SyncSession())
        except BaseException:
            self._group.create_task(_shut_down(engine))
            raise
        self._engines[key] = engine
        self._make_room(key)
        if self._is_draining:
            self._retire(key, engine)
        return engine

    async def _run(self, key: Key, engine: Engine) -> None:
        """Run an engine to its end; the thread is anybody's then."""
        with Guard(self._parts.log, "engine.crashed", thread_id=key[1]):
            await engine.run()
        if self._engines.get(key) is engine:
            del self._engines[key]
        engine.feed.end()
        self.feeds.leave(key)
        with Guard(self._parts.log, "engine.unreleased", thread_id=key[1]):
            threads = self.threads(Actor(key[0], engine.thread.owner))
            await self.leases.release(threads, key[1], engine.fence)
        del self._running[key]

    def _make_room(self, fresh: Key) -> None:
        idle = sorted(
            [
                (engine.used_at_s, key)
                for key, engine in self._engines.items()
                if engine.is_idle and key != fresh
            ]
        )
        for _, key in idle[: max(0, len(self._engines) - self._engines_max)]:
            self._let_go(key)

    def _let_go(self, key: Key) -> None:
        engine = self._engines.pop(key)
        if not engine.holds_lease():
            engine.stop()
        self._group.create_task(_shut_down(engine))

    async def _keep(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again."""
        while True:
            await asyncio.sleep(self.leases.renew_s)
            with Guard(self._parts.log, "leases.crashed"):
                await do()

    async def _renew(self) -> None:
        """Renew leases, and let go of engines that lost theirs."""
        engines = dict(self._engines)
        if not engines:
            return
        fences = {key: engine.fence for key, engine in engines.items()}
        until_s = await self.leases.renew(self.threads(Actor()), fences)
        for key, engine in engines.items():
            engine.lease_until_s = until_s.get(key, engine.lease_until_s)
            if not engine.holds_lease() and self._engines.get(key) is engine:
                self.counts["leases_lost"] += 1
                self._let_go(key)

    async def _find_lost(self) -> None:
        """End the turns of servers that are gone."""
        for tenant_id, thread_id, owner in await self.threads(Actor()).find_lost():
            with Guard(self._parts.log, "turn.not_recovered", thread_id=thread_id):
                await self._recover(Actor(tenant_id, owner), thread_id)

    async def _recover(self, actor: Actor, thread_id: str) -> None:
        """End the turn of a thread that nobody holds any more."""
        key, threads = (actor.tenant_id, thread_id), self.threads(actor)
        async with self._loading.setdefault(key, asyncio.Lock()):
            if key in self._running:
                return
            with suppress(HeldElsewhere):  # somebody else has seen it too
                async with self.leases.taken(threads, thread_id) as (thread, _):
                    if thread.turn_id is not None:
                        await recover(self._record.acting_as(actor), threads, thread)
                    assert thread.lease is not None
                    await self.leases.release(threads, thread_id, thread.lease.fence)

    def _retire(self, key: Key, engine: Engine) -> None:
        """Let go of an engine when its turn has ended."""

        async def leave() -> None:
            await engine.wait_for_turn()
            if self._engines.get(key) is engine:
                self._let_go(key)

        engine.is_draining = True
        self._group.create_task(leave())

    def _interrupt(self) -> None:
        for engine in self._engines.values():
            engine.stop()

    async def _finish(self) -> None:
        """Wait until all turns are recorded; what waits for people is not answered any more."""
        self.drain()
        for engine in self._engines.values():
            if engine.turn is not None and engine.turn.desk.is_asking:
                engine.stop()
        if self._running:
            await asyncio.wait(self._running.values())


async def _shut_down(engine: Engine) -> None:
    with suppress(Unavailable):  # it has stopped already
        await engine.ask(Shutdown())
