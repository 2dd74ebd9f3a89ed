"""Gates: a turn asks for each of its model calls, and takes a hold on the budgets.

The upper bound of a call is what its input costs at the dearest rate, and as much output as
it may bring. Where the record does not answer, a call is made without a hold only if no
budget is known that could say no, and the operator did not demand a record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from hansard.core.budgets import Admission, BudgetWarning, NewHold
from hansard.core.errors import LimitReached, Unavailable
from hansard.core.ids import NOISE, make_ulid
from hansard.core.latest import Latest
from hansard.core.prices import PICO_PER_NANO, Bound, PriceBook
from hansard.core.usage import Pricing, unpriced
from hansard.runtime.agents.protocol import CallPlan, Grant
from hansard.runtime.observers import Watch
from hansard.runtime.patience import Patience
from hansard.service.sessions import DatabaseSessions

GRACE_S: Final = 600  # that a hold outlives the longest turn: the record may be late
CLAMP_LEAST_TOKENS: Final = 16  # of a choice: less is worth nothing, unless it is all that is asked
TENANTS_MAX: Final = 10_000  # of which it is remembered that they have budgets

Prices = Callable[[DatabaseSessions], Awaitable[PriceBook]]


class GateKeeper:
    """What the gates of all turns share.

    Args:
        prices: Gives the prices of a record's tenant.
        patience: How long a call waits for its hold.
        output_tokens: The most that a call may bring that sets no limit itself.
        turn_s: How long a turn may take.
        is_record_required: Make no call without a hold.

    Attributes:
        budgeted: Tenants that were seen to have budgets.
    """

    def __init__(
        self,
        *,
        prices: Prices,
        patience: Patience,
        output_tokens: int,
        turn_s: float,
        is_record_required: bool,
    ) -> None:
        self.prices = prices
        self.patience = patience
        self.output_tokens = output_tokens
        self.hold_us = round((turn_s + GRACE_S) * 1_000_000)
        self.is_record_required = is_record_required
        self.budgeted: Latest[str, None] = Latest(TENANTS_MAX)


class TurnGate:
    """The gate of one turn.

    Args:
        is_clamped: Lower the output limit of a call instead of refusing it.

    Attributes:
        granted: Ids of the calls that were let through.
        pricing: Says what calls cost, once one was asked for.
        doubtful: Ids of calls that were not, but may hold something all the same.
        warnings: Thresholds of budgets that they crossed.
    """

    def __init__(
        self,
        keeper: GateKeeper,
        record: DatabaseSessions,
        *,
        session_id: str | None,
        turn_id: str,
        agent: str,
        is_clamped: bool,
        watch: Watch,
    ) -> None:
        self.granted: list[str] = []
        self.pricing: Pricing = unpriced
        self.doubtful: list[str] = []
        self.warnings: list[BudgetWarning] = []
        self._keeper = keeper
        self._record = record
        self._session_id = session_id
        self._turn_id = turn_id
        self._agent = agent
        self._is_clamped = is_clamped
        self._watch = watch
        self._is_closed = False

    def close(self) -> None:
        """Let no call through any more: nobody would count it."""
        self._is_closed = True

    async def __call__(self, plan: CallPlan) -> Grant:
        """Take a hold for a call.

        Raises:
            LimitReached: If a budget says no.
            Unavailable: If nobody can say, or the turn is over.
        """
        self._check_open()
        now_us = self._record.clock()
        call_id = "call_" + make_ulid(now_us, NOISE)

        async def ask() -> Admission:
            return await self._record.take_hold(await self._plan_hold(plan, call_id, now_us))

        is_asked = not self._keeper.patience.is_lost
        try:
            admission = await self._keeper.patience.wait(ask, is_write=True)
        except LimitReached:
            self._keeper.budgeted.put(self._record.actor.tenant_id, None)
            raise
        except asyncio.CancelledError:
            self.doubtful.append(call_id)
            raise
        except Unavailable as error:
            self._check_goes_without(call_id, error, is_asked=is_asked)
            return self._grant(plan, call_id)
        if not admission.is_budgeted:
            return self._grant(plan, call_id)
        self._keeper.budgeted.put(self._record.actor.tenant_id, None)
        self.warnings += admission.warnings
        return self._grant(plan, call_id, admission.output_tokens)

    def _grant(self, plan: CallPlan, call_id: str, output_tokens: int | None = None) -> Grant:
        self._check_open()
        self.granted.append(call_id)
        return Grant(
            call_id=call_id,
            output_tokens=output_tokens,
            headers=self._watch.call_began(call_id, plan),
            ended=partial(self._watch.call_ended, call_id),
        )

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the turn is over", code="turn_over")

    async def _plan_hold(self, plan: CallPlan, call_id: str, now_us: int) -> NewHold:
        book = await self._keeper.prices(self._record)
        self.pricing = book.price
        bound = _bound(book, plan, now_us)
        input_tokens = plan.input_tokens_bound
        pico = bound and input_tokens * bound.input_pico_per_token + bound.request_pico
        limit = plan.output_tokens or max(self._keeper.output_tokens, plan.choices)
        return NewHold(
            call_id=call_id,
            session_id=self._session_id,
            turn_id=self._turn_id,
            agent=self._agent,
            provider=plan.provider,
            model_asked=plan.model,
            fixed_nanousd=None if pico is None else -(-pico // PICO_PER_NANO),
            fixed_tokens=input_tokens,
            output_pico_per_token=bound and bound.output_pico_per_token,
            output_tokens=limit,
            least_output_tokens=CLAMP_LEAST_TOKENS * plan.choices if self._is_clamped else None,
            expires_at_us=now_us + self._keeper.hold_us,
        )

    def _check_goes_without(self, call_id: str, error: Unavailable, *, is_asked: bool) -> None:
        """Let a call pass that has no hold, if that is allowed."""
        is_budgeted = self._record.actor.tenant_id in self._keeper.budgeted
        if not is_budgeted and not self._keeper.is_record_required:
            return
        if is_asked:
            self.doubtful.append(call_id)
        if self._keeper.is_record_required:
            raise Unavailable("the call cannot be recorded", code="record_unavailable") from error
        raise Unavailable(
            "what is left of the budget cannot be found out", code="budget_unavailable"
        ) from error


def _bound(book: PriceBook, plan: CallPlan, now_us: int) -> Bound | None:
    """The dearest rates of all models that may answer; None if nobody knows a bound."""
    if not plan.is_priced_by_tokens:
        return None
    found = []
    for model in (plan.model, *plan.fallback_models):
        bound = book.bound(plan.provider, model, now_us, plan.service_tier)
        if bound is None:
            return None
        found.append(bound)
    return Bound(*map(max, zip(*found, strict=True)))
