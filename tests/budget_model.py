"""What budgets should say: worked out anew from all that happened, without any running total."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hansard.core.budgets import Subjects
from hansard.core.periods import FOREVER_US

HOUR_US = 3_600_000_000
LENGTHS_US = {"hour": HOUR_US, "day": 24 * HOUR_US}
PENDING = ("open", "unknown")

WindowKey = tuple[str, str, int]
"""Budget, subject, start."""


@dataclass(frozen=True)
class ModelBudget:
    """A budget; ``made`` tells it apart from others that had its name."""

    budget_id: str
    scope: str
    subject: str
    period: str
    unit: str
    limit_amount: int
    mode: str
    made: int
    counts_from_us: int

    def is_about_the_same(self, other: ModelBudget) -> bool:
        mine, others = ((one.scope, one.subject, one.period, one.unit) for one in (self, other))
        return mine == others

    def key(self, account: Subjects, at_us: int) -> WindowKey | None:
        """The window that a call falls into."""
        subject = "" if self.scope == "tenant" else str(getattr(account, self.scope))
        if self.scope != "tenant" and (not subject or self.subject not in {"*", subject}):
            return None
        if at_us < self.counts_from_us:
            return None
        return (self.budget_id, subject, start_of(self.period, at_us))


@dataclass(frozen=True)
class ModelEntry:
    """A call that was recorded."""

    account: Subjects
    at_us: int
    cost: int
    tokens: int

    def amount(self, unit: str) -> int:
        return self.cost if unit == "usd" else self.tokens


@dataclass
class ModelHold:
    """A hold, and what it took of which window of which budget.

    Attributes:
        amount: What it may cost; None if that has no price.
        entry: Its call as it is in the ledger.
    """

    call_id: str
    account: Subjects
    at_us: int
    expires_at_us: int
    amount: int | None
    debits: dict[tuple[int, WindowKey], int] = field(default_factory=dict)
    state: str = "open"
    entry: ModelEntry | None = None


@dataclass
class Model:
    """All that happened."""

    budgets: dict[str, ModelBudget] = field(default_factory=dict)
    entries: list[ModelEntry] = field(default_factory=list)
    holds: dict[str, ModelHold] = field(default_factory=dict)
    excused: set[tuple[int, WindowKey]] = field(default_factory=set)
    """Windows in which more may be used than allowed, since it could not be refused."""

    def windows(self) -> dict[WindowKey, tuple[int, int]]:
        """What is held and spent in every window in which that is something."""
        held: Counter[WindowKey] = Counter()
        spent: Counter[WindowKey] = Counter()
        for budget in self.budgets.values():
            for entry in self.entries:
                key = budget.key(entry.account, entry.at_us)
                if key is not None:
                    spent[key] += entry.amount(budget.unit)
            for hold in self.holds.values():
                for (made, key), amount in hold.debits.items():
                    if made == budget.made and hold.state in PENDING:
                        held[key] += amount
        keys = {key for key in held | spent if held[key] or spent[key]}
        return {key: (held[key], spent[key]) for key in keys}

    def applying(self, account: Subjects, at_us: int) -> dict[WindowKey, ModelBudget]:
        """The budgets that a call falls into, by window."""
        keys = {budget.key(account, at_us): budget for budget in self.budgets.values()}
        return {key: budget for key, budget in keys.items() if key is not None}

    def room(self, account: Subjects, at_us: int, unit: str) -> int | None:
        """The least that any enforcing budget in that unit has left; None if there is none."""
        windows = self.windows()
        left = [
            budget.limit_amount - sum(windows.get(key, (0, 0)))
            for key, budget in self.applying(account, at_us).items()
            if budget.unit == unit and budget.mode == "enforce"
        ]
        return min(left) if left else None

    def grant(
        self, account: Subjects, at_us: int, fixed: int | None, output: int, least: int | None
    ) -> int | None:
        """How many output tokens a call gets, each of which costs one; None if it is refused."""
        granted = output
        for unit in ("usd", "tokens"):
            room = self.room(account, at_us, unit)
            if room is None:
                continue
            if fixed is None and unit == "usd":
                return None
            fits = room - (fixed or 0)
            if fits < (output if least is None else min(least, output)):
                return None
            granted = min(granted, fits)
        return granted

    def take(self, hold: ModelHold, fixed: int | None, granted: int) -> None:
        """Hold what was granted."""
        for key, budget in self.applying(hold.account, hold.at_us).items():
            unpriced = fixed is None and budget.unit == "usd"
            amount = 0 if unpriced else (fixed or 0) + granted
            hold.debits[budget.made, key] = amount
        self.holds[hold.call_id] = hold

    def settle(self, hold: ModelHold, entry: ModelEntry, *, is_priced: bool) -> None:
        """Record the call of a hold, which ends unless that left money held without a price."""
        if hold.entry is not None:
            self.entries.remove(hold.entry)
        self.spend(entry, hold)
        hold.entry = entry
        money = {budget.made for budget in self.budgets.values() if budget.unit == "usd"}
        is_pending = hold.state in PENDING and not is_priced
        kept = {at: amount for at, amount in hold.debits.items() if amount and at[0] in money}
        hold.state = "unknown" if is_pending and kept else "settled"
        hold.debits = kept

    def spend(self, entry: ModelEntry, hold: ModelHold | None) -> None:
        """Record a call; what was not held for it could not be refused."""
        self.entries.append(entry)
        for key, budget in self.applying(entry.account, entry.at_us).items():
            was_held = hold.debits.get((budget.made, key), 0) if hold else 0
            if hold is None or hold.state not in PENDING or entry.amount(budget.unit) > was_held:
                self.excused.add((budget.made, key))

    def put(self, budget: ModelBudget) -> None:
        """Make a budget, or change one: what was used before is excused."""
        known = self.budgets.get(budget.budget_id)
        if known is not None and known.is_about_the_same(budget):
            budget = ModelBudget(
                **{
                    **budget.__dict__,
                    "made": known.made,
                    "counts_from_us": known.counts_from_us,
                }
            )
        self.budgets[budget.budget_id] = budget
        self.excused |= {(budget.made, key) for key in self.windows() if key[0] == budget.budget_id}

    def overdrawn(self) -> list[WindowKey]:
        """Windows in which more is used than allowed, without an excuse."""
        return [
            key
            for key, used in self.windows().items()
            if sum(used) > self.budgets[key[0]].limit_amount
            and self.budgets[key[0]].mode == "enforce"
            and (self.budgets[key[0]].made, key) not in self.excused
        ]


def start_of(period: str, at_us: int) -> int:
    return FOREVER_US if period == "total" else at_us - at_us % LENGTHS_US[period]
