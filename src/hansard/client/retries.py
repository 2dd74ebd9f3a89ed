"""Retries: when a call is sent again, and how long to wait before.

A call that surely never left may always be sent again. One whose fate is unknown is sent
again only if doing it twice is the same as doing it once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_DOUBLINGS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient the client is.

    Attributes:
        deadline_s: No attempt starts later than this after the first.
        first_s: Longest wait before the second attempt; it doubles from there.
        most_s: Longest wait of all.
        jitter: Gives a number from 0 to 1, so that many clients do not come back at once.
    """

    deadline_s: float = 30.0
    first_s: float = 0.1
    most_s: float = 5.0
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def begin(self) -> Patience:
        """Start the clock of one call."""
        return Patience(self)


class Patience:
    """The patience left for one call."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.renew()

    def renew(self) -> None:
        """Start over, because the other side has answered."""
        self._attempts = 0
        self._deadline = self._policy.monotonic() + self._policy.deadline_s

    async def wait(self, asked_s: float = 0.0) -> bool:
        """Wait before the next attempt, at least as long as the server asked for.

        Returns:
            False, at once, if the next attempt would start after the deadline.
        """
        policy = self._policy
        longest = min(policy.most_s, policy.first_s * 2 ** min(self._attempts, _DOUBLINGS_MAX))
        seconds = max(asked_s, longest * policy.jitter())
        if policy.monotonic() + seconds > self._deadline:
            return False
        self._attempts += 1
        await policy.sleep(seconds)
        return True
