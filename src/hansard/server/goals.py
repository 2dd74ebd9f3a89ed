"""Goals of threads over HTTP: set, read, blocked, reached, forgotten."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from msgspec import Struct

from hansard.core.shapes import Time
from hansard.core.thread_edits import Editor, clear_goal, end_goal, goal_of, set_goal, tell_goal
from hansard.core.threads import Thread
from hansard.runtime.operations import Change
from hansard.server.bodies import NoQuery
from hansard.server.calls import Call, Reply, to_json
from hansard.server.endpoint import Body, Endpoint
from hansard.server.threads import engine_of, threads_of


class GoalBody(Struct, forbid_unknown_fields=True):
    """What a thread is to reach; nothing ends by itself when `token_budget` is used up."""

    objective: str
    token_budget: int | None = None


class GoalAnswer(Struct, kw_only=True):
    """A goal; ``tokens_used`` counts the turns that ended since it was set."""

    goal_id: str
    thread_id: str
    objective: str
    status: str
    token_budget: int | None
    tokens_used: int
    created_at: Time
    updated_at: Time


async def get_goal(call: Call[NoQuery, None]) -> Reply:
    """Return the goal of a thread."""
    return _told(await threads_of(call).get(call.params["thread_id"]))


async def put_goal(call: Call[NoQuery, GoalBody]) -> Reply:
    """Set the goal of a thread, in place of the one before."""
    body = call.body
    thread = await _change(call, set_goal(body.objective, body.token_budget, call.record.clock()))
    reply = _told(thread)
    is_first = goal_of(thread).replaces is None
    reply.status = HTTPStatus.CREATED if is_first else HTTPStatus.OK
    return reply


async def complete_goal(call: Call[NoQuery, None]) -> Reply:
    """Say that the goal is reached."""
    return _told(await _change(call, end_goal("complete", call.record.clock())))


async def block_goal(call: Call[NoQuery, None]) -> Reply:
    """Say that the goal cannot be reached for now."""
    return _told(await _change(call, end_goal("blocked", call.record.clock())))


async def delete_goal(call: Call[NoQuery, None]) -> Reply:
    """Forget the goal."""
    await _change(call, clear_goal)
    return Reply()


async def _change(call: Call[Any, Any], edit: Editor) -> Thread:
    return await (await engine_of(call)).ask(Change(edit=edit))


def _told(thread: Thread) -> Reply:
    return Reply(to_json(GoalAnswer(**tell_goal(goal_of(thread), thread))))


_GOAL: Final = "/v1/threads/{thread_id}/goal"

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path=_GOAL,
        name="get_goal",
        summary="Get the goal of a thread.",
        handler=get_goal,
        answer=GoalAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="PUT",
        path=_GOAL,
        name="put_goal",
        summary="Set the goal of a thread, in place of the one before.",
        handler=put_goal,
        body=Body(shape=GoalBody),
        answer=GoalAnswer,
        status=201,
        also=((200, "It takes the place of another."),),
        errors=(400, 404, 409, 429),
    ),
    Endpoint(
        method="DELETE",
        path=_GOAL,
        name="delete_goal",
        summary="Forget the goal of a thread.",
        handler=delete_goal,
        status=204,
        errors=(404, 409, 429),
    ),
    Endpoint(
        method="POST",
        path=f"{_GOAL}/complete",
        name="complete_goal",
        summary="Say that the goal of a thread is reached.",
        handler=complete_goal,
        answer=GoalAnswer,
        errors=(404, 409, 429),
    ),
    Endpoint(
        method="POST",
        path=f"{_GOAL}/block",
        name="block_goal",
        summary="Say that the goal of a thread cannot be reached for now.",
        handler=block_goal,
        answer=GoalAnswer,
        errors=(404, 409, 429),
    ),
)
