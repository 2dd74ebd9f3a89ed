"""Threads and sessions over HTTP: saved from the engine or from the record, and gone on with."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct

from hansard.core.errors import HansardError, InvalidInput, Unavailable
from hansard.core.ids import check_id, check_strict_id
from hansard.core.sessions import SYSTEM_PROMPT_LENGTH_MAX
from hansard.core.shapes import Time
from hansard.core.thread_settings import ThreadSettings, change_settings
from hansard.core.threads import check_prompt
from hansard.core.times import format_us
from hansard.runtime import saves
from hansard.runtime.operations import SendMessage, TurnState
from hansard.server.answers import StoredObjects
from hansard.server.bodies import Id, Index, NewSessionId, NoQuery
from hansard.server.calls import Call, Reply, etag, to_json
from hansard.server.endpoint import IF_MATCH, Body, Endpoint
from hansard.server.preconditions import expected_version
from hansard.server.session_shapes import SessionMetadata
from hansard.server.thread_shapes import ThreadAnswer
from hansard.server.thread_turns import TurnStarted, begun
from hansard.server.threads import agent_of, runtime_of, threads_of

WAIT_MAX_MS: Final = 60_000


class SaveThreadBody(Struct, forbid_unknown_fields=True):
    """Which thread to save as which session; both may be left to the server."""

    thread_id: Id | None = None
    session_id: NewSessionId | None = None
    allow_empty: bool = False


class SaveThreadQuery(Struct, frozen=True):
    """`wait=turn` saves after the turn that runs, if that ends within `timeout_ms`."""

    wait: Annotated[str, Meta(extra_json_schema={"enum": ["turn"]})] | None = None
    timeout_ms: Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": WAIT_MAX_MS})] = (
        30_000
    )


class ResumeBody(Struct, forbid_unknown_fields=True):
    """Who goes on with a session; without ``agent`` it is the server's first."""

    agent: str | None = None
    model: str | None = None
    mode: str | None = None


class UndoBody(Struct, forbid_unknown_fields=True):
    """How many turns are left out beside the last."""

    depth: Index = 0


class RetryBody(Struct, forbid_unknown_fields=True):
    """The same, and what is asked in place of what was."""

    depth: Index = 0
    prompt: str | None = None


class SavedDocument(Struct, kw_only=True):
    """A saved session with its history."""

    metadata: SessionMetadata
    messages: StoredObjects
    system_prompt: str | None


class SavedTurn(Struct, kw_only=True):
    """A turn that runs: ``text`` and ``reasoning`` are being said, and stand in no message yet."""

    id: str
    number: int
    kind: str
    status: str
    steer_count: int
    started_at: Time
    text: str
    reasoning: str
    waits: list[dict[str, Any]]

    @classmethod
    def of(cls, turn: TurnState) -> SavedTurn:
        """Write the state of a turn."""
        return cls(
            id=turn.id,
            number=turn.number,
            kind=turn.kind,
            status="in_progress",
            steer_count=turn.steer_count,
            started_at=format_us(turn.started_at_us),
            text=turn.text,
            reasoning=turn.reasoning,
            waits=list(turn.waits),
        )


class ThreadSaved(Struct, kw_only=True):
    """What was saved, of which moment of which thread.

    ``seq`` is the event that it corresponds to, ``turn`` the one that ran then; ``model`` and
    ``provider`` those that the thread asks for, or that answered last. ``chosen`` says whether
    the thread was named, or is the one that changed last.
    """

    session_id: str
    thread_id: str
    chosen: str
    created: bool
    agent: str
    model: str | None
    provider: str | None
    seq: int
    turn: SavedTurn | None
    appended: int
    replaced: int
    version: int
    session: SavedDocument


class ThreadResumed(Struct, kw_only=True):
    """The thread that goes on with a session."""

    thread_id: str
    session_id: str
    message_count: int
    summary: str


class ThreadUndone(Struct, kw_only=True):
    """A thread without the turns that were undone, and what had been asked first in them."""

    thread: ThreadAnswer
    original_user_text: str | None


async def save_thread(call: Call[SaveThreadQuery, SaveThreadBody]) -> Reply:
    """Save what the engine of a thread holds as a session, also while a turn runs."""
    body, query = call.body, call.query
    if query.wait not in {None, "turn"} or not 0 <= query.timeout_ms <= WAIT_MAX_MS:
        raise InvalidInput("wait must be turn, for a minute at most", code="invalid_query")
    _check_session_id(body.session_id)
    try:
        saved = await saves.save(
            runtime_of(call),
            call.record.actor,
            body.thread_id,
            body.session_id,
            wait_s=query.timeout_ms / 1000 if query.wait else None,
            allow_empty=body.allow_empty,
            expected_version=await expected_version(call, body.session_id),
        )
    except TimeoutError as exc:
        raise Unavailable("the turn does not end in time", code="turn_runs") from exc
    session, texts = await call.record.read_history(saved.session.id)
    document = SavedDocument(
        metadata=SessionMetadata.of(session),
        messages=Raw(f"[{','.join(texts)}]"),
        system_prompt=session.system_prompt,
    )
    answer = ThreadSaved(
        session_id=session.id,
        thread_id=saved.snapshot.thread.id,
        chosen="latest" if body.thread_id is None else "named",
        created=saved.is_new,
        agent=saved.snapshot.thread.agent,
        model=saved.snapshot.model,
        provider=saved.snapshot.provider,
        seq=saved.snapshot.seq,
        turn=None if saved.snapshot.turn is None else SavedTurn.of(saved.snapshot.turn),
        appended=saved.receipt.appended,
        replaced=saved.receipt.replaced,
        version=session.version,
        session=document,
    )
    return Reply(to_json(answer), headers=(etag(session.version),))


