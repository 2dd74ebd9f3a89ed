"""Turns of threads over HTTP: begun, steered, interrupted, and answered by people."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from hansard.core.errors import InvalidInput, NotFound
from hansard.core.thread_edits import update
from hansard.core.threads import ThreadTurn, thread_of_approval
from hansard.runtime.desks import DECISIONS
from hansard.runtime.engine import Engine
from hansard.runtime.operations import Change, Compact, Interrupt, SendMessage, Steer
from hansard.server.bodies import NoQuery
from hansard.server.calls import Call, Reply, to_json
from hansard.server.endpoint import Body, Endpoint
from hansard.server.thread_shapes import (
    ThreadAnswer,
    ThreadTurnRow,
    TurnSettingsBody,
    asked_settings,
)
from hansard.server.threads import engine_of, runtime_of, threads_of


class ThreadTurnBody(TurnSettingsBody, forbid_unknown_fields=True, kw_only=True):
    """A turn to begin; what is said beside the prompt holds for this turn alone."""

    prompt: str
    input_summary: str | None = None
    model: str | None = None
    environment_id: str | None = None


class CompactBody(Struct, forbid_unknown_fields=True):
    """Sum up, or (``undo``) go on with the whole history again; the turn tells the reason."""

    reason: str | None = None
    undo: bool = False


class SteerBody(Struct, forbid_unknown_fields=True):
    """What is said to a running turn."""

    prompt: str


class DecisionBody(Struct, forbid_unknown_fields=True):
    """Whether a tool may be called; ``remember`` allows all that the thread will ask for."""

    decision: Annotated[str, Meta(extra_json_schema={"enum": list(DECISIONS)})]
    remember: bool = False


class ToolPart(Struct):
    """A part of a tool's result."""

    type: str
    text: str | None = None
    image_url: str | None = None


class ToolResultBody(Struct, forbid_unknown_fields=True):
    """What a tool gave that the client ran."""

    success: bool
    content: list[ToolPart] = []


class InputAnswer(Struct):
    """The answer to one question."""

    id: str
    value: str
    label: str | None = None


class InputBody(Struct, forbid_unknown_fields=True):
    """A person's answers; they are told to the agent, and to nobody else."""

    answers: list[InputAnswer]


class TurnStarted(Struct):
    """A thread and its turn."""

    thread: ThreadAnswer
    turn: ThreadTurnRow


class DecisionAnswer(Struct):
    """The decision reached the agent."""

    approval_id: str
    decision: str
    ok: bool = True
    delivered: bool = True


class InputDelivered(Struct):
    """The answers reached the agent."""

    input_id: str
    ok: bool = True
    delivered: bool = True


async def start_turn(call: Call[NoQuery, ThreadTurnBody]) -> Reply:
    """Begin a turn; it goes on whoever listens."""
    engine, body = await engine_of(call), call.body
    turn_id = await engine.ask(
        SendMessage(
            prompt=body.prompt,
            model=body.model,
            summary=body.input_summary or "",
            settings=asked_settings(body, "environment_id"),
            key_id=call.record.actor.key_id,
        )
    )
    return Reply(to_json(await begun(call, engine, turn_id)), 201)


async def compact_thread(call: Call[NoQuery, CompactBody]) -> Reply:
    """Sum up what was said, for the agent to go on with; the record keeps all of it."""
    engine = await engine_of(call)
    if call.body.undo:
        thread = await engine.ask(Change(edit=update({"context": None})))
        return Reply(to_json(ThreadAnswer.of(thread)), 200)
    turn_id = await engine.ask(
        Compact(summary=call.body.reason or "", key_id=call.record.actor.key_id)
    )
    return Reply(to_json(await begun(call, engine, turn_id)), 202)


async def steer_turn(call: Call[NoQuery, SteerBody]) -> Reply:
    """Say something that the agent hears with its next model call."""
    engine, turn_id = await engine_of(call), call.params["turn_id"]
    count = await engine.ask(Steer(turn_id=turn_id, prompt=call.body.prompt))
    row = ThreadTurnRow.of(engine.thread.id, await _turn(call, turn_id))
    row.steer_count = count
    return Reply(to_json(row))


async def interrupt_turn(call: Call[NoQuery, None]) -> Reply:
    """End a running turn; how it ended is told by its last event."""
    engine, turn_id = await engine_of(call), call.params["turn_id"]
    await engine.ask(Interrupt(turn_id=turn_id))
    return Reply(to_json(ThreadTurnRow.of(engine.thread.id, await _turn(call, turn_id))))


async def decide(call: Call[NoQuery, DecisionBody]) -> Reply:
    """Say whether a tool may be called."""
    return await _decide(call, await engine_of(call))


