"""Budgets: what may be spent in a window of time, by whom, and what is held of it.

    spent + held <= limit, in every budget that applies

``spent`` is the sum of the entries of the window; ``held`` the sum of the holds on it: what
calls under way may cost at most, and what calls may have cost of which nobody knows the end.
Its window is worked out when it is needed (``core/periods.py``), so nothing has to be reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hansard.core.errors import InvalidInput, LimitReached
from hansard.core.ids import check_id
from hansard.core.money import format_usd, parse_usd
from hansard.core.periods import PERIODS, ZONE_LENGTH_MAX, Window, find_window, is_zone
from hansard.core.strict_json import check_text
from hansard.core.times import format_us
from hansard.core.usage import RECONCILED, TOTAL_MAX, NewUsage, UsageTotals, check_usage

SCOPES: Final = ("tenant", "owner", "agent", "session", "key")
UNITS: Final = ("usd", "tokens")
MODES: Final = ("enforce", "observe")
HOLD_STATES: Final = ("open", "settled", "released", "unknown", "written_off")
EACH: Final = "*"
"""Subject of a budget that each owner (agent, session, key) has by itself."""

WARN_PERCENTS: Final = (80, 100)
WARN_MAX = 10  # thresholds of one budget
SUBJECT_LENGTH_MAX = 256

_PICO_PER_NANO = 1_000
_PERCENTS: Final = range(1, 101)


class Subjects(NamedTuple):
    """On whose account a call goes; ``''`` where there is none."""

    owner: str
    agent: str
    session: str
    key: str


class Budget(Struct, frozen=True, kw_only=True):
    """A limit on what is spent in each window.

    Attributes:
        scope: Whose calls count: one of ``SCOPES``.
        subject: Which owner, agent, session or key; ``*`` for each by itself, empty for the
            tenant.
        period: How long a window is: one of ``PERIODS``.
        time_zone: IANA name of the zone whose calendar cuts the windows.
        unit: ``usd``, limits and amounts are then nano-dollars, or ``tokens``.
        mode: ``enforce`` refuses calls, ``observe`` only tells.
        warn_percents: Shares of the limit that are told when they are crossed.
        counts_from_us: Start of the first window; what is older does not count.
    """

    tenant_id: str
    budget_id: str
    scope: str
    subject: str
    period: str
    time_zone: str
    unit: str
    limit_amount: int
    mode: str
    warn_percents: tuple[int, ...]
    counts_from_us: int
    created_at_us: int
    updated_at_us: int

    def subject_in(self, subjects: Subjects) -> str | None:
        """Whose window a call falls into; None if the budget is not about it."""
        return self.subject_named("" if self.scope == "tenant" else getattr(subjects, self.scope))

    def subject_named(self, name: str) -> str | None:
        """The same by what the ledger has in the place of the scope; nothing for the tenant."""
        if self.scope == "tenant":
            return ""
        # A session that was deleted is still that session.
        subject = name.partition("~")[0] if self.scope == "session" else name
        return subject if subject and self.subject in {EACH, subject} else None

    def window_at(self, at_us: int) -> Window:
        """The window that a moment falls into."""
        return find_window(self.period, self.time_zone, at_us)

    def amount_of(self, totals: UsageTotals) -> int:
        """What usage takes of it."""
        if self.unit == "usd":
            return totals.cost_nanousd
        return totals.input_tokens + totals.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A budget in one of its windows."""

    budget: Budget
    subject: str
    window: Window
    held: int
    spent: int

    @property
    def remaining(self) -> int:
        """What is left; negative if more was spent than allowed."""
        return self.budget.limit_amount - self.held - self.spent


class BudgetWarning(Struct, frozen=True, kw_only=True):
    """A threshold that was crossed, told once in a window."""

    budget_id: str
    scope: str
    subject: str
    percent: int
    used: int
    limit_amount: int
    unit: str
    resets_at_us: int | None


