"""Spending in SQL: what a budget counts, summed up from the ledger, by subject and window.

sums by hour, and entries of hours that windows cut    what was spent before a budget
entries by quarters of hours, as clocks are apart      the proof of what its windows say
"""

from __future__ import annotations

from collections.abc import Iterable

from hansard.core.budgets import Budget
from hansard.core.periods import FOREVER_US
from hansard.core.reports import HOUR_US
from hansard.core.usage import TOTAL_MAX
from hansard.store.database import Row, Tx, join_halves

Amounts = dict[tuple[str, int], int]
"""What was spent, by subject and start of the window."""


def sum_up(tx: Tx, budget: Budget) -> Amounts:
    """What was spent since a budget's first window began, from as few rows as tell it.

    What comes after that window, by clocks that are fast, is read entry by entry.
    """
    start_us, end_us = budget.window_at(budget.counts_from_us)
    until_us = (TOTAL_MAX if end_us is None else end_us) // HOUR_US * HOUR_US
    first_hour_us = max(start_us // HOUR_US * HOUR_US, FOREVER_US)
    is_cut = FOREVER_US < first_hour_us < start_us
    from_us = first_hour_us + HOUR_US if is_cut else start_us
    stretch = {"tenant_id": budget.tenant_id, "from_us": from_us, "until_us": until_us}
    rows = (
        tx.rows("spent_by_sessions", (), start_us=start_us, **stretch)
        if budget.scope == "session"
        else tx.rows("spent_by_hours", (), start_us=start_us, scope=budget.scope, **stretch)
    )
    cut = {"start_us": start_us, "scope": budget.scope, "first_hour_us": first_hour_us}
    return _add_up(budget, [*rows, *tx.rows("spent_by_quarters", ["cut"], **cut, **stretch)])


def recount(tx: Tx, budget: Budget) -> Amounts:
    """The same from nothing but entries, in one reading of them."""
    start_us, _ = budget.window_at(budget.counts_from_us)
    given = {"tenant_id": budget.tenant_id, "scope": budget.scope, "start_us": start_us}
    return _add_up(budget, tx.rows("spent_by_quarters", (), **given))


def _add_up(budget: Budget, rows: Iterable[Row]) -> Amounts:
    """Sum rows of (subject, moment, and two halves each of cost and tokens)."""
    amounts: Amounts = {}
    for row in rows:
        name, at_us = row[:2]
        subject = budget.subject_named(name)
        if subject is not None:
            cost, tokens = join_halves(row[2:])
            key = (subject, budget.window_at(at_us).start_us)
            amounts[key] = amounts.get(key, 0) + (cost if budget.unit == "usd" else tokens)
    return amounts
