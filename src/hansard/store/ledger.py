"""The ledger's proof in SQL: totals less the sums of entries, which leaves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from hansard.core.budgets import Budget
from hansard.core.ledger import DRIFTS_MAX, Drift, LedgerReport
from hansard.core.usage import TOTAL_MAX, UsageTotals
from hansard.store import limits
from hansard.store.budgets import WindowKey, budget_of, read_debits
from hansard.store.database import Row, Tx

_SUMS: Final = (
    ("session", "ledger_drift_sessions"),
    ("session_hour", "ledger_drift_session_hours"),
    ("hour", "ledger_drift_hours"),
)


def verify(tx: Tx, tenant_id: str) -> LedgerReport:
    """Recompute every total of a tenant on one snapshot."""
    drifts = [
        Drift(what, row[0], UsageTotals(*row[1:]))
        for what, query in _SUMS
        for row in tx.rows(query, (), tenant_id=tenant_id, limit=DRIFTS_MAX)
    ]
    windows = tx.rows("window_list_all", (), tenant_id=tenant_id)
    (found,) = tx.look_up(("budget_find", [(tenant_id,)]))
    budgets = {row[1]: budget_of(row) for row in found}
    drifts += [*_drifts_of_windows(tx, tenant_id, budgets, windows)][:DRIFTS_MAX]
    (entries,) = tx.rows("ledger_count", (), tenant_id=tenant_id)[0]
    return LedgerReport(
        tenant_id=tenant_id, entries=entries, windows=len(windows), drifts=tuple(drifts)
    )


def _drifts_of_windows(
    tx: Tx, tenant_id: str, budgets: dict[str, Budget], windows: list[Row]
) -> Iterator[Drift]:
    held = _held(tx, tenant_id, budgets)
    spent: dict[tuple[str, int], dict[str, int]] = {}
    for row in windows:
        key: WindowKey = row[:4]
        _, budget_id, subject, start_us = key
        budget = budgets[budget_id]
        if (budget_id, start_us) not in spent:
            spent[budget_id, start_us] = _spent(tx, budget, start_us)
        name = f"{budget_id} {subject} {start_us}"
        if excess := row[5] - spent[budget_id, start_us].get(subject, 0):
            yield Drift("spent", name, excess)
        if excess := row[4] - held.pop(key, 0):
            yield Drift("held", name, excess)
    for (_, budget_id, subject, start_us), amount in sorted(held.items()):
        if amount:
            yield Drift("held", f"{budget_id} {subject} {start_us}", -amount)


def _spent(tx: Tx, budget: Budget, start_us: int) -> dict[str, int]:
    if budget.period == "total":
        return limits.spent(tx, budget, start_us, TOTAL_MAX)
    end_us = budget.window_at(start_us).end_us
    assert end_us is not None
    return limits.spent(tx, budget, start_us, end_us)


def _held(tx: Tx, tenant_id: str, budgets: dict[str, Budget]) -> Counter[WindowKey]:
    """What holds without an end take of each window."""
    held: Counter[WindowKey] = Counter()
    for _, debits in tx.rows("hold_list_pending", (), tenant_id=tenant_id):
        for debit in read_debits(tenant_id, debits):
            budget = budgets.get(debit.key[1])
            if budget is not None and budget.created_at_us == debit.made_at_us:
                held[debit.key] += debit.amount
    return held
