"""Threads over HTTP: made, listed, read, changed, forked, followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET

from hansard.core.errors import InvalidInput, NotFound
from hansard.core.items import Folded, Item, list_items
from hansard.core.sessions import NAME_LENGTH_MAX, SYSTEM_PROMPT_LENGTH_MAX, check_title
from hansard.core.strict_json import check_optional_text
from hansard.core.thread_edits import update
from hansard.core.thread_settings import ThreadSettings, change_settings
from hansard.core.threads import REPLAY_MAX, Thread, ThreadQuery, ThreadTurn
from hansard.core.times import format_us
from hansard.runtime.engine import Engine
from hansard.runtime.operations import Change, SyncSession
from hansard.runtime.threads import Runtime
from hansard.server.bodies import NoQuery
from hansard.server.calls import Call, Reply, Stream, next_cursor, page_limit, to_json
from hansard.server.endpoint import LAST_EVENT_ID, Body, Endpoint
from hansard.server.events import since as read_since
from hansard.server.sse import write_stream
from hansard.server.thread_shapes import (
    ThreadAnswer,
    ThreadBody,
    ThreadChangesBody,
    ThreadDetail,
    ThreadEventsQuery,
    ThreadsQuery,
    ThreadSummary,
    ThreadTurnRow,
    asked_settings,
)
from hansard.service.threads import ThreadService

TURNS_SHOWN: Final = 50  # of a thread's detail: the latest
PREVIEW_LENGTH: Final = 140

_OWN: Final = ("title", "model", "system_prompt", "archived")


async def create_thread(call: Call[NoQuery, ThreadBody]) -> Reply:
    """Make a thread."""
    runtime, body = runtime_of(call), call.body
    thread = await threads_of(call).create(
        agent_of(runtime, body.agent),
        title=body.title,
        model=body.model,
        system_prompt=body.system_prompt,
        settings=change_settings(ThreadSettings(), asked_settings(body)),
        archived=body.archived,
    )
    return _made(thread)


async def list_threads(call: Call[ThreadsQuery, None]) -> Reply:
    """List threads, the latest changed first; `X-Next-Cursor` says where it goes on."""
    page = await threads_of(call).list(_query(call))
    return Reply(
        to_json([ThreadAnswer.row(thread) for thread in page.items]), headers=next_cursor(page)
    )


async def summarize_threads(call: Call[ThreadsQuery, None]) -> Reply:
    """List threads with how their latest turns began."""
    threads = threads_of(call)
    page = await threads.list(_query(call))
    rows = []
    for thread in page.items:
        turns = await threads.list_turns(thread.id, limit=1)
        rows.append(
            ThreadSummary(
                id=thread.id,
                title=thread.title,
                preview=turns[0].prompt[:PREVIEW_LENGTH] if turns else None,
                model=thread.model,
                mode=thread.settings.mode,
                workspace=thread.settings.workspace,
                agent=thread.agent,
                archived=thread.archived,
                updated_at=format_us(thread.updated_at_us),
                latest_turn_id=thread.latest_turn_id,
                latest_turn_status=thread.latest_status,
            )
        )
    return Reply(to_json(rows), headers=next_cursor(page))


async def get_thread(call: Call[NoQuery, None]) -> Reply:
    """Return a thread with its latest turns and what they consist of."""
    threads, thread_id = threads_of(call), call.params["thread_id"]
    thread = await threads.get(thread_id)
    turns = await threads.list_turns(thread_id, limit=TURNS_SHOWN)
    items, running = await _items(call, thread, turns)
    detail = ThreadDetail(
        thread=ThreadAnswer.of(thread),
        turns=[ThreadTurnRow.of(thread_id, turn) for turn in reversed(turns)],
        items=items,
        latest_seq=thread.seq,
        pending_approvals=running.open_waits("approval"),
        pending_user_inputs=running.open_waits("user_input"),
        pending_dynamic_tool_calls=running.open_waits("tool_call"),
    )
    return Reply(to_json(detail))


async def update_thread(call: Call[NoQuery, ThreadChangesBody]) -> Reply:
    """Change what a thread says of itself, and return it as it is then."""
    settings = asked_settings(call.body)
    given = {name: getattr(call.body, name) for name in _OWN}
    fields = {name: value for name, value in given.items() if value is not UNSET}
    if not fields and all(value is None for value in settings.values()):
        raise InvalidInput("nothing is to change", code="nothing_to_change")
    for name in ("title", "system_prompt"):
        if fields.get(name) == "":
            fields[name] = None
    if fields.get("model") is not None and not fields["model"].strip():
        raise InvalidInput("model must not be blank", code="blank_model", field="model")
    if fields.get("title") is not None:
        fields["title"] = check_title(fields["title"])
    check_optional_text(fields.get("model"), "model", length_max=NAME_LENGTH_MAX)
    check_optional_text(
        fields.get("system_prompt"), "system_prompt", length_max=SYSTEM_PROMPT_LENGTH_MAX
    )
    engine = await engine_of(call)
    return Reply(to_json(ThreadAnswer.of(await engine.ask(Change(edit=update(fields, settings))))))


async def resume_thread(call: Call[NoQuery, None]) -> Reply:
    """Have the engine of a thread read the record anew, unless a turn runs."""
    engine = await engine_of(call)
    thread = engine.thread if engine.turn is not None else await engine.ask(SyncSession())
    return Reply(to_json(ThreadAnswer.of(thread)))


async def fork_thread(call: Call[NoQuery, None]) -> Reply:
    """Make a thread that begins as this one stands."""
    return _made(await threads_of(call).fork(call.params["thread_id"]))


async def follow_thread(call: Call[ThreadEventsQuery, None]) -> Stream:
    """Stream what happens in a thread, first the past, then live."""
    query, actor = call.query, call.record.actor
    thread = await threads_of(call).get(call.params["thread_id"])
    after = read_since(call, query.since_seq)
    if query.replay_limit is not None:
        if not 0 <= query.replay_limit <= REPLAY_MAX:
            raise InvalidInput(
                f"replay_limit must be from 0 to {REPLAY_MAX}", code="invalid_replay_limit"
            )
        after = max(after, thread.seq - query.replay_limit)
    source = runtime_of(call).source(actor, thread, after=after)
    stream = write_stream(source, call.context.streams, actor.tenant_id)
    return Stream(stream, b"text/event-stream")


def runtime_of(call: Call[Any, Any]) -> Runtime:
    """The runtime of the server.

    Raises:
        NotFound: ``no_agent``, if there is none.
    """
    runtime = call.context.runtime
    if runtime is None:
        raise NotFound("no agent answers here; the server was started without one", code="no_agent")
    return runtime


def agent_of(runtime: Runtime, name: str | None) -> str:
    """Return the name of an agent that is here; the first's, if none is given.

    Raises:
        InvalidInput: ``agent_unknown``.
    """
    name = name or next(iter(runtime.agents))
    if name not in runtime.agents:
        raise InvalidInput(
            f"agent must be one of {', '.join(runtime.agents)}", code="agent_unknown", field="agent"
        )
    return name


def threads_of(call: Call[Any, Any]) -> ThreadService:
    """The threads, as far as the caller reaches."""
    return runtime_of(call).threads(call.record.actor)


async def engine_of(call: Call[Any, Any]) -> Engine:
    """The engine of the thread that the path names."""
    return await runtime_of(call).engine(call.record.actor, call.params["thread_id"])


def _made(thread: Thread) -> Reply:
    location = (b"location", f"/v1/threads/{thread.id}".encode())
    return Reply(to_json(ThreadAnswer.of(thread)), 201, headers=(location,))


def _query(call: Call[ThreadsQuery, None]) -> ThreadQuery:
    query = call.query
    archived: bool | None = None if query.include_archived else False
    return ThreadQuery(
        limit=page_limit(call, query.limit),
        cursor=query.cursor,
        archived=True if query.archived_only else archived,
        search=query.search,
    )


async def _items(
    call: Call[Any, Any], thread: Thread, turns: Sequence[ThreadTurn]
) -> tuple[list[Item], Folded]:
    """What the turns consist of: by the journal, and by its events what runs still."""
    items: list[Item] = []
    running = Folded()
    first = min((turn.message_index for turn in turns), default=0)
    by_turn: dict[str, list[Mapping[str, Any]]] = {}
    async for message in call.record.messages(thread.id, after=first - 1):
        by_turn.setdefault(message.turn_id or "", []).append(message.body)
    for turn in reversed(turns):
        if turn.turn_id == thread.turn_id:
            running = await runtime_of(call).fold(call.record.actor, thread, turn)
            items += running.items.values()
        else:
            items += list_items(turn.turn_id, by_turn.get(turn.turn_id, []), turn.status)
    return items, running


_THREAD: Final = "/v1/threads/{thread_id}"

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/threads",
        name="create_thread",
        summary="Make a thread.",
        handler=create_thread,
        body=Body(shape=ThreadBody, required=False),
        answer=ThreadAnswer,
        status=201,
        errors=(400, 404),
    ),
    Endpoint(
        method="GET",
        path="/v1/threads",
        name="list_threads",
        summary="List threads, the latest changed first.",
        handler=list_threads,
        query=ThreadsQuery,
        answer=ThreadAnswer,
        listed=True,
        errors=(404,),
    ),
    Endpoint(
        method="GET",
        path="/v1/threads/summary",
        name="summarize_threads",
        summary="List threads with how their latest turns began.",
        handler=summarize_threads,
        query=ThreadsQuery,
        answer=ThreadSummary,
        listed=True,
        errors=(404,),
    ),
    Endpoint(
        method="GET",
        path=_THREAD,
        name="get_thread",
        summary="Get a thread with its latest turns and what they consist of.",
        handler=get_thread,
        answer=ThreadDetail,
        errors=(404,),
    ),
    Endpoint(
        method="PATCH",
        path=_THREAD,
        name="update_thread",
        summary="Change what a thread says of itself.",
        handler=update_thread,
        body=Body(shape=ThreadChangesBody),
        answer=ThreadAnswer,
        errors=(400, 404, 409),
    ),
    Endpoint(
        method="POST",
        path=f"{_THREAD}/resume",
        name="resume_thread",
        summary="Have the engine of a thread read the record anew.",
        handler=resume_thread,
        answer=ThreadAnswer,
        errors=(404, 409),
    ),
    Endpoint(
        method="POST",
        path=f"{_THREAD}/fork",
        name="fork_thread",
        summary="Make a thread that begins as this one stands.",
        handler=fork_thread,
        answer=ThreadAnswer,
        status=201,
        errors=(404,),
    ),
    Endpoint(
        method="GET",
        path=f"{_THREAD}/events",
        name="follow_thread",
        summary="Stream what happens in a thread, first the past, then live.",
        handler=follow_thread,
        query=ThreadEventsQuery,
        headers=(LAST_EVENT_ID,),
        media_type="text/event-stream",
        errors=(400, 404, 429),
    ),
)
