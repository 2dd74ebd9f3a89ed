"""The ledger's proof in SQL: totals less the sums of entries, which leaves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from hansard.core.budgets import Budget
from hansard.core.ledger import DRIFTS_MAX, Drift, LedgerReport
from hansard.core.usage import TOTAL_MAX, UsageTotals
from hansard.store import limits, spending
from hansard.store.budgets import WindowKey, read_debits
from hansard.store.database import Tx, join_halves

_KINDS: Final = ("session", "session_hour", "hour", "whole_hour")


def verify(tx: Tx, tenant_id: str) -> LedgerReport:
    """Recompute every total of a tenant on one snapshot, budgets one by one."""
    drifts = [
        Drift(kind, row[0], UsageTotals._make(join_halves(row[1:])))
        for kind in _KINDS
        for row in tx.rows("ledger_drift", (), tenant_id=tenant_id, kind=kind, limit=DRIFTS_MAX)
    ]
    ((windows,),) = tx.rows("window_count", (), tenant_id=tenant_id)
    drifts += islice(_drifts_of_windows(tx, tenant_id), DRIFTS_MAX)
    ((entries,),) = tx.rows("ledger_count", (), tenant_id=tenant_id)
    return LedgerReport(tenant_id=tenant_id, entries=entries, windows=windows, drifts=tuple(drifts))


def _drifts_of_windows(tx: Tx, tenant_id: str) -> Iterator[Drift]:
    budgets = {budget.budget_id: budget for budget in limits.list_all(tx, tenant_id)}
    held = _held(tx, tenant_id, budgets)
    for budget in budgets.values():
        spent = spending.recount(tx, budget)
        for row in limits.list_windows(tx, budget):
            key: WindowKey = row[:4]
            name = _name(key)
            excess = row[5] - spent.pop(key[2:], 0)
            if excess and row[5] < TOTAL_MAX:  # what was full once stays so
                yield Drift("spent", name, excess)
            if excess := row[4] - held.pop(key, 0):
                yield Drift("held", name, excess)
        of_budget = (tenant_id, budget.budget_id)
        yield from _missing("spent", {(*of_budget, *key): spent[key] for key in spent})
    yield from _missing("held", held)


def _missing(what: str, amounts: Mapping[WindowKey, int]) -> Iterator[Drift]:
    """Say which windows are not there, although something is in them."""
    for key, amount in sorted(amounts.items()):
        if amount:
            yield Drift(what, _name(key), -min(amount, TOTAL_MAX))


def _name(key: WindowKey) -> str:
    return f"{key[1]} {key[2]} {key[3]}"


def _held(tx: Tx, tenant_id: str, budgets: dict[str, Budget]) -> Counter[WindowKey]:
    """What holds without an end take of each window."""
    held: Counter[WindowKey] = Counter()
    for _, debits in tx.rows("hold_list_pending", (), tenant_id=tenant_id):
        for debit in read_debits(tenant_id, debits):
            budget = budgets.get(debit.key[1])
            if budget is not None and budget.created_at_us == debit.made_at_us:
                held[debit.key] += debit.amount
    return held
