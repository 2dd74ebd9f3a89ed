"""Limits in SQL: budgets made, changed, listed and removed, and holds after their calls.

    draft, which counts -> what was spent before it, summed up and added -> budget

Nobody waits while a ledger is summed up: who records meanwhile counts in the draft, which has
a name of its own, and what it is to replace stays in force. One that is never finished is
replaced by the next of its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec.structs import asdict, replace

from hansard.core.actors import Actor
from hansard.core.budgets import EACH, Budget, BudgetState, Hold
from hansard.core.errors import Conflict, LimitReached, NotFound
from hansard.core.usage import TOTAL_MAX
from hansard.store import spending
from hansard.store.budgets import (
    DRAFT,
    OPEN_STATES,
    Accounts,
    budget_of,
    budgets_of,
    holds_of,
    read_debits,
)
from hansard.store.database import Row, Tx, one

BUDGETS_MAX: Final = 1_000  # of one tenant: all of them are looked at for each call
_UNMADE: Final = "~"  # after the name of a draft: no budget can be called so
_SHARE: Final = ("budget_share", [()])
_STEP: Final = 10_000  # windows read at once: a budget of each session has one for each
_SAME: Final = ("scope", "subject", "period", "time_zone", "unit")


def change(tx: Tx, budget: Budget) -> Budget | None:
    """Change the limit of a budget that is about the same spending; None if there is none."""
    tx.look_up(_SHARE)
    known = _find(tx, budget)
    if known is None or any(getattr(known, n) != getattr(budget, n) for n in _SAME):
        return None
    names = ("limit_amount", "mode", "warn_percents", "updated_at_us")
    values = _values(budget)
    tx.run("budget_update", **_key(budget), **{name: values[name] for name in names})
    if known.limit_amount != budget.limit_amount:
        start_us = budget.window_at(budget.updated_at_us).start_us
        tx.run("window_unwarn", **_key(budget), start_us=start_us)
    return _find(tx, budget)


def draft(tx: Tx, budget: Budget) -> None:
    """Begin a budget: it counts all that is spent from now on, and does nothing else.

    This waits for who is recording usage, and lets them wait for a moment. Whatever they
    recorded without it is in the ledger afterwards.

    Raises:
        LimitReached: If the tenant has too many.
    """
    tx.run("budget_close")
    tx.run("budget_delete", **_key(_draft_of(budget)))
    (rows,) = tx.look_up(("budget_find", [(budget.tenant_id,)]))
    others = {name.removesuffix(_UNMADE) for _, name, *_ in rows} - {budget.budget_id}
    if len(others) >= BUDGETS_MAX:
        raise LimitReached(f"a tenant has {BUDGETS_MAX} budgets at most", code="too_many_budgets")
    tx.run("budget_insert", **_values(_draft_of(budget)))


def find_uncounted(tx: Tx, budget: Budget) -> list[tuple[str, int, int]]:
    """What was spent in a draft's window before it: what the ledger has, less what it counted.

    By subject and start of the window; both are of one moment, whoever records meanwhile.
    """
    amounts = spending.sum_up(tx, budget)
    for _, _, subject, start_us, _, spent, _ in list_windows(tx, _draft_of(budget)):
        amounts[subject, start_us] = amounts.get((subject, start_us), 0) - spent
    return [(*key, amount) for key, amount in sorted(amounts.items()) if amount]


def raise_draft(tx: Tx, budget: Budget, uncounted: Sequence[tuple[str, int, int]]) -> None:
    """Add what was spent before a draft.

    Raises:
        Conflict: ``budget_replaced``, if the draft is not there any more.
    """
    tx.look_up(_SHARE)
    key = _find_draft(tx, budget)
    rows = [
        (*key.values(), subject, start_us, min(amount, TOTAL_MAX))
        for subject, start_us, amount in uncounted
    ]
    tx.many(("window_raise", rows))


def finish(tx: Tx, budget: Budget) -> Budget:
    """Let a draft be a budget, in the place of one of that name.

    Raises:
        Conflict: ``budget_replaced``, if it is not there any more.
    """
    tx.run("budget_close")
    draft_key = _find_draft(tx, budget)
    tx.run("budget_delete", **_key(budget))
    tx.run("budget_insert", **_values(budget))
    tx.run("window_move", **draft_key, made_id=budget.budget_id)
    tx.run("budget_delete", **draft_key)
    return budget


def find(tx: Tx, tenant_id: str, budget_id: str) -> Budget | None:
    """Return a budget, or None; drafts have other names."""
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
    names = (budget_id, budget_id + _UNMADE)
    found = [tx.rows("budget_delete", tenant_id=tenant_id, budget_id=name) for name in names]
    if not any(found):
        raise _not_found(budget_id)


def list_all(tx: Tx, tenant_id: str) -> list[Budget]:
    """Return all budgets of a tenant that are no drafts, by id."""
    (rows,) = tx.look_up(("budget_find", [(tenant_id,)]))
    return [budget for budget in map(budget_of, rows) if budget.mode != DRAFT]


def list_visible(tx: Tx, actor: Actor) -> list[Budget]:
    """Return the budgets within the actor's reach, by id."""
    return [budget for budget in list_all(tx, actor.tenant_id) if _may_see(actor, budget)]


