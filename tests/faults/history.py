"""The history of a run: what callers sent, and what callers and readers were told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hansard import HansardError, TurnReceipt, Unavailable
from hansard.core.usage import NewUsage
from tests.samples import Body

TurnKey = tuple[str, str]

STALL_S = 120.0  # longest time without any news: a stall without end becomes a failure


@dataclass(frozen=True)
class Sent:
    """A turn as a caller sends it; ``turn_id`` is the caller's key."""

    session_id: str
    turn_id: str
    messages: list[Body]
    usage: list[NewUsage]

    @property
    def key(self) -> TurnKey:
        return self.session_id, self.turn_id


@dataclass(frozen=True)
class Snapshot:
    """The whole of a session at one moment."""

    session_id: str
    version: int
    digest: str
    bodies: list[Body]


@dataclass(frozen=True)
class Told:
    """An event, as a follower was told of it."""

    number: int
    turn_id: str | None
    first_seq: int | None
    last_seq: int | None


@dataclass
class History:
    """Everything that callers and readers were told, and a way to wait for more of it."""

    acknowledged: dict[TurnKey, tuple[Sent, TurnReceipt]] = field(default_factory=dict)
    refused: dict[TurnKey, HansardError] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    polled: dict[str, list[int]] = field(default_factory=dict)
    followed: dict[str, list[Told]] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def acknowledge(self, sent: Sent, receipt: TurnReceipt) -> None:
        assert sent.key not in self.acknowledged, f"{sent.key} was sent by two callers"
        self.acknowledged[sent.key] = (sent, receipt)
        self.note()

    def refuse(self, sent: Sent, error: HansardError) -> None:
        self.refused[sent.key] = error
        self.note()

    def fail(self, error: Unavailable) -> None:
        self.failures[error.details.get("reason", error.code)] += 1
        self.note()

    def note(self) -> None:
        """Tell those who wait that something happened."""
        self._changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds that can only change when something is told.

        Raises:
            TimeoutError: If nothing is told for too long.
        """
        while not holds():
            self._changed.clear()
            async with asyncio.timeout(STALL_S):
                await self._changed.wait()

    async def more(self, count: int) -> None:
        """Wait for so many acknowledgements more."""
        goal = len(self.acknowledged) + count
        await self.until(lambda: len(self.acknowledged) >= goal)

    async def more_answers(self, count: int) -> None:
        """Wait until so many calls more were acknowledged, or told to try again."""
        goal = self._answers() + count
        await self.until(lambda: self._answers() >= goal)

    async def more_failures(self, count: int) -> None:
        """Wait until so many calls more were told to try again."""
        goal = self.failures.total() + count
        await self.until(lambda: self.failures.total() >= goal)

    def _answers(self) -> int:
        return len(self.acknowledged) + self.failures.total()


def make_turn(rng: random.Random, session_id: str, turn_id: str) -> Sent:
    """A turn of one to three messages and up to two model calls."""
    messages = [
        {"role": rng.choice(["user", "assistant"]), "content": f"{turn_id}/{n} é\u2028{'x' * 40}"}
        for n in range(rng.randint(1, 3))
    ]
    calls = [
        NewUsage(
            event_id=f"{turn_id}.{n}",
            model=rng.choice(["small", "large"]),
            input_tokens=rng.randint(1, 1_000),
            output_tokens=rng.randint(1, 1_000),
            cost_nanousd=rng.randint(0, 10**6),
        )
        for n in range(rng.randint(0, 2))
    ]
    return Sent(session_id, turn_id, messages, calls)
