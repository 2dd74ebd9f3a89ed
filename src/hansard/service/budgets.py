"""Budgets of a record on a database: holds before calls, and what becomes of them.

take_hold -> the call -> settle_turn          spent, what it really was
`-> release_holds        it was never made
`-> nothing, expired     unknown: still held, until somebody says
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from hansard.core.actors import Actor
from hansard.core.budgets import (
    WARN_PERCENTS,
    Admission,
    Budget,
    BudgetState,
    Hold,
    NewHold,
    check_budget,
    check_hold_state,
    check_resolution,
)
from hansard.core.errors import InvalidInput, NotFound, Unauthorized
from hansard.core.ids import bury, check_id, make_ulid
from hansard.core.ledger import LedgerReport
from hansard.core.paging import Page, check_limit
from hansard.core.sessions import check_new_session
from hansard.core.threads import ThreadStep, check_no_journal
from hansard.core.turns import TurnReceipt, check_turn, check_usage_only
from hansard.core.usage import RECONCILED, NewUsage, UsageEntry
from hansard.offload import check_list
from hansard.service.turns import Turns
from hansard.store import ledger, limits
from hansard.store import usage as entries
from hansard.store.budgets import AdmissionJob
from hansard.store.database import Tx
from hansard.store.steps import in_steps
from hansard.store.turns import Append

NO_SESSION = ""
LISTED_MAX = 10  # subjects of each budget in the list of all: there may be a thousand budgets


class Budgets(Turns):
    """The part of a record on a database that is about budgets."""

    async def take_hold(self, hold: NewHold) -> Admission:
        """Hold what a call may cost in every budget that applies; on disk when this returns.

        Raises:
            LimitReached: ``budget_exceeded`` or ``unpriced_model``; nothing is held.
        """
        job = AdmissionJob(self.actor, hold, self.clock())
        admission: Admission = await self.runner.append(job)
        return admission

    async def settle_turn(
        self,
        session_id: str | None,
        messages: Sequence[Mapping[str, Any]],
        *,
        usage: Sequence[NewUsage],
        turn_id: str,
        status: str,
        holds: Sequence[str],
        at_us: int,
        agent: str | None = None,
        model: str | None = None,
        expected_seq: int | None = None,
        creates: bool = True,
        step: ThreadStep | None = None,
    ) -> TurnReceipt:
        """Record a turn that was made at a time, and end the holds of its calls, once.

        The session's ``cost_data`` gets its running totals. Without a session only the usage
        is recorded; the ids of calls are then one set for the whole tenant. A call that has a
        hold counts on the account and at the moment of that; one that somebody resolved by
        its usage does not count again.

        ``creates`` makes the session if there is none. A turn of one that was there when it
        began does not, so that one that was deleted since stays so.

        ``step`` is written into the log of the thread whose journal the session is.

        Raises:
            Conflict: As ``append_turn``.
            NotFound: If there is no session, and it is not to be made; nothing is recorded,
                and the holds stay.
        """
        if step is None and session_id is not None:
            check_no_journal(session_id)
        check = partial(
            check_turn,
            usage=usage,
            turn_id=turn_id,
            status=status,
            expected_seq=expected_seq,
            clock=lambda: at_us,
            pricing=await self.pricing(),
        )
        new = check_new_session(
            session_id=session_id,
            owner=self.actor.owner,
            agent=agent,
            model=model,
            clock=self.clock,
        )
        turn = await check_list(check, messages if session_id is not None else ())
        append = Append(
            self.actor,
            (self.actor.tenant_id, session_id or NO_SESSION),
            turn,
            new if creates and session_id is not None else None,
            agent=new.agent,
            holds=tuple(holds),
            ended_at_us=self.clock(),
            tells_cost_data=session_id is not None,
            step=step,
        )
        receipt: TurnReceipt = await self.runner.append(append)
        return receipt

    async def release_holds(self, call_ids: Sequence[str]) -> None:
        """Let go of holds whose calls were certainly never made; none is taken for them later."""
        now_us, tenant_id = self.clock(), self.actor.tenant_id
        await self.runner.write(lambda tx: limits.release_holds(tx, tenant_id, call_ids, now_us))

    async def doubt_holds(self, call_ids: Sequence[str]) -> None:
        """Keep the holds of calls that ended without an answer; their usage may still come."""
        tenant_id = self.actor.tenant_id
        await self.runner.write(lambda tx: limits.doubt_holds(tx, tenant_id, call_ids))

    async def put_budget(
        self,
        budget_id: str,
        *,
        scope: str,
        limit_amount: int,
        unit: str = "usd",
        subject: str = "",
        period: str = "total",
        time_zone: str = "UTC",
        mode: str = "enforce",
        warn_percents: Sequence[int] = WARN_PERCENTS,
    ) -> Budget:
        budget = check_budget(
            tenant_id=self.actor.tenant_id,
            budget_id=budget_id,
            scope=scope,
            subject=subject,
            period=period,
            time_zone=time_zone,
            unit=unit,
            limit_amount=limit_amount,
            mode=mode,
            warn_percents=warn_percents,
            now_us=self.clock(),
        )
        self._check_may_set()
        changed = await self.runner.write(lambda tx: limits.change(tx, budget))
        return changed or await self._make(budget)

    async def delete_budget(self, budget_id: str) -> None:
        check_id(budget_id, "budget_id")
        self._check_may_set()
        await self.runner.write(lambda tx: limits.delete(tx, self.actor.tenant_id, budget_id))

    async def get_budget(
        self, budget_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[Budget, Page[BudgetState]]:
        check_id(budget_id, "budget_id")
        check_limit(limit)
        now_us = self.clock()
        (after,) = self.cursors("budget", budget_id).read(cursor) or (None,)

        def find(tx: Tx) -> tuple[Budget, Page[BudgetState]]:
            budget = limits.get(tx, self.actor, budget_id)
            return budget, self._list_states(tx, budget, now_us, after=after, limit=limit)

        return await self.runner.read(find)

    async def list_budgets(self) -> Sequence[tuple[Budget, Page[BudgetState]]]:
        """Of a budget that each has by itself, the first ``LISTED_MAX`` are told."""
        now_us = self.clock()
        return await self.runner.read(
            lambda tx: [
                (budget, self._list_states(tx, budget, now_us, after=None, limit=LISTED_MAX))
                for budget in limits.list_visible(tx, self.actor)
            ]
        )

    async def list_holds(
        self, *, state: str = "unknown", limit: int = 100, cursor: str | None = None
    ) -> Page[Hold]:
        check_limit(limit)
        check_hold_state(state)
        cursors = self.cursors("holds", state)
        (after,) = cursors.read(cursor) or ("",)
        found = await self.runner.read(
            lambda tx: limits.list_holds(tx, self.actor, state, after=after, limit=limit + 1)
        )
        return cursors.page(found, limit, lambda last: [last.call_id])

    async def resolve_hold(self, call_id: str, usage: NewUsage | None) -> None:
        usage = check_resolution(call_id, usage)
        self._check_may_set()
        tenant_id = self.actor.tenant_id
        if usage is None:
            await self.runner.write(lambda tx: self._write_off(tx, call_id))
            return
        hold = await self.runner.write(lambda tx: limits.get_unknown(tx, tenant_id, call_id))
        session_id = hold.session_id or NO_SESSION
        try:
            await self.runner.append(await self.resolution(hold, usage, session_id))
        except NotFound:  # deleted meanwhile, or yet to be made
            gone = bury(session_id, self.clock())
            await self.runner.append(await self.resolution(hold, usage, gone))

    def _write_off(self, tx: Tx, call_id: str) -> None:
        tenant_id = self.actor.tenant_id
        limits.get_unknown(tx, tenant_id, call_id)
        limits.end_holds(tx, tenant_id, [call_id], "written_off", self.clock())

    async def resolution(self, hold: Hold, found: NewUsage, session_id: str) -> Append:
        """Make the usage that ends a hold, of a call that is without a price in the ledger.

        Of one that is not there at all, it goes under that session.

        Raises:
            InvalidInput: ``invalid_resolution``.
        """
        tenant_id = self.actor.tenant_id
        check = partial(check_usage_only, pricing=await self.pricing(), is_hindsight=True)
        if hold.is_counted:
            held_in = hold.session_id or NO_SESSION
            account, entry = await self.runner.read(
                lambda tx: entries.get(tx, Actor(tenant_id), held_in, hold.call_id, anywhere=True)
            )
            again = _again(entry, found, "call_" + make_ulid(self.clock()))
            append = self.correction(account, check(again, clock=self.clock, corrects=entry))
        else:
            turn = check(_reconciled(hold, found), clock=lambda: hold.created_at_us)
            append = Append(
                Actor(tenant_id),
                (tenant_id, session_id),
                turn,
                holds=(hold.call_id,),
                ended_at_us=self.clock(),
            )
        (charged,) = append.turn.usage
        if charged.cost_nanousd is None and hold.amount_nanousd:
            raise InvalidInput("there is no price: say what it cost", code="invalid_resolution")
        return append

    async def count_holds(self) -> Mapping[str, tuple[int, int]]:
        """Return how many holds of every tenant are open or unknown, and since when the oldest.

        By state; those that ended are not counted. Times are in microseconds.
        """
        return await self.runner.read(limits.count_pending)

    async def expire_holds(self) -> int:
        """Say of holds of every tenant whose time is over that nobody knows; return how many.

        They stay held until somebody resolves them.
        """
        now_us = self.clock()
        return await self.runner.write(lambda tx: limits.expire(tx, now_us))

    async def verify_ledger(self) -> LedgerReport:
        """Recompute every total of the tenant from the entries, and compare."""
        tenant_id = self.actor.tenant_id
        return await self.runner.read_apart(lambda tx: ledger.verify(tx, tenant_id))

    async def _make(self, budget: Budget) -> Budget:
        await self.runner.write(lambda tx: limits.draft(tx, budget))
        uncounted = await self.runner.read_apart(lambda tx: limits.find_uncounted(tx, budget))
        for step in in_steps(uncounted):
            await self.runner.write(partial(limits.raise_draft, budget=budget, uncounted=step))
        return await self.runner.write(lambda tx: limits.finish(tx, budget))

    def _list_states(
        self, tx: Tx, budget: Budget, now_us: int, *, after: str | None, limit: int
    ) -> Page[BudgetState]:
        found = limits.list_states(tx, self.actor, budget, now_us, after=after, limit=limit + 1)
        cursors = self.cursors("budget", budget.budget_id)
        return cursors.page(found, limit, lambda last: [last.subject])

    def _check_may_set(self) -> None:
        if not self.actor.sets_budgets:
            raise Unauthorized("budgets are not yours to set", code="forbidden")


def _reconciled(hold: Hold, usage: NewUsage) -> NewUsage:
    """What a call used, as somebody found out; what is not said of it, the hold knows."""
    return replace(
        usage,
        event_id=hold.call_id,
        provider=usage.provider or hold.provider,
        model=usage.model or hold.model_asked,
        model_asked=usage.model_asked or hold.model_asked,
        confidence=RECONCILED,
    )


def _again(entry: UsageEntry, found: NewUsage, event_id: str) -> NewUsage:
    """What stands for a recorded call: as it was counted, unless somebody counted it anew."""
    call = found if found.has_counts else replace(entry, cost_nanousd=found.cost_nanousd)
    return replace(
        call,
        event_id=event_id,
        provider=found.provider or entry.provider,
        model=found.model or entry.model,
        model_asked=found.model_asked or entry.model_asked,
        confidence=RECONCILED,
    )
