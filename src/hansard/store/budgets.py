"""Budgets in SQL: windows that are locked, in one order, by everything that moves them.

    lock sessions -> lock holds -> share the budgets -> lock windows -> decide -> write

Whoever adds usage or takes a hold shares a lock on the table of budgets until the end; whoever
changes a budget has it alone. So a budget counts every entry once: those from before it, which
it sums up when it is made, and those that saw it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

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
from hansard.core.errors import Conflict
from hansard.core.usage import TOTAL_MAX, UsageTotals
from hansard.store.database import ForRows, Row, Tx

WindowKey = tuple[str, str, str, int]
"""Tenant, budget, subject, start."""

HoldKey = tuple[str, str]
"""Tenant and call."""

DRAFT: Final = "draft"
"""Mode of a budget that is not made yet, or was never finished: it counts what is spent, holds
nothing, and is nobody's to see."""

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
    """A hold that is locked.

    Attributes:
        account: On whose it was taken, whatever session its turn ends in.
        at_us: When it was taken.
        is_counted: Whether its call's usage is in the ledger.
        debits: What it still takes; nothing once it has ended.
    """

    account: Subjects
    at_us: int
    state: str
    is_counted: bool = False
    debits: tuple[Debit, ...] = ()

    @property
    def is_pending(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN_STATES


def holds_of(rows: Iterable[Row]) -> dict[HoldKey, KnownHold]:
    """Build locked holds from rows of ``hold_find``."""
    return {(row[0], row[1]): _known_hold(row) for row in rows}


def _known_hold(row: Row) -> KnownHold:
    tenant_id, _, debits, state, counted, at_us, owner, agent, key_id = row
    return KnownHold(
        account=Subjects(owner or "", agent or "", "", key_id or ""),
        at_us=at_us,
        state=state,
        is_counted=bool(counted),
        debits=read_debits(tenant_id, debits) if state in OPEN_STATES else (),
    )


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


def _write_debits(debits: Iterable[Debit]) -> str:
    return json.dumps([[*debit.key[1:], debit.amount, debit.made_at_us] for debit in debits])


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
        self._ended: dict[HoldKey, Row] = {}
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
        if len(rows) < len(keys):  # none is locked: who waits for new ones keeps nobody waiting
            self._tx.many(("window_insert", [(*key, 0, 0) for key in keys]))
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
        applying = [
            (key, state)
            for key, state in self._applying(tenant_id, subjects, job.at_us)
            if state.budget.mode != DRAFT
        ]
        output_tokens = _fit(hold, applying)
        debits, warnings = [], []
        for key, state in applying:
            room = TOTAL_MAX - state.held  # a limit is never above it: only what is observed
            amount = min(hold.amount(state.budget.unit, output_tokens) or 0, room)
            debits.append(Debit(key, amount, state.budget.created_at_us))
            warnings += self._move(key, state.budget, job.at_us, held=amount)
        self._taken.append(_hold_row(job, subjects, output_tokens, _write_debits(debits)))
        known = KnownHold(subjects, job.at_us, "open", debits=tuple(debits))
        self._holds[tenant_id, hold.call_id] = known
        return Admission(
            call_id=hold.call_id,
            is_budgeted=bool(applying),
            output_tokens=output_tokens,
            warnings=tuple(warnings),
            at_us=job.at_us,
        )

    def spend(self, tenant_id: str, subjects: Subjects, totals: UsageTotals, at_us: int) -> None:
        """Count usage in every budget that applies."""
        for key, state in self._applying(tenant_id, subjects, at_us):
            self._move(key, state.budget, at_us, spent=state.budget.amount_of(totals))

    def find_hold(self, key: HoldKey) -> KnownHold | None:
        """The hold of a call, if it is one of the batch's."""
        return self._holds.get(key)

    def settle(self, key: HoldKey, used: UsageTotals | None, now_us: int) -> None:
        """Say of a call that it has ended, and what is counted of it now, if anything.

        What it may have cost stays held if that has no price: then its hold is ``unknown``.
        """
        hold = self._holds.get(key)
        if hold is None or (hold.is_counted and (used is None or not hold.is_pending)):
            return
        if used is None and not hold.is_pending:
            return
        debits = [(debit, self._find_budget(debit)) for debit in hold.debits]
        kept = tuple(
            debit
            for debit, budget in debits
            if used and used.unpriced_calls and debit.amount and budget and budget.unit == "usd"
        )
        is_overrun = any(
            budget.amount_of(used) > debit.amount for debit, budget in debits if used and budget
        )
        ended = replace(
            hold,
            state="unknown" if kept else "settled",
            is_counted=hold.is_counted or used is not None,
            debits=kept,
        )
        self._end(key, hold, ended, None if kept else now_us, is_overrun=is_overrun)

    def let_go(self, key: HoldKey, state: str, now_us: int) -> None:
        """End a hold, if it is still there, of which no usage will come."""
        hold = self._holds.get(key)
        if hold is not None and hold.is_pending:
            self._end(key, hold, replace(hold, state=state, debits=()), now_us)

    def _end(
        self,
        key: HoldKey,
        hold: KnownHold,
        ended: KnownHold,
        now_us: int | None,
        *,
        is_overrun: bool = False,
    ) -> None:
        for debit in hold.debits:
            if debit not in ended.debits and self._find_budget(debit) is not None:
                window = self._windows[debit.key]
                window.held -= debit.amount
                window.is_moved = True
        kept = _write_debits(ended.debits) if ended.debits else None
        self._ended[key] = (ended.state, ended.is_counted, is_overrun, kept, now_us, *key)
        self._holds[key] = ended

    def writes(self) -> list[ForRows]:
        """What to write of holds that ended, and of windows."""
        moved = [
            (window.held, window.spent, window.warned_percent, *key)
            for key, window in self._windows.items()
            if window.is_moved
        ]
        return [
            ("hold_end", list(self._ended.values())),
            ("window_update", moved),
            ("alert_insert", self._alerts),
        ]

    def new_holds(self) -> ForRows:
        """What to write of holds that were taken."""
        return "hold_insert", self._taken

    @property
    def overruns(self) -> int:
        """How many calls used more than was held for them."""
        return sum(is_overrun for _, _, is_overrun, *_ in self._ended.values())

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
        if window.spent < TOTAL_MAX:  # else it stays full: by how much more, nobody knows
            window.spent = min(window.spent + spent, TOTAL_MAX)  # the provider has billed it
        window.is_moved = True
        used = min(window.held + window.spent, TOTAL_MAX)
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
    granted = least = hold.output_tokens
    if hold.least_output_tokens is not None:
        least = min(least, hold.least_output_tokens)
    for _, state in applying:
        budget = state.budget
        if budget.mode != "enforce":
            continue
        required = hold.amount(budget.unit, least)
        if required is None:
            raise unpriced_model(budget, hold.model_asked)
        if required > state.remaining:
            raise exceeded(state, required)
        granted = min(granted, hold.affordable(budget.unit, state.remaining))
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
    amount = hold.amount("usd", output_tokens)
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
        None if amount is None else min(amount, TOTAL_MAX),
        min(hold.fixed_tokens + output_tokens, TOTAL_MAX),
        debits,
        job.at_us,
        hold.expires_at_us,
    )
