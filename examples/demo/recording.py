"""Recording through the service, with many clients at once and a crash half way."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import hansard
from examples.demo.conversations import AGENT, MODEL, Conversation, Turn
from examples.demo.service import Service
from hansard import SessionService, TurnReceipt, Unavailable

CLIENTS: Final = 16
PATIENCE_S: Final = 30.0


class Ledger:
    """What the service answered, by session and turn; ``half_way`` is set when half has come."""

    def __init__(self, half: int) -> None:
        self.told: dict[tuple[str, str], TurnReceipt] = {}
        self.half_way = asyncio.Event()
        self._half = half

    def add(self, session_id: str, receipt: TurnReceipt) -> None:
        """Keep an answer."""
        self.told[session_id, receipt.turn_id] = receipt
        if len(self.told) >= self._half:
            self.half_way.set()


@dataclass(frozen=True)
class Crash:
    """What a crash did.

    Attributes:
        acknowledged: Turns that had been answered before.
        lost: Those of them that are not in the file, or not as answered.
        down_s: How long nobody answered.
    """

    acknowledged: int
    lost: int
    down_s: float


@dataclass(frozen=True)
class Recorded:
    """What came of it; ``replayed`` counts the turns whose first answer was lost."""

    acknowledged: int
    replayed: int
    crash: Crash
    took_s: float


async def record_all(
    service: Service, database_url: str, conversations: Sequence[Conversation]
) -> Recorded:
    """Record every turn of every conversation, and kill the service half way."""
    started = time.monotonic()
    ledger = Ledger(sum(len(conversation.turns) for conversation in conversations) // 2)
    waiting = deque(conversations)
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(service.url, waiting, ledger))
        await ledger.half_way.wait()
        crash = await _crash(service, database_url, ledger)
    return Recorded(
        acknowledged=len(ledger.told),
        replayed=sum(receipt.replayed for receipt in ledger.told.values()),
        crash=crash,
        took_s=time.monotonic() - started,
    )


async def _client(url: str, waiting: deque[Conversation], ledger: Ledger) -> None:
    async with hansard.open(url, retry_deadline_s=PATIENCE_S) as record:
        while waiting:
            conversation = waiting.popleft()
            await _create(record, conversation)
            for turn in conversation.turns:
                ledger.add(conversation.id, await _append(record, conversation, turn))


async def _create(record: SessionService, conversation: Conversation) -> None:
    async def create() -> None:
        await record.create(
            session_id=conversation.id, title=conversation.title, agent=AGENT, model=MODEL
        )

    try:
        await create()
    except Unavailable:  # the answer was lost: look before asking again
        if not await record.exists(conversation.id):
            await create()


async def _append(record: SessionService, conversation: Conversation, turn: Turn) -> TurnReceipt:
    # The turn's id makes it safe to send again, so the client does, until it is answered.
    return await record.append_turn(
        conversation.id, turn.messages, usage=turn.usage, turn_id=turn.id
    )


async def _crash(service: Service, database_url: str, ledger: Ledger) -> Crash:
    service.kill()
    killed = time.monotonic()
    before = dict(ledger.told)
    lost = await _count_lost(database_url, before)
    await asyncio.to_thread(service.start)
    return Crash(acknowledged=len(before), lost=lost, down_s=time.monotonic() - killed)


async def _count_lost(database_url: str, told: Mapping[tuple[str, str], TurnReceipt]) -> int:
    """Open the file that the dead process left, and look every answer up in it."""
    found = {}
    async with hansard.open(database_url) as record:
        for session_id in {session_id for session_id, _ in told}:
            for turn in (await record.list_turns(session_id, limit=1_000)).items:
                found[session_id, turn.turn_id] = _answer(turn)
    return sum(found.get(key) != _answer(receipt) for key, receipt in told.items())


def _answer(of: hansard.Turn | TurnReceipt) -> tuple[object, ...]:
    return of.first_seq, of.last_seq, of.version, of.usage
