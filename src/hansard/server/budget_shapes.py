"""Shapes of budgets and holds: what a caller may send of them, and what goes out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from hansard.core.budgets import (
    HOLD_STATES,
    MODES,
    SCOPES,
    UNITS,
    WARN_PERCENTS,
    Budget,
    BudgetState,
    Hold,
    format_amount,
)
from hansard.core.money import format_usd
from hansard.core.paging import Page
from hansard.core.periods import FOREVER_US, PERIODS
from hansard.core.times import format_us
from hansard.server.answers import Time
from hansard.server.bodies import Limit, UsageBody

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


class ResolveBody(Struct, forbid_unknown_fields=True):
    """What became of a call: its usage, or nothing that is billed; one of the two."""

    usage: UsageBody | None = None
    written_off: bool = False


class HoldsQuery(Struct, frozen=True):
    """Which holds to list."""

    state: Annotated[str, Meta(extra_json_schema={"enum": list(HOLD_STATES)})] = "unknown"
    limit: Limit = 100
    cursor: str | None = None


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
            format_start(state.window.start_us),
            _time(state.window.end_us),
            format_amount(unit, state.spent),
            format_amount(unit, state.held),
            format_amount(unit, state.remaining),
        )


class BudgetAnswer(Struct):
    """A budget, and what is left of it now, by subject; `next_cursor` tells that there is more."""

    budget_id: str
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
            budget.scope,
            budget.subject,
            budget.period,
            budget.time_zone,
            budget.unit,
            format_amount(budget.unit, budget.limit_amount),
            budget.mode,
            list(budget.warn_percents),
            format_start(budget.counts_from_us),
            format_us(budget.created_at_us),
            format_us(budget.updated_at_us),
            list(map(StateAnswer.of, states.items)),
            states.next_cursor,
        )


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
            hold.provider,
            hold.model_asked,
            None if hold.amount_nanousd is None else format_usd(hold.amount_nanousd),
            hold.amount_tokens,
            list(hold.budget_ids),
            hold.state,
            hold.is_overrun,
            format_us(hold.created_at_us),
            format_us(hold.expires_at_us),
            _time(hold.ended_at_us),
            hold.is_counted,
        )


class HoldPage(Struct):
    """Holds, oldest first, and where the next page begins; null if this was the last."""

    holds: list[HoldAnswer]
    next_cursor: str | None


class Resolved(Struct):
    """The hold has ended."""

    call_id: str
    state: str


def format_start(time_us: int) -> str | None:
    """Write when a window begins; None for the one that has always been."""
    return None if time_us == FOREVER_US else format_us(time_us)


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_us(time_us)
