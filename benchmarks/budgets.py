"""Rows: holds on budgets, counted and timed.

take_hold, settle_turn    with two budgets, and where none is set
append_turn               the same turn by somebody who takes no hold
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import ENGINES, Bench, Row, at_least, sqlite_url
from benchmarks.children import Child, compare
from benchmarks.hansard_side import Appends, create_sessions
from benchmarks.turns import COST_NANOUSD, MESSAGES, MODEL, PROVIDER, USAGE
from hansard.compose import open_database
from hansard.core.budgets import NewHold
from hansard.core.errors import LimitReached
from hansard.core.usage import NewUsage
from hansard.service.sessions import DatabaseSessions

CALLERS = 32
CROWD, ROOM = 50, 10
PLENTY_NANOUSD = 10**15
ANSWER_MAX_US = 600_000_000


def rows(bench: Bench) -> Iterator[Row]:
    """What is admitted, then what admission costs."""
    for engine in ENGINES:
        admitted = asyncio.run(_crowd(bench.database(engine), bench.amounts.rounds))
        yield Row(
            f"{CROWD} concurrent calls on a budget for {ROOM}, from two records, {engine}",
            f"{'/'.join(map(str, sorted(set(admitted))))} admitted",
            f"exactly {ROOM}",
            set(admitted) == {ROOM},
            f"{len(admitted)} times",
        )
    for engine in ENGINES:
        yield from _turns(bench, engine)


def _turns(bench: Bench, engine: str) -> Iterator[Row]:
    sessions, amounts = bench.amounts.few_sessions, bench.amounts
    disk = "" if bench.slow_fsync is None else ", fsync costs 1 ms"
    what = f"take_hold and settle_turn on two budgets, {engine}, {CALLERS} callers, "
    what += f"{sessions:,} sessions{disk}"
    with ExitStack() as stack:
        budgeted, free, alone = (
            stack.enter_context(_side(bench, engine, sessions, **how))
            for how in ({"is_budgeted": True}, {"is_budgeted": False}, {"is_held": False})
        )
        found = compare(budgeted, free, rounds=amounts.rounds, amount=amounts.seconds)
        than = "the same without a budget"
        yield at_least(0.7, found.ratio, what, than=than, detail=found.detail())
        found = compare(budgeted, alone, rounds=amounts.rounds, amount=amounts.seconds)
        figure = f"{found.ratio:.2f} x append_turn alone"
        yield Row("the same", figure, detail=found.detail())


def _side(
    bench: Bench, engine: str, sessions: int, *, is_held: bool = True, is_budgeted: bool = False
) -> Child:
    preload: Path | None = None
    if engine == "SQLite":
        preload = bench.slow_fsync
        url = sqlite_url(bench.folder(in_memory=preload is not None))
    else:
        url = str(bench.postgres(slow=bench.slow_fsync is not None).ask("create_database"))
    asyncio.run(create_sessions(url, sessions))
    if is_budgeted:
        asyncio.run(_set_budgets(url))
    entry = "benchmarks.budgets:HeldTurns" if is_held else "benchmarks.hansard_side:Appends"
    return Child(entry, preload=preload, url=url, callers=CALLERS, sessions=sessions)


class HeldTurns(Appends):
    """A side whose callers take a hold before each turn, and settle it with the turn."""

    async def append(self, session_id: str, turn_id: str) -> None:
        now_us = self.record.clock()
        await self.record.take_hold(_hold(turn_id, session_id, now_us))
        await self.record.settle_turn(
            session_id,
            MESSAGES,
            usage=[NewUsage(event_id=turn_id, **USAGE)],
            turn_id=turn_id,
            status="completed",
            holds=[turn_id],
            at_us=now_us,
        )


async def _crowd(url: str, rounds: int) -> list[int]:
    """How many calls get through, in each of some budgets."""
    async with open_database(url) as one, open_database(url) as other:
        return [await _admit(one, other, f"crowd-{number}") for number in range(rounds)]


async def _admit(one: DatabaseSessions, other: DatabaseSessions, session_id: str) -> int:
    limit = ROOM * COST_NANOUSD
    await one.put_budget(session_id, scope="session", subject=session_id, limit_amount=limit)
    calls = [
        (one, other)[number % 2].take_hold(_hold(f"{session_id}-{number}", session_id, one.clock()))
        for number in range(CROWD)
    ]
    told = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in told if isinstance(answer, BaseException)]
    assert all(isinstance(error, LimitReached) for error in refused), refused
    return len(told) - len(refused)


def _hold(call_id: str, session_id: str, now_us: int) -> NewHold:
    """A hold for exactly what a call of these benchmarks costs."""
    return NewHold(
        call_id=call_id,
        session_id=session_id,
        turn_id=call_id,
        agent=None,
        provider=PROVIDER,
        model_asked=MODEL,
        fixed_nanousd=COST_NANOUSD,
        fixed_tokens=USAGE["input_tokens"],
        output_pico_per_token=0,
        output_tokens=USAGE["output_tokens"],
        least_output_tokens=None,
        expires_at_us=now_us + ANSWER_MAX_US,
    )


async def _set_budgets(url: str) -> None:
    async with open_database(url) as record:
        await record.put_budget("all", scope="tenant", period="day", limit_amount=PLENTY_NANOUSD)
        await record.put_budget("each", scope="session", subject="*", limit_amount=PLENTY_NANOUSD)
