"""Limits in SQL: budgets made, changed, listed and removed, and holds after their calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from msgspec.structs import asdict

from hansard.core.actors import Actor
from hansard.core.budgets import EACH, Budget, BudgetState, Hold
from hansard.core.errors import Conflict, LimitReached, NotFound
from hansard.core.reports import HOUR_US
from hansard.core.usage import TOTAL_MAX
from hansard.store.budgets import (
    OPEN_STATES,
    Accounts,
    budget_of,
    budgets_of,
    holds_of,
    read_debits,
)
from hansard.store.database import Row, Tx, one

BUDGETS_MAX: Final = 1_000  # of one tenant: all of them are looked at for each call
SUBJECTS_MAX: Final = 1_000  # shown of one budget
_SAME: Final = ("scope", "subject", "period", "time_zone", "unit")


def put(tx: Tx, budget: Budget) -> Budget:
    """Make a budget, or change the limit of one that is about the same spending.

    A new one begins with what was spent in its window before it. Nobody records usage
    meanwhile, so that nothing is counted twice or not at all.

    Raises:
        LimitReached: If the tenant has too many.
    """
    tx.run("budget_close")
    known = find(tx, budget.tenant_id, budget.budget_id)
    values = asdict(budget) | {"warn_percents": json.dumps(budget.warn_percents)}
    if known is not None and all(getattr(known, n) == getattr(budget, n) for n in _SAME):
        names = ("limit_amount", "mode", "warn_percents", "updated_at_us")
        key = {"tenant_id": budget.tenant_id, "budget_id": budget.budget_id}
        tx.run("budget_update", **key, **{name: values[name] for name in names})
        if known.limit_amount != budget.limit_amount:
            tx.run("window_unwarn", **key)
        return _get(tx, budget)
    if known is not None:
        tx.rows("budget_delete", tenant_id=budget.tenant_id, budget_id=budget.budget_id)
    elif len(tx.look_up(("budget_find", [(budget.tenant_id,)]))[0]) >= BUDGETS_MAX:
        raise LimitReached(f"a tenant has {BUDGETS_MAX} budgets at most", code="too_many_budgets")
    tx.run("budget_insert", **values)
    windows = [
        (budget.tenant_id, budget.budget_id, *window, 0, min(spent, TOTAL_MAX))
        for window, spent in sorted(_spent_before(tx, budget).items())
    ]
    tx.many(("window_insert", windows))
    return _get(tx, budget)


def find(tx: Tx, tenant_id: str, budget_id: str) -> Budget | None:
    """Return a budget, or None."""
    row = one(tx, "budget_get", tenant_id=tenant_id, budget_id=budget_id)
    return budget_of(row) if row else None


def get(tx: Tx, actor: Actor, budget_id: str) -> Budget:
    """Return a budget.

    Raises:
        NotFound: If there is none within the actor's reach.
    """
    budget = find(tx, actor.tenant_id, budget_id)
    if budget is None or not _may_see(actor, budget):
        raise _not_found(budget_id)
    return budget


def delete(tx: Tx, tenant_id: str, budget_id: str) -> None:
    """Remove a budget; what was spent stays in the ledger.

    Raises:
        NotFound: If there is none.
    """
    tx.run("budget_close")
    if not tx.rows("budget_delete", tenant_id=tenant_id, budget_id=budget_id):
        raise _not_found(budget_id)


def list_all(tx: Tx, actor: Actor) -> list[Budget]:
    """Return all budgets within the actor's reach, by id."""
    (rows,) = tx.look_up(("budget_find", [(actor.tenant_id,)]))
    return [budget for budget in map(budget_of, rows) if _may_see(actor, budget)]


def list_states(tx: Tx, actor: Actor, budget: Budget, at_us: int) -> list[BudgetState]:
    """Return what is left of a budget now, by subject.

    Of one that each has by itself, those are listed to whom something happened.
    """
    window = budget.window_at(at_us)
    only = _only_subject(actor, budget)
    own = {} if only is None else {"subject": only}
    rows = tx.rows(
        "window_list",
        [*own],
        tenant_id=budget.tenant_id,
        budget_id=budget.budget_id,
        start_us=window.start_us,
        limit=SUBJECTS_MAX,
        **own,
    )
    found = [(row[2], row[4], row[5]) for row in rows]
    if only is not None and not found:
        found = [(only, 0, 0)]
    return [
        BudgetState(budget=budget, subject=subject, window=window, held=held, spent=spent)
        for subject, held, spent in found
    ]


def end_holds(tx: Tx, tenant_id: str, call_ids: Sequence[str], state: str, now_us: int) -> None:
    """Let go of holds; those that have ended before stay as they are."""
    keys = sorted({(tenant_id, call_id) for call_id in call_ids})
    holds, _, found = tx.look_up(
        ("hold_find", keys), ("budget_share", [()]), ("budget_find", [(tenant_id,)])
    )
    accounts = Accounts(tx, budgets_of(found), holds_of(holds))
    accounts.lock()
    for key in keys:
        accounts.let_go(key, state, now_us)
    tx.many(*accounts.writes())