def _check_session_id(session_id: str | None) -> None:
    """Check that a session can have that id.

    Raises:
        InvalidInput: ``invalid_session_id``.
    """
    try:
        if session_id is not None:
            check_strict_id(session_id, "session_id")
    except InvalidInput as exc:
        raise InvalidInput(exc.message, code="invalid_session_id", field="session_id") from exc


async def resume_session(call: Call[NoQuery, ResumeBody]) -> Reply:
    """Make a thread that goes on where a session stands."""
    check_id(call.session_id, "session_id")
    body = call.body
    thread, session = await threads_of(call).resume(
        call.session_id,
        agent_of(runtime_of(call), body.agent),
        model=body.model,
        settings=change_settings(ThreadSettings(), {"mode": body.mode}),
    )
    answer = ThreadResumed(
        thread_id=thread.id,
        session_id=session.id,
        message_count=thread.message_count,
        summary=f"resumed {session.title or session.id} with {thread.message_count} messages",
    )
    location = (b"location", f"/v1/threads/{thread.id}".encode())
    return Reply(to_json(answer), headers=(location,))


async def undo_turns(call: Call[NoQuery, UndoBody]) -> Reply:
    """Make a thread without the last turns of this one."""
    thread, asked = await threads_of(call).undo(call.params["thread_id"], call.body.depth)
    return Reply(to_json(ThreadUndone(thread=ThreadAnswer.of(thread), original_user_text=asked)))


async def retry_turn(call: Call[NoQuery, RetryBody]) -> Reply:
    """Make a thread without the last turns of this one, and ask again.

    Nothing is left of it if its turn cannot begin.
    """
    body, actor = call.body, call.record.actor
    if body.prompt is not None:
        check_prompt(body.prompt, SYSTEM_PROMPT_LENGTH_MAX)
    thread, asked = await threads_of(call).undo(call.params["thread_id"], body.depth)
    prompt = body.prompt if body.prompt is not None else asked
    try:
        if prompt is None:
            raise InvalidInput("there is nothing to ask again; send a prompt", code="blank_prompt")
        engine = await runtime_of(call).engine(actor, thread.id)
        turn_id = await engine.ask(SendMessage(prompt=prompt, key_id=actor.key_id))
    except HansardError:
        await threads_of(call).discard(thread.id)
        raise
    return Reply(to_json(await begun(call, engine, turn_id)))


async def save_stored(call: Call[Any, Any], thread_id: str, title: str | None) -> Reply:
    """Save what the record holds of a thread as a new session; no turn may be under way."""
    session = await threads_of(call).copy_to_session(thread_id, title)
    answer = {
        "session_id": session.id,
        "thread_id": thread_id,
        "message_count": session.message_count,
        "title": session.title,
    }
    location = (b"location", f"/v1/sessions/{session.id}".encode())
    return Reply(to_json(answer), HTTPStatus.CREATED, (location, etag(session.version)))


ENDPOINTS: Final = (
    Endpoint(
        method="PUT",
        path="/v1/sessions",
        name="save_thread",
        summary="Save what the engine of a thread holds as a session.",
        handler=save_thread,
        query=SaveThreadQuery,
        body=Body(shape=SaveThreadBody),
        headers=(IF_MATCH,),
        answer=ThreadSaved,
        errors=(400, 404, 409, 412, 429, 504),
    ),
    Endpoint(
        method="POST",
        path="/v1/sessions/{session_id}/resume-thread",
        name="resume_session",
        summary="Make a thread that goes on where a session stands.",
        handler=resume_session,
        body=Body(shape=ResumeBody, required=False),
        answer=ThreadResumed,
        status=201,
        errors=(400, 404),
    ),
    Endpoint(
        method="POST",
        path="/v1/threads/{thread_id}/undo",
        name="undo_turns",
        summary="Make a thread without the last turns of this one.",
        handler=undo_turns,
        body=Body(shape=UndoBody, required=False),
        answer=ThreadUndone,
        status=201,
        errors=(400, 404, 409),
    ),
    Endpoint(
        method="POST",
        path="/v1/threads/{thread_id}/retry",
        name="retry_turn",
        summary="Make a thread without the last turns of this one, and ask again.",
        handler=retry_turn,
        body=Body(shape=RetryBody, required=False),
        answer=TurnStarted,
        status=201,
        errors=(400, 404, 409, 429),
    ),
)
