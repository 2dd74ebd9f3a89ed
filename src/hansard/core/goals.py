"""Goals: what a thread is to reach, and what it has used for that.

none --set--> active --block--> blocked        set again: another goal, counted from zero
                |                  |
                `---complete-------+--> complete
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hansard.core.errors import Conflict, Corrupt, InvalidInput
from hansard.core.ids import NOISE, make_ulid
from hansard.core.strict_json import check_text
from hansard.core.usage import TOTAL_MAX, UsageTotals

OBJECTIVE_LENGTH_MAX: Final = 4_000

_FROM: Final = {"blocked": ("active",), "complete": ("active", "blocked")}


class Goal(Struct, frozen=True, kw_only=True):
    """What a thread is to reach.

    Attributes:
        status: ``active``, ``blocked`` or ``complete``.
        token_budget: How many tokens it may take; nothing ends by itself at that.
        tokens_before: What the thread had used when it was set.
        tokens_after: What it had used when the goal was reached.
        replaces: The goal before it.
    """

    goal_id: str
    objective: str
    token_budget: int | None
    tokens_before: int
    created_at_us: int
    updated_at_us: int
    status: str = "active"
    tokens_after: int | None = None
    replaces: str | None = None

    def tokens_used(self, usage: UsageTotals) -> int:
        """How many tokens the thread has used for it, by the thread's usage."""
        until = _tokens(usage) if self.tokens_after is None else self.tokens_after
        return until - self.tokens_before


def make_goal(objective: str, *, token_budget: int | None, usage: UsageTotals, now_us: int) -> Goal:
    """Make a goal of a thread that has used so much.

    Raises:
        InvalidInput: ``blank_objective``, or ``invalid_field``.
    """
    text = check_text(objective, "objective", length_max=OBJECTIVE_LENGTH_MAX).strip()
    if not text:
        raise InvalidInput("the objective is blank", code="blank_objective", field="objective")
    if token_budget is not None and not 0 < token_budget <= TOTAL_MAX:
        raise InvalidInput(
            "token_budget must be above 0", code="invalid_field", field="token_budget"
        )
    return Goal(
        goal_id="goal_" + make_ulid(now_us, NOISE),
        objective=text,
        token_budget=token_budget,
        tokens_before=_tokens(usage),
        created_at_us=now_us,
        updated_at_us=now_us,
    )


def move_goal(goal: Goal, status: str, *, usage: UsageTotals, now_us: int) -> Goal:
    """Return a goal that is blocked or complete now.

    Raises:
        Conflict: ``goal_status``, if it cannot become that any more.
    """
    if goal.status not in _FROM[status]:
        raise Conflict(f"the goal is {goal.status}", code="goal_status", goal_id=goal.goal_id)
    after = _tokens(usage) if status == "complete" else None
    return replace(goal, status=status, tokens_after=after, updated_at_us=now_us)


def write_goal(goal: Goal | None) -> str | None:
    """Write a goal as the record holds it."""
    return None if goal is None else msgspec.json.encode(goal).decode()


def read_goal(text: str | None) -> Goal | None:
    """Read what ``write_goal`` wrote.

    Raises:
        Corrupt: ``invalid_goal``, if it did not.
    """
    try:
        return None if text is None else msgspec.json.decode(text, type=Goal)
    except msgspec.MsgspecError as exc:
        raise Corrupt("the goal of a thread cannot be read", code="invalid_goal") from exc


def _tokens(usage: UsageTotals) -> int:
    return usage.input_tokens + usage.output_tokens