def get_unknown(tx: Tx, tenant_id: str, call_id: str) -> Hold:
    """Return the hold of a call of which nobody knows what it cost, and keep it locked.

    Raises:
        NotFound: If there is none.
        Conflict: ``hold_ended``; ``hold_open``, while the call may be under way.
    """
    row = one(tx, "hold_get", tenant_id=tenant_id, call_id=call_id)
    if row is None:
        raise NotFound(f"no hold {call_id!r}", code="hold_not_found", call_id=call_id)
    hold = _hold(tenant_id, row)
    if hold.state == "open":
        raise Conflict("the call may be under way", code="hold_open", state=hold.state)
    if hold.state != "unknown":
        raise Conflict(f"the hold is {hold.state}", code="hold_ended", state=hold.state)
    return hold


def list_holds(tx: Tx, actor: Actor, state: str, *, after: str, limit: int) -> list[Hold]:
    """Return holds in a state after one of them, by call."""
    own = {} if _sees_all(actor) else {"owner": actor.owner}
    rows = tx.rows(
        "hold_list",
        [*own, *(["pending"] if state in OPEN_STATES else [])],
        tenant_id=actor.tenant_id,
        state=state,
        after=after,
        limit=limit,
        **own,
    )
    return [_hold(actor.tenant_id, row) for row in rows]


def count_pending(tx: Tx) -> dict[str, tuple[int, int]]:
    """Return how many holds of all tenants are open or unknown, and since when the oldest is."""
    return {row[0]: (row[1], row[2]) for row in tx.rows("hold_count")}


def expire(tx: Tx, now_us: int) -> int:
    """Say of holds whose time is over that nobody knows; return of how many."""
    return len(tx.rows("hold_expire", now_us=now_us))


def _spent_before(tx: Tx, budget: Budget) -> dict[tuple[str, int], int]:
    """What was spent since a new budget's window began, by subject and start of the window."""
    window = budget.window_at(budget.counts_from_us)
    until_us = TOTAL_MAX if window.end_us is None else window.end_us
    stretch = {"tenant_id": budget.tenant_id, "since_us": window.start_us, "until_us": until_us}
    is_cut = window.start_us % HOUR_US or until_us % HOUR_US
    if is_cut and budget.period != "total":
        by_entry = {"scope": budget.scope, "before_us": TOTAL_MAX, **stretch}
        return _amounts(budget, tx.rows("spent_by_entries", (), **by_entry))
    if budget.scope == "session":
        return _amounts(budget, tx.rows("spent_by_sessions", (), **stretch))
    return _amounts(budget, tx.rows("spent_by_hours", (), scope=budget.scope, **stretch))


def spent(tx: Tx, budget: Budget, since_us: int, until_us: int) -> dict[str, int]:
    """What the ledger says was spent in one window, by subject."""
    rows = tx.rows(
        "spent_by_entries",
        (),
        scope=budget.scope,
        tenant_id=budget.tenant_id,
        since_us=since_us,
        until_us=until_us,
        before_us=until_us,
    )
    return {subject: amount for (subject, _), amount in _amounts(budget, rows).items()}


def _amounts(budget: Budget, rows: Sequence[Row]) -> dict[tuple[str, int], int]:
    """Sum rows of (subject, moment, cost, tokens) by subject and start of the window."""
    amounts: dict[tuple[str, int], int] = {}
    for name, at_us, cost, tokens in rows:
        # A session that was deleted is still that session.
        subject = name.partition("~")[0] if budget.scope == "session" else name
        is_meant = budget.subject in {EACH, subject}
        if budget.scope == "tenant" or (subject and is_meant):
            amount = (cost or 0) if budget.unit == "usd" else tokens
            key = (subject, budget.window_at(at_us).start_us)
            amounts[key] = amounts.get(key, 0) + amount
    return amounts


def _may_see(actor: Actor, budget: Budget) -> bool:
    """The tenant's budgets are everybody's; of owners' and keys', one's own."""
    if _sees_all(actor) or budget.scope == "tenant":
        return True
    return _own_subject(actor, budget) is not None


def _only_subject(actor: Actor, budget: Budget) -> str | None:
    """The one subject whose window an actor may see; None if there are several."""
    if budget.subject != EACH:
        return budget.subject
    return None if _sees_all(actor) else _own_subject(actor, budget)


def _sees_all(actor: Actor) -> bool:
    """Whoever sets budgets, and says what became of holds, sees them."""
    return actor.sees_all or actor.sets_budgets


def _own_subject(actor: Actor, budget: Budget) -> str | None:
    """Who an actor is to a budget; None if the budget is not about it."""
    own = {"owner": actor.owner, "key": actor.key_id}.get(budget.scope)
    return own if budget.subject in {EACH, own} else None


def _get(tx: Tx, budget: Budget) -> Budget:
    found = find(tx, budget.tenant_id, budget.budget_id)
    assert found is not None
    return found


def _hold(tenant_id: str, row: Row) -> Hold:
    return Hold(
        call_id=row[0],
        session_id=row[1] or None,
        turn_id=row[2],
        owner=row[3],
        agent=row[4],
        key_id=row[5],
        provider=row[6],
        model_asked=row[7],
        amount_nanousd=row[8],
        amount_tokens=row[9],
        budget_ids=tuple(debit.key[1] for debit in read_debits(tenant_id, row[10])),
        state=row[11],
        is_overrun=bool(row[12]),
        created_at_us=row[13],
        expires_at_us=row[14],
        ended_at_us=row[15],
        is_counted=bool(row[16]),
    )


def _not_found(budget_id: str) -> NotFound:
    return NotFound(f"no budget {budget_id!r}", code="budget_not_found", budget_id=budget_id)
