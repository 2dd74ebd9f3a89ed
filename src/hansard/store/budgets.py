"""Budgets in SQL: windows that are locked, in one order, by everything that moves them.

    lock sessions -> lock holds -> share the budgets -> lock windows -> decide -> write

Whoever adds usage or takes a hold shares a lock on the table of budgets until the end; whoever
changes a budget has it alone. So a budget counts every entry once: those from before it, which
it sums up when it is made, and those that saw it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from hansard.core.actors import Actor
from hansard.core.budgets import (
    Admission,
    Budget,
    BudgetState,
    BudgetWarning,
    NewHold,
    Subjects,
    exceeded,
    unpriced_model,
)
from hansard.core.errors import Conflict, LimitReached
from hansard.core.usage import NO_USAGE, TOTAL_MAX, UsageTotals
from hansard.store.database import ForRows, Row, Tx

WindowKey = tuple[str, str, str, int]
"""Tenant, budget, subject, start."""

HoldKey = tuple[str, str]
"""Tenant and call."""

OPEN_STATES = frozenset({"open", "unknown"})


class AdmissionJob(Struct, frozen=True):
    """A hold on its way; ``key`` is None: it changes no session."""

    actor: Actor
    hold: NewHold
    at_us: int
    key: None = None
    size_bytes: int = 0


@dataclass(slots=True)
class _Window:
    held: int
    spent: int
    warned_percent: int
    is_moved: bool = False


@dataclass(frozen=True, slots=True)
class Debit:
    """What a hold takes of a window of the budget that was made at that time."""

    key: WindowKey
    amount: int
    made_at_us: int


@dataclass(frozen=True, slots=True)
class KnownHold:
    """A hold that is locked."""

    debits: tuple[Debit, ...]
    state: str


def holds_of(rows: Iterable[Row]) -> dict[HoldKey, KnownHold]:
    """Build locked holds from rows of ``hold_find``."""
    return {(row[0], row[1]): KnownHold(read_debits(row[0], row[2]), row[3]) for row in rows}


def budgets_of(rows: Iterable[Row]) -> dict[str, list[Budget]]:
    """Build budgets from rows of ``budget_find``, by tenant."""
    found: dict[str, list[Budget]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(budget_of(row))
    return found


def budget_of(row: Row) -> Budget:
    """Build a budget from its row."""
    names = Budget.__struct_fields__
    values = dict(zip(names, row, strict=True))
    return Budget(**(values | {"warn_percents": tuple(json.loads(values["warn_percents"]))}))


def read_debits(tenant_id: str, text: str) -> tuple[Debit, ...]:
    """Read what a hold takes of which window."""
    return tuple(
        Debit((tenant_id, budget_id, subject, start_us), amount, made_at_us)
        for budget_id, subject, start_us, amount, made_at_us in json.loads(text)
    )


class Accounts:
    """The budgets of a batch, their windows locked, and what is to be written of them."""

    def __init__(
        self, tx: Tx, budgets: dict[str, list[Budget]], holds: dict[HoldKey, KnownHold]
    ) -> None:
        self._tx = tx
        self._budgets = budgets
        self._holds = holds
        self._windows: dict[WindowKey, _Window] = {}
        self._wanted: set[WindowKey] = set()
        self._taken: list[Row] = []
        self._ended: list[Row] = []
        self._alerts: list[Row] = []

    def expect(self, tenant_id: str, subjects: Subjects, at_us: int) -> None:
        """Say that usage or a hold may come on these accounts."""
        for budget in self._budgets.get(tenant_id, ()):
            key = _window_key(budget, subjects, at_us)
            if key is not None:
                self._wanted.add(key)

    def lock(self) -> None:
        """Lock all windows that may be moved; those that are not there begin now."""
        for hold in self._holds.values():
            self._wanted.update(debit.key for debit in hold.debits if self._find_budget(debit))
        if not self._wanted:
            return
        keys = sorted(self._wanted)
        (rows,) = self._tx.look_up(("window_lock", keys))
        if len(rows) < len(keys):
            known = {row[:4] for row in rows}
            fresh = [(*key, 0, 0) for key in keys if key not in known]
            self._tx.many(("window_insert", fresh))
            (rows,) = self._tx.look_up(("window_lock", keys))
        self._windows = {row[:4]: _Window(*row[4:]) for row in rows}

    def admit(self, job: AdmissionJob, subjects: Subjects) -> Admission:
        """Take a hold, if every budget has room for it.

        Raises:
            LimitReached: If one has not; nothing is held then.
            Conflict: If the call has a hold already.
        """
        hold, tenant_id = job.hold, job.actor.tenant_id
        if (tenant_id, hold.call_id) in self._holds:
            raise Conflict("the call has a hold", code="hold_exists", call_id=hold.call_id)
        applying = self._applying(tenant_id, subjects, job.at_us)
        output_tokens = _fit(hold, applying)
        debits, warnings = [], []
        for key, state in applying:
            amount = hold.amount(state.budget.unit, output_tokens) or 0
            debits.append([*key[1:], amount, state.budget.created_at_us])
            warnings += self._move(key, state.budget, job.at_us, held=amount)
        self._taken.append(_hold_row(job, subjects, output_tokens, json.dumps(debits)))
        self._holds[tenant_id, hold.call_id] = KnownHold((), "open")
        return Admission(
            call_id=hold.call_id,
            is_budgeted=bool(applying),
            output_tokens=output_tokens,
            warnings=tuple(warnings),
            at_us=job.at_us,
        )

    def check_room(
        self, tenant_id: str, subjects: Subjects, totals: UsageTotals, at_us: int
    ) -> None:
        """Check that usage can be counted.

        Raises:
            LimitReached: If a window would hold more than a database can.
        """
        for _, state in self._applying(tenant_id, subjects, at_us):
            if state.spent + state.budget.amount_of(totals) > TOTAL_MAX:
                raise LimitReached("the totals are full", code="totals_full")

    def spend(self, tenant_id: str, subjects: Subjects, totals: UsageTotals, at_us: int) -> None:
        """Count usage in every budget that applies."""
        for key, state in self._applying(tenant_id, subjects, at_us):
            self._move(key, state.budget, at_us, spent=state.budget.amount_of(totals))

    def end(self, key: HoldKey, state: str, now_us: int, totals: UsageTotals = NO_USAGE) -> None:
        """Let go of a hold, if it is still there; what the call used shows if it was enough."""
        hold = self._holds.get(key)
        if hold is None or hold.state not in OPEN_STATES:
            return
        is_overrun = False
        for debit in hold.debits:
            budget = self._find_budget(debit)
            if budget is not None:
                window = self._windows[debit.key]
                window.held -= debit.amount
                window.is_moved = True
                is_overrun |= budget.amount_of(totals) > debit.amount
        self._ended.append((state, is_overrun, now_us, *key))
        self._holds[key] = KnownHold((), state)

    def writes(self) -> list[ForRows]:
        """What to write of holds that ended, and of windows."""
        moved = [
            (window.held, window.spent, window.warned_percent, *key)
            for key, window in self._windows.items()
            if window.is_moved
        ]
        return [
            ("hold_end", self._ended),
            ("window_update", moved),
            ("alert_insert", self._alerts),
        ]

    def new_holds(self) -> ForRows:
        """What to write of holds that were taken."""
        return "hold_insert", self._taken

    @property
    def overruns(self) -> int:
        """How many calls used more than was held for them."""
        return sum(is_overrun for _, is_overrun, *_ in self._ended)

    def _find_budget(self, debit: Debit) -> Budget | None:
        """Find the budget that a hold took from, if it is still the one of that name."""
        tenant_id, budget_id = debit.key[:2]
        for budget in self._budgets.get(tenant_id, ()):
            if (budget.budget_id, budget.created_at_us) == (budget_id, debit.made_at_us):
                return budget
        return None

    def _applying(
        self, tenant_id: str, subjects: Subjects, at_us: int
    ) -> list[tuple[WindowKey, BudgetState]]:
        found = []
        for budget in self._budgets.get(tenant_id, ()):
            key = _window_key(budget, subjects, at_us)
            if key is not None:
                window = self._windows[key]
                state = BudgetState(
                    budget=budget,
                    subject=key[2],
                    window=budget.window_at(at_us),
                    held=window.held,
                    spent=window.spent,
                )
                found.append((key, state))
        return found

    def _move(
        self, key: WindowKey, budget: Budget, now_us: int, *, held: int = 0, spent: int = 0
    ) -> list[BudgetWarning]:
        """Move a window; return the thresholds that it crosses for the first time."""
        window = self._windows[key]
        window.held += held
        window.spent += spent
        window.is_moved = True
        used = window.held + window.spent
        crossed = [
            percent
            for percent in budget.warn_percents
            if percent > window.warned_percent and used * 100 >= percent * budget.limit_amount
        ]
        if crossed:
            window.warned_percent = crossed[-1]
        limit = budget.limit_amount
        self._alerts += [(*key, percent, used, limit, now_us) for percent in crossed]
        return [_warning(budget, key, percent, used, now_us) for percent in crossed]


def _fit(hold: NewHold, applying: Sequence[tuple[WindowKey, BudgetState]]) -> int:
    """How many output tokens every enforcing budget has room for."""
    granted = hold.output_tokens
    for _, state in applying:
        budget = state.budget
        if budget.mode != "enforce":
            continue
        required = hold.amount(budget.unit, hold.output_tokens)
        if required is None:
            raise unpriced_model(budget, hold.model_asked)
        if required <= state.remaining:
            continue
        least = hold.least_output_tokens
        fitting = hold.affordable(budget.unit, state.remaining)
        if least is None or fitting < least:
            raise exceeded(state, required)
        granted = min(granted, fitting)
    return granted


def _window_key(budget: Budget, subjects: Subjects, at_us: int) -> WindowKey | None:
    subject = budget.subject_in(subjects)
    if subject is None or at_us < budget.counts_from_us:
        return None
    return (budget.tenant_id, budget.budget_id, subject, budget.window_at(at_us).start_us)


def _warning(budget: Budget, key: WindowKey, percent: int, used: int, at_us: int) -> BudgetWarning:
    return BudgetWarning(
        budget_id=budget.budget_id,
        scope=budget.scope,
        subject=key[2] or budget.tenant_id,
        percent=percent,
        used=used,
        limit_amount=budget.limit_amount,
        unit=budget.unit,
        resets_at_us=budget.window_at(at_us).end_us,
    )


def _hold_row(job: AdmissionJob, subjects: Subjects, output_tokens: int, debits: str) -> Row:
    hold = job.hold
    return (
        job.actor.tenant_id,
        hold.call_id,
        hold.session_id or "",
        hold.turn_id,
        subjects.owner or None,
        subjects.agent or None,
        subjects.key or None,
        hold.provider,
        hold.model_asked,
        hold.amount("usd", output_tokens),
        hold.fixed_tokens + output_tokens,
        debits,
        job.at_us,
        hold.expires_at_us,
    )
