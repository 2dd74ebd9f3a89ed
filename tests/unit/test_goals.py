"""Goals: how they go on, and what is counted for them."""

from __future__ import annotations

import pytest

from hansard.core.errors import Conflict, Corrupt, InvalidInput
from hansard.core.goals import Goal, make_goal, move_goal, read_goal, write_goal
from hansard.core.usage import NO_USAGE, TOTAL_MAX, UsageTotals

USED = UsageTotals(1, 10, 0, 0, 5, 0, 0, 0)
MORE = UsageTotals(2, 20, 0, 0, 25, 0, 0, 0)


def goal(usage: UsageTotals = NO_USAGE, token_budget: int | None = None) -> Goal:
    return make_goal(" Sell seats ", token_budget=token_budget, usage=usage, now_us=1)


def test_goal_counts_from_when_it_was_set() -> None:
    made = goal(USED, token_budget=100)
    assert (made.objective, made.status, made.token_budget) == ("Sell seats", "active", 100)
    assert (made.tokens_used(USED), made.tokens_used(MORE)) == (0, 30)


def test_goal_that_is_reached_counts_no_more() -> None:
    done = move_goal(goal(), "complete", usage=USED, now_us=2)
    assert (done.status, done.updated_at_us, done.tokens_used(MORE)) == ("complete", 2, 15)


def test_blocked_goal_can_still_be_reached_and_counts_on() -> None:
    blocked = move_goal(goal(), "blocked", usage=USED, now_us=2)
    assert blocked.tokens_used(MORE) == 45
    assert move_goal(blocked, "complete", usage=MORE, now_us=3).status == "complete"


@pytest.mark.parametrize(
    ("was", "status"),
    [("complete", "complete"), ("complete", "blocked"), ("blocked", "blocked")],
)
def test_goal_does_not_go_back(was: str, status: str) -> None:
    moved = move_goal(goal(), was, usage=USED, now_us=2)
    with pytest.raises(Conflict) as refused:
        move_goal(moved, status, usage=USED, now_us=3)
    assert refused.value.code == "goal_status"


@pytest.mark.parametrize("objective", ["", " \n", "o" * 4_001])
def test_goal_says_something_in_few_words(objective: str) -> None:
    with pytest.raises(InvalidInput):
        make_goal(objective, token_budget=None, usage=NO_USAGE, now_us=1)


@pytest.mark.parametrize("token_budget", [0, -1, TOTAL_MAX + 1])
def test_budget_of_a_goal_is_a_number_of_tokens(token_budget: int) -> None:
    with pytest.raises(InvalidInput):
        goal(token_budget=token_budget)


def test_goal_is_read_as_it_was_written() -> None:
    made = goal(USED, token_budget=7)
    assert read_goal(write_goal(made)) == made
    assert (write_goal(None), read_goal(None)) == (None, None)
    with pytest.raises(Corrupt):
        read_goal("{}")