class NewHold(Struct, frozen=True, kw_only=True):
    """What a call may cost at most, to be taken before it is made.

    Attributes:
        session_id: None for a call that belongs to no session.
        fixed_nanousd: What its input may cost; None if the model is unpriced.
        fixed_tokens: The most tokens that its input may be.
        output_pico_per_token: Price of an output token, in 1e-12 dollars.
        output_tokens: The most tokens that may come back.
        least_output_tokens: How many of these are enough where there is not room for all;
            None if nothing less is.
        expires_at_us: When nobody waits for its end any more.
    """

    call_id: str
    session_id: str | None
    turn_id: str
    agent: str | None
    provider: str
    model_asked: str
    fixed_nanousd: int | None
    fixed_tokens: int
    output_pico_per_token: int | None
    output_tokens: int
    least_output_tokens: int | None
    expires_at_us: int

    def amount(self, unit: str, output_tokens: int) -> int | None:
        """What it takes of a budget in that unit; None if nobody can say."""
        if unit == "tokens":
            return self.fixed_tokens + output_tokens
        if self.fixed_nanousd is None or self.output_pico_per_token is None:
            return None
        return self.fixed_nanousd + -(-output_tokens * self.output_pico_per_token // _PICO_PER_NANO)

    def affordable(self, unit: str, remaining: int) -> int:
        """How many output tokens fit into what remains; negative if not even the input does."""
        if unit == "tokens":
            return remaining - self.fixed_tokens
        assert self.fixed_nanousd is not None
        assert self.output_pico_per_token is not None
        left = remaining - self.fixed_nanousd
        if left < 0:
            return -1
        if not self.output_pico_per_token:
            return self.output_tokens
        return left * _PICO_PER_NANO // self.output_pico_per_token


class Admission(Struct, frozen=True, kw_only=True):
    """A hold that was taken.

    Attributes:
        is_budgeted: Whether any budget applies.
        output_tokens: How many may come back.
        at_us: When it was taken; the call counts in the windows of that moment.
    """

    call_id: str
    is_budgeted: bool
    output_tokens: int
    warnings: tuple[BudgetWarning, ...]
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold as it is kept.

    Attributes:
        amount_nanousd: None if the call is unpriced.
        is_counted: Whether the call's usage is in the ledger.
    """

    call_id: str
    session_id: str | None
    turn_id: str | None
    owner: str | None
    agent: str | None
    key_id: str | None
    provider: str
    model_asked: str
    amount_nanousd: int | None
    amount_tokens: int
    budget_ids: tuple[str, ...]
    state: str
    is_overrun: bool
    created_at_us: int
    expires_at_us: int
    ended_at_us: int | None
    is_counted: bool


def check_budget(
    *,
    tenant_id: str,
    budget_id: str,
    scope: str,
    subject: str,
    period: str,
    time_zone: str,
    unit: str,
    limit_amount: int,
    mode: str,
    warn_percents: Sequence[int],
    now_us: int,
) -> Budget:
    """Check a budget; it counts from the start of the present window.

    Raises:
        InvalidInput: ``invalid_budget``, naming the field.
    """
    check_id(budget_id, "budget_id")
    for name, value, allowed in (
        ("scope", scope, SCOPES),
        ("window", period, PERIODS),
        ("unit", unit, UNITS),
        ("mode", mode, MODES),
    ):
        if value not in allowed:
            raise _invalid(name, f"must be one of {', '.join(allowed)}")
    if scope == "tenant" and subject:
        raise _invalid("subject", "a budget of the tenant has no subject")
    if scope != "tenant" and not check_text(subject, "subject", length_max=SUBJECT_LENGTH_MAX):
        raise _invalid("subject", f"must name one {scope}, or be {EACH} for each by itself")
    if type(limit_amount) is not int or not 0 <= limit_amount <= TOTAL_MAX:
        most = f"{format_usd(TOTAL_MAX)} dollars" if unit == "usd" else f"{TOTAL_MAX} {unit}"
        raise _invalid("limit", f"must be from 0 to {most}")
    percents = tuple(warn_percents)
    if len(percents) > WARN_MAX or not all(map(_is_percent, percents)):
        raise _invalid("warn_percents", f"must be at most {WARN_MAX} whole numbers from 1 to 100")
    if not is_zone(check_text(time_zone, "time_zone", length_max=ZONE_LENGTH_MAX)):
        raise _invalid("time_zone", "must be an IANA time zone, such as Europe/Berlin")
    return Budget(
        tenant_id=tenant_id,
        budget_id=budget_id,
        scope=scope,
        subject=subject,
        period=period,
        time_zone=time_zone,
        unit=unit,
        limit_amount=limit_amount,
        mode=mode,
        warn_percents=tuple(sorted(set(percents))),
        counts_from_us=find_window(period, time_zone, now_us).start_us,
        created_at_us=now_us,
        updated_at_us=now_us,
    )


def check_hold_state(state: str) -> str:
    """Return a state if a hold can be in it.

    Raises:
        InvalidInput: ``invalid_state``.
    """
    if state not in HOLD_STATES:
        raise InvalidInput(f"state must be one of {', '.join(HOLD_STATES)}", code="invalid_state")
    return state


def check_resolution(call_id: str, usage: NewUsage | None) -> NewUsage | None:
    """Check what somebody says that a call used; its id and its confidence follow from that.

    Raises:
        InvalidInput: As ``check_usage``.
    """
    check_id(call_id, "call_id")
    if usage is None:
        return None
    said = replace(usage, event_id=call_id, confidence=RECONCILED)
    return check_usage(said, call_id, is_hindsight=True)


def _is_percent(value: object) -> bool:
    return type(value) is int and value in _PERCENTS


def format_amount(unit: str, amount: int) -> str | int:
    """Write an amount as it goes out: dollars as a decimal string, tokens as a number.

    >>> format_amount("usd", 25_000_000_000), format_amount("tokens", 1_000)
    ('25', 1000)
    """
    return format_usd(amount) if unit == "usd" else amount


def parse_limit(unit: str, limit: str | int) -> int:
    """Read a limit that was written so.

    Raises:
        InvalidInput: ``invalid_budget``.

    >>> parse_limit("usd", "25.00"), parse_limit("tokens", 1_000)
    (25000000000, 1000)
    """
    if unit != "usd":
        if isinstance(limit, str):
            raise _invalid("limit", "tokens are a whole number")
        return limit
    try:
        return parse_usd(limit, most_nanousd=TOTAL_MAX)
    except InvalidInput as exc:
        raise _invalid("limit", 'dollars are a decimal string, such as "25.00"') from exc


def exceeded(state: BudgetState, required: int) -> LimitReached:
    """The error for a call that a budget has no room for."""
    budget = state.budget
    show = format_usd if budget.unit == "usd" else str
    end_us = state.window.end_us
    return LimitReached(
        f"budget {budget.budget_id!r} has {show(max(state.remaining, 0))} left of "
        f"{show(budget.limit_amount)} ({budget.unit} per {budget.period}); the call may take "
        f"{show(required)}",
        code="budget_exceeded",
        budget=budget.budget_id,
        scope=budget.scope,
        subject=state.subject or budget.tenant_id,
        window=budget.period,
        unit=budget.unit,
        limit=show(budget.limit_amount),
        spent=show(state.spent),
        held=show(state.held),
        remaining=show(max(state.remaining, 0)),
        required=show(required),
        resets_at=None if end_us is None else format_us(end_us),
    )


def unpriced_model(budget: Budget, model: str) -> LimitReached:
    """The error for a call of which nobody knows what it may cost, where money is limited."""
    return LimitReached(
        f"a call of model {model!r} has no price that bounds it, and budget "
        f"{budget.budget_id!r} limits money; say what it costs (hansard price import), and ask for "
        "nothing that is billed beside tokens",
        code="unpriced_model",
        budget=budget.budget_id,
        scope=budget.scope,
        model=model,
    )


def _invalid(field: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{field}: {reason}", code="invalid_budget", field=field)
