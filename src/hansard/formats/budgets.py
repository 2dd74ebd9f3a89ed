"""Budgets and holds as JSON: written by the server and the command line, read by the client.

    Budget, Page[BudgetState], Hold  --of-->  shape  --parsed-->  the same

An answer says all that the record knows, so that nothing is lost on the way to a client. Fields
that are not known here are skipped, since a newer server may send more.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from hansard.core.budgets import (
    MODES,
    SCOPES,
    UNITS,
    WARN_PERCENTS,
    Budget,
    BudgetState,
    Hold,
    format_amount,
    parse_limit,
)
from hansard.core.money import format_usd, parse_usd
from hansard.core.paging import Page
from hansard.core.periods import FOREVER_US, PERIODS, Window
from hansard.core.shapes import Time, described
from hansard.core.times import format_us, parse_us
from hansard.core.usage import TOTAL_MAX

Amount = Annotated[
    str | int,
    Meta(description="US dollars as a decimal string, or tokens as a whole number."),
]
Percent = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100})]


class BudgetBody(Struct, forbid_unknown_fields=True):
    """A budget.

    ``subject`` is empty for the tenant, else which owner, agent, session or key; ``*`` is each
    by itself. ``limit`` is a decimal string of dollars, or a whole number of tokens. Crossing
    80 and 100 percent of it is told, unless ``warn_percents`` says otherwise.
    """

    scope: Annotated[str, Meta(extra_json_schema={"enum": list(SCOPES)})]
    limit: Amount
    subject: str = ""
    window: Annotated[str, Meta(extra_json_schema={"enum": list(PERIODS)})] = "total"
    time_zone: str = "UTC"
    unit: Annotated[str, Meta(extra_json_schema={"enum": list(UNITS)})] = "usd"
    mode: Annotated[str, Meta(extra_json_schema={"enum": list(MODES)})] = "enforce"
    warn_percents: list[Percent] = field(default_factory=lambda: list(WARN_PERCENTS))

    @classmethod
    def of(cls, budget: Budget) -> BudgetBody:
        """Write a budget that is to be made."""
        return cls(
            budget.scope,
            format_amount(budget.unit, budget.limit_amount),
            budget.subject,
            budget.period,
            budget.time_zone,
            budget.unit,
            budget.mode,
            list(budget.warn_percents),
        )


class StateAnswer(Struct):
    """What is left of a budget in the present window; one that never ends has no times."""

    subject: str
    window_start: Time | None
    resets_at: Time | None
    spent: Amount
    held: Amount
    remaining: Amount

    @classmethod
    def of(cls, state: BudgetState) -> StateAnswer:
        """Write a state; ``remaining`` is negative if more was spent than allowed."""
        unit = state.budget.unit
        return cls(
            state.subject,
            _format_start(state.window.start_us),
            _format_time(state.window.end_us),
            format_amount(unit, state.spent),
            format_amount(unit, state.held),
            format_amount(unit, state.remaining),
        )

    def parsed(self, budget: Budget) -> BudgetState:
        """Read it back."""
        return BudgetState(
            budget=budget,
            subject=self.subject,
            window=Window(_parse_start(self.window_start), _parse_time(self.resets_at)),
            held=parse_limit(budget.unit, self.held),
            spent=parse_limit(budget.unit, self.spent),
        )


class BudgetAnswer(Struct):
    """A budget, and what is left of it now, by subject; `next_cursor` tells that there is more."""

    budget_id: str
    tenant: str
    scope: str
    subject: str
    window: str
    time_zone: str
    unit: str
    limit: Amount
    mode: str
    warn_percents: list[int]
    counts_from: Time | None
    created_at: Time
    updated_at: Time
    states: list[StateAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, budget: Budget, states: Page[BudgetState]) -> BudgetAnswer:
        """Write a budget with its states."""
        return cls(
            budget.budget_id,
            budget.tenant_id,
            budget.scope,
            budget.subject,
            budget.period,
            budget.time_zone,
            budget.unit,
            format_amount(budget.unit, budget.limit_amount),
            budget.mode,
            list(budget.warn_percents),
            _format_start(budget.counts_from_us),
            format_us(budget.created_at_us),
            format_us(budget.updated_at_us),
            list(map(StateAnswer.of, states.items)),
            states.next_cursor,
        )

    def parsed(self) -> tuple[Budget, Page[BudgetState]]:
        """Read it back."""
        budget = Budget(
            tenant_id=self.tenant,
            budget_id=self.budget_id,
            scope=self.scope,
            subject=self.subject,
            period=self.window,
            time_zone=self.time_zone,
            unit=self.unit,
            limit_amount=parse_limit(self.unit, self.limit),
            mode=self.mode,
            warn_percents=tuple(self.warn_percents),
            counts_from_us=_parse_start(self.counts_from),
            created_at_us=parse_us(self.created_at),
            updated_at_us=parse_us(self.updated_at),
        )
        states = tuple(state.parsed(budget) for state in self.states)
        return budget, Page(states, self.next_cursor)


@described
class BudgetList(Struct):
    """All budgets within reach, by id, each with the first of its subjects."""

    budgets: list[BudgetAnswer]


class HoldAnswer(Struct):
    """A hold: what a call may cost at most, in each of some budgets.

    ``amount_usd`` is null if the model is unpriced; ``overrun`` says that the call cost more;
    ``counted``, that its usage is in the ledger.
    """

    call_id: str
    session_id: str | None
    turn_id: str | None
    owner: str | None
    agent: str | None
    key_id: str | None
    provider: str
    model_asked: str
    amount_usd: str | None
    amount_tokens: int
    budget_ids: list[str]
    state: str
    overrun: bool
    created_at: Time
    expires_at: Time
    ended_at: Time | None
    counted: bool

    @classmethod
    def of(cls, hold: Hold) -> HoldAnswer:
        """Write a hold."""
        return cls(
            hold.call_id,
            hold.session_id,
            hold.turn_id,
            hold.owner,
            hold.agent,
            hold.key_id,
            hold.provider,
            hold.model_asked,
            None if hold.amount_nanousd is None else format_usd(hold.amount_nanousd),
            hold.amount_tokens,
            list(hold.budget_ids),
            hold.state,
            hold.is_overrun,
            format_us(hold.created_at_us),
            format_us(hold.expires_at_us),
            _format_time(hold.ended_at_us),
            hold.is_counted,
        )

    def parsed(self) -> Hold:
        """Read it back."""
        amount = self.amount_usd
        return Hold(
            call_id=self.call_id,
            session_id=self.session_id,
            turn_id=self.turn_id,
            owner=self.owner,
            agent=self.agent,
            key_id=self.key_id,
            provider=self.provider,
            model_asked=self.model_asked,
            amount_nanousd=None if amount is None else parse_usd(amount, most_nanousd=TOTAL_MAX),
            amount_tokens=self.amount_tokens,
            budget_ids=tuple(self.budget_ids),
            state=self.state,
            is_overrun=self.overrun,
            created_at_us=parse_us(self.created_at),
            expires_at_us=parse_us(self.expires_at),
            ended_at_us=_parse_time(self.ended_at),
            is_counted=self.counted,
        )


@described
class HoldPage(Struct):
    """Holds, by call id, and where the next page begins; null if this was the last."""

    holds: list[HoldAnswer]
    next_cursor: str | None


def _format_start(time_us: int) -> str | None:
    """Write when a window begins; None for the one that has always been."""
    return None if time_us == FOREVER_US else format_us(time_us)


def _parse_start(text: str | None) -> int:
    return FOREVER_US if text is None else parse_us(text)


def _format_time(time_us: int | None) -> str | None:
    return None if time_us is None else format_us(time_us)


def _parse_time(text: str | None) -> int | None:
    return None if text is None else parse_us(text)