async def decide_anywhere(call: Call[NoQuery, DecisionBody]) -> Reply:
    """Say whether a tool may be called, by the approval alone."""
    runtime, approval_id = runtime_of(call), call.params["approval_id"]
    thread_id = thread_of_approval(approval_id)
    if thread_id is None:
        raise NotFound(f"no open approval {approval_id!r}", code="approval_not_found")
    return await _decide(call, await runtime.engine(call.record.actor, thread_id))


async def answer_input(call: Call[NoQuery, InputBody]) -> Reply:
    """Answer an agent's question."""
    engine, input_id = await engine_of(call), call.params["input_id"]
    if not call.body.answers:
        raise InvalidInput("there is no answer", code="invalid_field", field="answers")
    if engine.turn is None:
        raise NotFound("no turn is under way", code="user_input_not_found")
    engine.turn.desk.answer(input_id, to_json(call.body.answers).decode())
    return Reply(to_json(InputDelivered(input_id)))


async def resolve_tool_call(call: Call[NoQuery, ToolResultBody]) -> Reply:
    """Give the result of a tool that the client ran."""
    engine = await engine_of(call)
    if engine.turn is None or engine.turn.plan.turn_id != call.params["turn_id"]:
        raise NotFound("that turn is not under way", code="tool_call_not_found")
    body = call.body
    parts = [part.text if part.text is not None else part.image_url or "" for part in body.content]
    engine.turn.desk.resolve(call.params["call_id"], "\n".join(parts), success=body.success)
    return Reply(b"{}", 202)


async def begun(call: Call[Any, Any], engine: Engine, turn_id: str) -> TurnStarted:
    """What is told of a turn that began: its thread as of the turn's first event."""
    turn = await threads_of(call).get_turn(engine.thread.id, turn_id)
    assert turn is not None
    thread = replace(engine.thread, seq=turn.started_seq)
    return TurnStarted(ThreadAnswer.of(thread), ThreadTurnRow.of(thread.id, turn))


async def _decide(call: Call[NoQuery, DecisionBody], engine: Engine) -> Reply:
    approval_id, body = call.params["approval_id"], call.body
    await engine.decide(approval_id, body.decision, remember=body.remember)
    return Reply(to_json(DecisionAnswer(approval_id, body.decision)))


async def _turn(call: Call[Any, Any], turn_id: str) -> ThreadTurn:
    turn = await threads_of(call).get_turn(call.params["thread_id"], turn_id)
    if turn is None:
        raise NotFound(f"no turn {turn_id!r}", code="turn_not_found", turn_id=turn_id)
    return turn


_TURNS: Final = "/v1/threads/{thread_id}/turns"

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path=_TURNS,
        name="start_turn",
        summary="Begin a turn of a thread.",
        handler=start_turn,
        body=Body(shape=ThreadTurnBody),
        answer=TurnStarted,
        status=201,
        errors=(400, 404, 409, 429),
    ),
    Endpoint(
        method="POST",
        path="/v1/threads/{thread_id}/compact",
        name="compact_thread",
        summary="Sum up what was said, for the agent to go on with.",
        handler=compact_thread,
        body=Body(shape=CompactBody, required=False),
        answer=TurnStarted,
        status=202,
        also=((200, "The whole history counts again; the thread."),),
        errors=(400, 404, 409, 429),
    ),
    Endpoint(
        method="POST",
        path=f"{_TURNS}/{{turn_id}}/steer",
        name="steer_turn",
        summary="Say something to a running turn.",
        handler=steer_turn,
        body=Body(shape=SteerBody),
        answer=ThreadTurnRow,
        errors=(400, 404, 409, 429),
    ),
    Endpoint(
        method="POST",
        path=f"{_TURNS}/{{turn_id}}/interrupt",
        name="interrupt_turn",
        summary="End a running turn.",
        handler=interrupt_turn,
        answer=ThreadTurnRow,
        errors=(404, 409, 429),
    ),
    Endpoint(
        method="POST",
        path=f"{_TURNS}/{{turn_id}}/tool-calls/{{call_id}}/result",
        name="resolve_tool_call",
        summary="Give the result of a tool that the client ran.",
        handler=resolve_tool_call,
        body=Body(shape=ToolResultBody),
        status=202,
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path="/v1/threads/{thread_id}/approvals/{approval_id}",
        name="decide",
        summary="Say whether a tool may be called.",
        handler=decide,
        body=Body(shape=DecisionBody),
        answer=DecisionAnswer,
        errors=(400, 404),
    ),
    Endpoint(
        method="POST",
        path="/v1/approvals/{approval_id}",
        name="decide_anywhere",
        summary="Say whether a tool may be called, by the approval alone.",
        handler=decide_anywhere,
        body=Body(shape=DecisionBody),
        answer=DecisionAnswer,
        errors=(400, 404),
    ),
    Endpoint(
        method="POST",
        path="/v1/user-input/{thread_id}/{input_id}",
        name="answer_input",
        summary="Answer an agent's question.",
        handler=answer_input,
        body=Body(shape=InputBody),
        answer=InputDelivered,
        errors=(404,),
    ),
)
