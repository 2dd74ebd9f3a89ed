"""What every part of the record on a database shares: where, on whose behalf, at what time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hansard.clock import now_us
from hansard.core.actors import Actor
from hansard.core.ids import Clock, check_id
from hansard.core.paging import Cursors
from hansard.core.sessions import NewSession, Session, check_new_session
from hansard.core.usage import Pricing
from hansard.service.prices import PriceShelf
from hansard.service.runner import Runner
from hansard.store import sessions
from hansard.store.database import Tx

T = TypeVar("T")
MessageList = Sequence[Mapping[str, Any]]


class Bound:
    """A database, an actor and a clock."""

    def __init__(
        self,
        runner: Runner,
        *,
        actor: Actor | None = None,
        clock: Clock = now_us,
        shelf: PriceShelf | None = None,
    ) -> None:
        self.runner = runner
        self.actor = actor or Actor()
        self.clock = clock
        self.shelf = shelf or PriceShelf(runner, clock=clock)

    async def read_session(
        self, session_id: str, fn: Callable[[Tx, Session], T], *, alone: bool = False
    ) -> T:
        """Run ``fn`` on a snapshot, given the session as it is there."""
        check_id(session_id, "session_id")
        read = self.runner.read_alone if alone else self.runner.read
        return await read(lambda tx: fn(tx, sessions.get(tx, self.actor, session_id)))

    async def write_session(self, session_id: str, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` in a transaction, and tell those who follow the session."""
        check_id(session_id, "session_id")
        return await self.runner.write(fn, key=(self.actor.tenant_id, session_id))

    def cursors(self, *scope: object) -> Cursors:
        """The cursors of a list that the actor sees."""
        secret = self.runner.database.secret
        return Cursors(secret, (self.actor.tenant_id, self.actor.owner, *scope))

    async def pricing(self) -> Pricing:
        """How calls of the tenant are priced now."""
        return (await self.shelf.book(self.actor.tenant_id)).price

    def bare_session(self, session_id: str) -> NewSession:
        """A session to be made on the way, with nothing but its id and owner."""
        return check_new_session(session_id=session_id, owner=self.actor.owner, clock=self.clock)
