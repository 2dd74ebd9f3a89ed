"""A record whose clock is set by hand, and short ways to spend on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hansard import TurnReceipt
from hansard.core.budgets import Admission, Hold
from hansard.core.times import parse_us
from hansard.core.usage import NewUsage
from hansard.service.sessions import DatabaseSessions
from tests.samples import new_hold

NOW = "2026-03-10T12:00:00Z"  # a Tuesday


class Clock:
    """A clock that is set by hand, and gives no moment twice."""

    def __init__(self, now: str = NOW) -> None:
        self.now_us = parse_us(now)

    def __call__(self) -> int:
        self.now_us += 1
        return self.now_us

    def advance(self, seconds: int) -> None:
        self.now_us += 1_000_000 * seconds

    def set(self, now: str) -> None:
        self.now_us = parse_us(now)


async def settle(
    record: DatabaseSessions,
    call_id: str,
    cost_nanousd: int | None = 0,
    *,
    session_id: str | None = None,
    holds: Sequence[str] | None = None,
    at_us: int | None = None,
    agent: str | None = None,
    creates: bool = True,
    **usage: Any,
) -> TurnReceipt:
    """Record one call as a turn, and end its hold."""
    return await record.settle_turn(
        session_id,
        [],
        usage=[NewUsage(event_id=call_id, cost_nanousd=cost_nanousd, **usage)],
        turn_id=f"turn-of-{call_id}",
        status="completed",
        holds=[call_id] if holds is None else holds,
        at_us=record.clock() if at_us is None else at_us,
        agent=agent,
        creates=creates,
    )


async def held_and_spent(
    record: DatabaseSessions, subject: str = "", *, budget_id: str = "b"
) -> tuple[int, int]:
    """What is held and spent of a budget in its present window."""
    _, page = await record.get_budget(budget_id)
    for state in page.items:
        if state.subject == subject:
            return state.held, state.spent
    return 0, 0


async def limit(books: DatabaseSessions, amount: int, budget_id: str = "b", **more: Any) -> None:
    given: dict[str, Any] = {"scope": "tenant", "limit_amount": amount, **more}
    await books.put_budget(budget_id, **given)


async def take(books: DatabaseSessions, call_id: str, cost: int | None, **more: Any) -> Admission:
    return await books.take_hold(new_hold(call_id, cost, **more))


async def find_hold(books: DatabaseSessions, state: str) -> Hold:
    """The only hold in a state."""
    (hold,) = (await books.list_holds(state=state)).items
    return hold
