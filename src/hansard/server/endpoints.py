"""The endpoint table: every call of the HTTP API, once.

Routes, checks, the OpenAPI document, the page at ``/docs`` and ``docs/http_api.md`` all
come from it, and so does the test that tries each of them with a stranger's credentials.
The paths that are asked most stand first, because the router tries them in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from hansard.server import (
    answers,
    bodies,
    events,
    exports,
    health,
    messages,
    sessions,
    turns,
    usage,
)
from hansard.server.calls import Handler
from hansard.server.requests import JSON_TYPES

_SESSION: Final = "/v1/sessions/{session_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a call takes.

    Attributes:
        shape: None for bytes that the handler reads itself.
        large: A whole history, for which the larger limit holds.
    """

    shape: type[Struct] | None
    required: bool = True
    large: bool = False
    media_types: frozenset[bytes] = JSON_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A request header that a call heeds."""

    name: str
    text: str
    pattern: str


IF_MATCH: Final = Header(
    name="If-Match",
    text="ETag of the version that must still be there.",
    pattern=r'^("[0-9]{1,18}"|\*)$',
)
PREFER: Final = Header(
    name="Prefer",
    text="`return=minimal` leaves the history out.",
    pattern=r"^return=(minimal|representation)$",
)
IDEMPOTENCY_KEY: Final = Header(
    name="Idempotency-Key",
    text="The turn's id, instead of in the body.",
    pattern=r"^[A-Za-z0-9_\-:.]{1,128}$",
)
LAST_EVENT_ID: Final = Header(
    name="Last-Event-ID",
    text="The last event seen; counts more than `since`.",
    pattern=r"^[0-9]{1,15}$",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row.

    Attributes:
        name: Stable name of the operation.
        answer: Shape of the body; None if there is none, or it is not of one shape.
        status: On success, unless the handler says otherwise.
        also: Other statuses of success, and what they mean.
        errors: Statuses of failure beside those that follow from the rest of the row.
        media_type: Of the answer, where it is not JSON.
        open: Needs no credentials.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    query: type[Struct] = bodies.NoQuery
    body: Body | None = None
    headers: tuple[Header, ...] = ()
    answer: type[Struct] | None = None
    status: int = 200
    also: tuple[tuple[int, str], ...] = ()
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
    open: bool = False

    @property
    def safe(self) -> bool:
        """Whether the call changes nothing."""
        return self.method in {"GET", "HEAD"}

    @property
    def conditional(self) -> bool:
        """Whether the call heeds ``If-Match``."""
        return IF_MATCH in self.headers

    @property
    def noun(self) -> str:
        """What the call is about: the module of its handler."""
        return self.handler.__module__.rpartition(".")[2]


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path=_SESSION,
        name="get_session",
        summary="Get a session with its history.",
        handler=sessions.get_session,
        query=bodies.ViewQuery,
        answer=answers.SessionAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="HEAD",
        path=_SESSION,
        name="has_session",
        summary="Ask whether a session exists, and for its version.",
        handler=sessions.has_session,
        errors=(404,),
    ),
    Endpoint(
        method="PUT",
        path=_SESSION,
        name="save_session",
        summary="Save a whole history; only the difference is written.",
        handler=sessions.save_session,
        body=Body(shape=bodies.SaveBody, large=True),
        headers=(IF_MATCH,),
        answer=answers.Saved,
        errors=(404, 412),
    ),
    Endpoint(
        method="PATCH",
        path=_SESSION,
        name="update_session",
        summary="Change a session's own fields; `cost_data` is merged per key.",
        handler=sessions.update_session,
        body=Body(shape=bodies.UpdateBody),
        headers=(IF_MATCH, PREFER),
        answer=answers.UpdateAnswer,
        errors=(404, 412),
    ),
    Endpoint(
        method="DELETE",
        path=_SESSION,
        name="delete_session",
        summary="Remove a session with all that belongs to it.",
        handler=sessions.delete_session,
        answer=answers.Deleted,
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path=f"{_SESSION}/turns",
        name="append_turn",
        summary="Record a turn: messages, model calls and totals together, once.",
        handler=turns.append_turn,
        query=bodies.TurnQuery,
        body=Body(shape=bodies.TurnBody),
        headers=(IDEMPOTENCY_KEY,),
        answer=answers.TurnAnswer,
        status=201,
        also=((200, "Recorded before; the first answer again."),),
        errors=(404, 409),
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/turns",
        name="list_turns",
        summary="List turns, oldest first.",
        handler=turns.list_turns,
        query=bodies.PageQuery,
        answer=answers.TurnPage,
        errors=(404,),
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/messages",
        name="list_messages",
        summary="List messages.",
        handler=messages.list_messages,
        query=bodies.MessagesQuery,
        answer=answers.MessagePage,
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path=f"{_SESSION}/messages",
        name="append_messages",
        summary="Append messages that belong to no turn.",
        handler=messages.append_messages,
        body=Body(shape=bodies.AppendBody),
        answer=answers.Appended,
        status=201,
        errors=(404, 409),
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/cost_data",
        name="get_cost_data",
        summary="Get the clients' own cost object.",
        handler=sessions.get_cost_data,
        answer=answers.CostData,
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path="/v1/sessions",
        name="create_session",
        summary="Make a session.",
        handler=sessions.create_session,
        body=Body(shape=bodies.CreateBody, required=False),
        answer=answers.Created,
        status=201,
        errors=(409,),
    ),
    Endpoint(
        method="GET",
        path="/v1/sessions",
        name="list_sessions",
        summary="List sessions.",
        handler=sessions.list_sessions,
        query=bodies.SessionsQuery,
        answer=answers.SessionPage,
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/usage",
        name="get_usage",
        summary="Get a session's usage, also by model.",
        handler=usage.get_usage,
        answer=answers.UsageAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path=f"{_SESSION}/usage",
        name="add_usage",
        summary="Count a model call outside any turn, once per `event_id`.",
        handler=usage.add_usage,
        body=Body(shape=bodies.UsageEntryBody),
        answer=answers.UsageAdded,
        errors=(404, 409),
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/events",
        name="follow_events",
        summary="Follow a session's changes as server-sent events.",
        handler=events.follow_events,
        query=bodies.EventsQuery,
        headers=(LAST_EVENT_ID,),
        media_type="text/event-stream",
        errors=(404, 429),
    ),
    Endpoint(
        method="POST",
        path=f"{_SESSION}/fork",
        name="fork_session",
        summary="Make a session that shares the first messages.",
        handler=sessions.fork_session,
        body=Body(shape=bodies.ForkBody, required=False),
        answer=answers.Forked,
        status=201,
        errors=(400, 404),
    ),
    Endpoint(
        method="POST",
        path=f"{_SESSION}/revert",
        name="revert_session",
        summary="Cut the history back to its first messages.",
        handler=sessions.revert_session,
        body=Body(shape=bodies.RevertBody),
        status=204,
        errors=(400, 404),
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/verify",
        name="verify_session",
        summary="Recompute the digest chain and compare.",
        handler=sessions.verify_session,
        answer=answers.VerifyAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="GET",
        path=f"{_SESSION}/export",
        name="export_session",
        summary="Export a session as a document.",
        handler=exports.export_session,
        query=bodies.ExportQuery,
        media_type="*/*",
        errors=(404,),
    ),
    Endpoint(
        method="POST",
        path="/v1/sessions/import",
        name="import_session",
        summary="Import a document into new sessions.",
        handler=exports.import_session,
        query=bodies.ImportQuery,
        body=Body(shape=None, large=True, media_types=exports.IMPORT_TYPES),
        answer=answers.ImportAnswer,
        status=201,
        errors=(409,),
    ),
    Endpoint(
        method="GET",
        path="/livez",
        name="get_liveness",
        summary="Ask whether the process lives.",
        handler=health.get_liveness,
        answer=answers.Health,
        open=True,
    ),
    Endpoint(
        method="GET",
        path="/readyz",
        name="get_readiness",
        summary="Ask whether the service is ready, its database included.",
        handler=health.get_readiness,
        answer=answers.Health,
        open=True,
    ),
    Endpoint(
        method="GET",
        path="/healthz",
        name="get_health",
        summary="The same as `/livez`, under its older name.",
        handler=health.get_liveness,
        answer=answers.Health,
        open=True,
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        name="get_metrics",
        summary="Get metrics for Prometheus.",
        handler=health.get_metrics,
        media_type="text/plain",
    ),
    Endpoint(
        method="GET",
        path="/openapi.json",
        name="get_openapi",
        summary="Get the OpenAPI 3.1 document of this API.",
        handler=health.get_openapi,
    ),
    Endpoint(
        method="GET",
        path="/docs",
        name="get_docs",
        summary="Read about this API.",
        handler=health.get_docs,
        media_type="text/html",
    ),
)
