"""Edits: what is changed in a thread's head, decided by what it is when that comes to pass.

An editor is called by whoever may write to the thread, one after another; it raises what
forbids the change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from hansard.core.errors import NotFound
from hansard.core.goals import Goal, make_goal, move_goal
from hansard.core.thread_settings import change_settings
from hansard.core.threads import Thread, turn_active
from hansard.core.times import format_us


class Edit(NamedTuple):
    """Fields of a ``Thread`` that change, and the event that tells of it."""

    fields: dict[str, Any]
    kind: str
    payload: dict[str, Any]


Editor = Callable[[Thread], Edit]


def update(fields: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Editor:
    """Change fields of the head, and of its settings as far as they are given.

    The editor raises:
        InvalidInput: As ``change_settings`` does.
        Conflict: ``turn_active``, where the workspace would change in the middle of a turn.
    """
    asked = {name: value for name, value in (settings or {}).items() if value is not None}

    def edit(thread: Thread) -> Edit:
        changed = change_settings(thread.settings, asked)
        if thread.turn_id is not None and changed.workspace != thread.settings.workspace:
            raise turn_active(thread.id, thread.turn_id)
        return Edit(
            {**fields, "settings": changed},
            "thread.updated",
            {"changes": sorted([*fields, *asked])},
        )

    return edit


def set_goal(objective: str, token_budget: int | None, now_us: int) -> Editor:
    """Set a goal, in place of the one before."""

    def edit(thread: Thread) -> Edit:
        goal = make_goal(
            objective, token_budget=token_budget, usage=thread.total_usage, now_us=now_us
        )
        before = thread.goal
        return _told(thread, goal if before is None else replace(goal, replaces=before.goal_id))

    return edit


def end_goal(status: str, now_us: int) -> Editor:
    """Say that the goal is ``blocked`` or ``complete``."""

    def edit(thread: Thread) -> Edit:
        goal = move_goal(goal_of(thread), status, usage=thread.total_usage, now_us=now_us)
        return _told(thread, goal)

    return edit


def clear_goal(thread: Thread) -> Edit:
    """Forget the goal; itself an editor."""
    return Edit({"goal": None}, "thread_goal_cleared", {"goal_id": goal_of(thread).goal_id})


def goal_of(thread: Thread) -> Goal:
    """Return the goal of a thread.

    Raises:
        NotFound: ``goal_not_found``.
    """
    if thread.goal is None:
        raise NotFound("the thread has no goal", code="goal_not_found", thread_id=thread.id)
    return thread.goal


def tell_goal(goal: Goal, thread: Thread) -> dict[str, Any]:
    """What is told of a thread's goal."""
    return {
        "goal_id": goal.goal_id,
        "thread_id": thread.id,
        "objective": goal.objective,
        "status": goal.status,
        "token_budget": goal.token_budget,
        "tokens_used": goal.tokens_used(thread.total_usage),
        "created_at": format_us(goal.created_at_us),
        "updated_at": format_us(goal.updated_at_us),
    }


def _told(thread: Thread, goal: Goal) -> Edit:
    return Edit({"goal": goal}, "thread_goal_updated", {"goal": tell_goal(goal, thread)})