def list_windows(tx: Tx, budget: Budget) -> Iterator[Row]:
    """Go through all windows of a budget, by subject and start."""
    after: dict[str, object] = {}
    while True:
        page = tx.rows(
            "window_list_all",
            ["after"] if after else [],
            limit=_STEP,
            **_key(budget),
            **after,
        )
        yield from page
        if len(page) < _STEP:
            return
        after = {"subject": page[-1][2], "start_us": page[-1][3]}


def list_states(
    tx: Tx, actor: Actor, budget: Budget, at_us: int, *, after: str | None, limit: int
) -> list[BudgetState]:
    """Return what is left of a budget now, by subject, after one of them.

    Of one that each has by itself, those are listed to whom something happened.
    """
    window = budget.window_at(at_us)
    only = _only_subject(actor, budget)
    given = {"subject": only, "after": after}
    own = {name: value for name, value in given.items() if value is not None}
    start_us = window.start_us
    rows = tx.rows("window_list", [*own], start_us=start_us, limit=limit, **_key(budget), **own)
    found = [(row[2], row[4], row[5]) for row in rows]
    if only is not None and not found:
        found = [(only, 0, 0)]
    return [
        BudgetState(budget=budget, subject=subject, window=window, held=held, spent=spent)
        for subject, held, spent in found
    ]


def release_holds(tx: Tx, tenant_id: str, call_ids: Sequence[str], now_us: int) -> None:
    """Let go of holds of calls that are never made.

    One may be under way still: who asked for it has given up, and its transaction waits. So one
    that is not there is released all the same, and can be taken no more.
    """
    rows = [(tenant_id, call_id, now_us, now_us, now_us) for call_id in sorted(set(call_ids))]
    tx.many(("hold_bar", rows))
    end_holds(tx, tenant_id, call_ids, "released", now_us)


def end_holds(tx: Tx, tenant_id: str, call_ids: Sequence[str], state: str, now_us: int) -> None:
    """Let go of holds; those that have ended before stay as they are."""
    keys = sorted({(tenant_id, call_id) for call_id in call_ids})
    holds, _, found = tx.look_up(("hold_find", keys), _SHARE, ("budget_find", [(tenant_id,)]))
    accounts = Accounts(tx, budgets_of(found), holds_of(holds))
    accounts.lock()
    for key in keys:
        accounts.let_go(key, state, now_us)
    tx.many(*accounts.writes())


def doubt_holds(tx: Tx, tenant_id: str, call_ids: Sequence[str]) -> None:
    """Say of holds that their calls ended, and that nobody knows what those used."""
    tx.many(("hold_doubt", sorted({(tenant_id, call_id) for call_id in call_ids})))


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


def _find(tx: Tx, budget: Budget) -> Budget | None:
    return find(tx, budget.tenant_id, budget.budget_id)


def _draft_of(budget: Budget) -> Budget:
    return replace(budget, budget_id=budget.budget_id + _UNMADE, mode=DRAFT, warn_percents=())


def _find_draft(tx: Tx, budget: Budget) -> dict[str, str]:
    """Return the key of a budget's draft, if nobody has put another in its place."""
    key = _key(_draft_of(budget))
    row = one(tx, "budget_get", **key)
    if row is None or budget_of(row) != _draft_of(budget):
        raise Conflict("the budget was put or removed meanwhile", code="budget_replaced")
    return key


def _key(budget: Budget) -> dict[str, str]:
    return {"tenant_id": budget.tenant_id, "budget_id": budget.budget_id}


def _values(budget: Budget) -> dict[str, Any]:
    """A budget's columns."""
    return asdict(budget) | {"warn_percents": json.dumps(budget.warn_percents)}


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
