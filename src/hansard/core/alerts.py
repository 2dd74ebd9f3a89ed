"""Alerts: thresholds of budgets that were crossed, each told once.

An alert is claimed before it is told, for a while: whoever claims it tells it, and if that
fails or nobody hears of it any more, it is due again. So the log has it once, and a receiver
once or, where an answer was lost, twice under the same id.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from hansard.core.budgets import Budget, format_amount
from hansard.core.periods import FOREVER_US
from hansard.core.times import format_us

EVENT: Final = "budget.threshold"
CLAIM_US: Final = 60_000_000  # how long a claim holds; a telling takes seconds
PAUSE_MIN_US: Final = 10_000_000  # after the first failure, then twice as long each time
PAUSE_MAX_US: Final = 3_600_000_000
TRIED_FOR_US: Final = 3 * 86_400_000_000  # a receiver may be away over a weekend
_DOUBLINGS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A threshold that was crossed.

    Attributes:
        subject: Whose window it was; empty for the tenant's.
        used: Spent and held together, when it was crossed.
        limit_amount: The limit of that moment.
        attempts: How often somebody claimed it, so far.
    """

    budget: Budget
    subject: str
    start_us: int
    percent: int
    used: int
    limit_amount: int
    created_at_us: int
    attempts: int

    @property
    def event_id(self) -> str:
        """The same for the same crossing, however often it is told."""
        named = [self.budget.tenant_id, self.budget.budget_id, self.budget.created_at_us]
        crossed = [self.subject, self.start_us, self.percent, self.limit_amount]
        return hashlib.sha256(json.dumps(named + crossed).encode()).hexdigest()[:32]

    def payload(self) -> dict[str, Any]:
        """Write it as the log and the webhook have it."""
        budget = self.budget
        end_us = budget.window_at(self.start_us).end_us
        return {
            "tenant": budget.tenant_id,
            "budget_id": budget.budget_id,
            "scope": budget.scope,
            "subject": self.subject,
            "window": budget.period,
            "mode": budget.mode,
            "percent": self.percent,
            "unit": budget.unit,
            "used": format_amount(budget.unit, self.used),
            "limit": format_amount(budget.unit, self.limit_amount),
            "window_start": None if self.start_us == FOREVER_US else format_us(self.start_us),
            "resets_at": None if end_us is None else format_us(end_us),
            "crossed_at": format_us(self.created_at_us),
        }

    def due_again_us(self, now_us: int) -> int | None:
        """When to tell it again after a failure; None if that has been tried for long enough."""
        if now_us - self.created_at_us > TRIED_FOR_US:
            return None
        doublings = min(self.attempts - 1, _DOUBLINGS_MAX)
        return now_us + min(PAUSE_MIN_US << doublings, PAUSE_MAX_US)
