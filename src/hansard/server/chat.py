"""Chat completions over HTTP, as OpenAI's clients ask for them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from hansard.core.budgets import BudgetWarning
from hansard.core.errors import HansardError, InvalidInput, LimitReached, NotFound
from hansard.core.history import check_way
from hansard.core.ids import NOISE, check_id
from hansard.core.messages import ROLES
from hansard.core.money import format_usd
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.threads import check_no_journal
from hansard.core.times import format_us
from hansard.runtime.agents.protocol import AgentFailed
from hansard.runtime.agents.protocol import Headers as AgentHeaders
from hansard.runtime.chat import Chat
from hansard.runtime.deliveries import Opening
from hansard.runtime.histories import MESSAGES_MAX
from hansard.runtime.turns import Asked, Turn
from hansard.server.bodies import Id, RoleMessage
from hansard.server.calls import Call, Headers, Later, Reply, Stream, to_json
from hansard.server.errors import openai_failure
from hansard.server.requests import idempotency_key

FITS: Final = ("refuse", "clamp")
FORWARDED: Final = (
    b"traceparent",
    b"tracestate",
    b"openai-beta",
    b"http-referer",
    b"x-title",
)
"""Headers of a request that an upstream may want; never credentials, nor whose bill it is."""

PASSED_ON: Final = ("openai-processing-ms", "openai-version", "retry-after", "x-ratelimit-")
"""How the headers of an upstream's answer begin that a client gets, beside its content type.

Others are about the connection, about the operator (``openai-organization``), or ours to set.
"""

_TRACE_PARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class ChatQuery(Struct, frozen=True):
    """What to do where a budget is too small for a call: refuse it, or lower its limit."""

    fit: Annotated[str, Meta(extra_json_schema={"enum": sorted(FITS)})] | None = None


class ChatBody(Struct):
    """A chat completion's request; what is not named here goes to the model as it is."""

    messages: list[RoleMessage]
    model: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] | None = None
    stream: bool | None = None
    session_id: Id | None = None
    metadata: dict[str, Any] | None = None


class ModelList(Struct):
    """Models, as OpenAI lists them."""

    data: list[dict[str, Any]]
    object: str = "list"


class ChatFailureBody(Struct):
    """What went wrong, as OpenAI's clients read it, with what is known beside that."""

    message: str
    type: str
    param: str | None
    code: str
    details: dict[str, Any]


class ChatFailure(Struct):
    """Every answer of status 400 and above; an upstream's own may have less in it."""

    error: ChatFailureBody
    detail: str | dict[str, Any]


ChatCall = Call[ChatQuery, dict[str, Any]]


async def complete_chat(call: ChatCall) -> Later:
    """Let the agent answer, and record the turn.

    The session is named by `session_id`, by the header `X-Session-Id` or by
    `metadata.session_id`, and made when it is new; without one, only the usage is recorded.
    The answer is a stream of events if the body says `stream`.
    """
    chat = _chat(call)
    turn = chat.begin(_asked(call))
    return Later(_answer(call, turn))


async def list_models(call: Call[Any, None]) -> Reply:
    """List what a request may name as its model."""
    try:
        models = await _chat(call).models()
    except AgentFailed as failed:
        return _failed(failed)
    return Reply(to_json(ModelList(models)))


def _chat(call: Call[Any, Any]) -> Chat:
    chat = call.context.chat
    if chat is None:
        raise NotFound(
            "no agent answers here; the server was started without an upstream", code="no_agent"
        )
    return chat


def _asked(call: ChatCall) -> Asked:
    settings, headers = call.context.settings.chat, call.headers
    body = dict(call.body)
    fit = call.query.fit or headers.get(b"x-budget-fit", settings.budget_fit.encode()).decode(
        "latin-1"
    )
    if fit not in FITS:
        raise InvalidInput(f"fit must be one of {', '.join(FITS)}", code="invalid_fit")
    _check_messages(body["messages"])
    return Asked(
        record=call.record,
        session_id=_session_id(body, headers),
        body=_for_agent(body),
        size_bytes=call.size_bytes,
        way=_history_mode(headers),
        key=idempotency_key(headers) or None,
        is_clamped=fit == "clamp",
        headers=tuple(
            (name.decode(), headers[name].decode("latin-1"))
            for name in FORWARDED
            if name in headers
        ),
        client_left=call.client_left,
    )


def _for_agent(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request without what is said to us."""
    kept = {name: value for name, value in body.items() if name != "session_id"}
    told = body.get("metadata")
    if isinstance(told, Mapping) and "session_id" in told:
        del kept["metadata"]
        if metadata := {name: value for name, value in told.items() if name != "session_id"}:
            kept["metadata"] = metadata
    return kept


def _history_mode(headers: Mapping[bytes, bytes]) -> str:
    """What the messages are; OpenAI's clients say when they send a request again."""
    mode = check_way(headers.get(b"x-session-history", b"auto").decode("latin-1"))
    is_sent_again = headers.get(b"x-stainless-retry-count", b"0") not in {b"", b"0"}
    return "retry" if is_sent_again and mode == "auto" else mode


def _check_messages(messages: list[dict[str, Any]]) -> None:
    """Refuse before a model is asked what could not be recorded after, or none takes."""
    if not messages:
        raise InvalidInput("there is no message", code="invalid_messages", field="messages")
    if len(messages) > MESSAGES_MAX:
        raise LimitReached(
            f"a request has up to {MESSAGES_MAX:,} messages; leave out the first of them",
            code="history_too_long",
            limit=MESSAGES_MAX,
        )
    for index, message in enumerate(messages):
        role = message.get("role")
        if not (isinstance(role, str) and role in ROLES):
            raise InvalidInput(
                f"message {index} has no role of {', '.join(sorted(ROLES))}",
                code="invalid_role",
                field=f"messages.[{index}].role",
            )


def _session_id(body: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str | None:
    """The session that a request names, in one place or in several."""
    header = headers.get(b"x-session-id")
    named = {
        body.get("session_id"),
        None if header is None else header.decode("latin-1"),
        _named_in(body.get("metadata")),
    } - {None}
    if len(named) > 1:
        raise InvalidInput("the request names several sessions", code="ambiguous_session")
    if not named:
        return None
    session_id = check_id(named.pop(), "session_id")
    check_no_journal(session_id)
    return session_id


def _named_in(metadata: Mapping[str, Any] | None) -> str | None:
    named = (metadata or {}).get("session_id")
    return None if named is None else check_id(named, "session_id")


async def _answer(call: ChatCall, turn: Turn) -> Reply | Stream:
    delivery = turn.delivery
    headers = _headers(call, turn)
    try:
        opening = await delivery.opened
    except (AgentFailed, HansardError) as error:
        reply = _failed(error)
        return Reply(reply.body, reply.status, (*reply.headers, *headers))
    headers += _headers_of(opening)
    told = _raw(dict(opening.headers).get("content-type", "application/json"))
    if turn.is_stream:
        return Stream(_pieces(turn), told, headers, opening.status, ends_with_client=False)
    body = b"".join([piece async for piece in delivery.pipe.pieces()])
    return Reply(body, opening.status, headers, told)


async def _pieces(turn: Turn) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in turn.delivery.pipe.pieces():
            yield piece
    finally:
        turn.leave()


def _failed(error: AgentFailed | HansardError) -> Reply:
    """Pass an upstream's error on, or write it as ours."""
    if isinstance(error, HansardError):
        return openai_failure(error)
    reply = openai_failure(error.error)
    body = reply.body if error.body is None else error.body
    return Reply(body, error.status, (*reply.headers, *_passed_on(error.headers)))


def _headers(call: ChatCall, turn: Turn) -> Headers:
    headers = ((b"x-turn-id", turn.turn_id.encode()), (b"x-trace-id", _trace_id(call, turn)))
    if turn.session_id is None:
        return headers
    return (*headers, (b"x-session-id", turn.session_id.encode()))


def _trace_id(call: ChatCall, turn: Turn) -> bytes:
    """The trace that the turn is part of: the caller's, that of who watches, or none yet."""
    if turn.watches.trace_id is not None:
        return turn.watches.trace_id.encode()
    parent = _TRACE_PARENT.fullmatch(call.headers.get(b"traceparent", b""))
    return parent[1] if parent else NOISE(16).hex().encode()


def _headers_of(opening: Opening) -> Headers:
    warnings = ", ".join(map(_warning, opening.warnings))
    passed = _passed_on(opening.headers)
    return (*passed, (b"x-budget-warning", warnings.encode())) if warnings else passed


def _passed_on(headers: AgentHeaders) -> Headers:
    return tuple((_raw(name), _raw(value)) for name, value in headers if name.startswith(PASSED_ON))


def _raw(text: str) -> bytes:
    """A header's bytes as they came: what is no UTF-8 is kept in surrogates."""
    return text.encode(errors="surrogateescape")


def _warning(warning: BudgetWarning) -> str:
    """Write a threshold that was crossed, as a structured field (RFC 9651)."""
    show = format_usd if warning.unit == "usd" else str
    parts = {
        "scope": warning.scope,
        "percent": str(warning.percent),
        "used": f'"{show(warning.used)}"',
        "limit": f'"{show(warning.limit_amount)}"',
        "unit": warning.unit,
    }
    if warning.resets_at_us is not None:
        parts["resets-at"] = f'"{format_us(warning.resets_at_us)}"'
    return f'"{warning.budget_id}"' + "".join(f";{name}={text}" for name, text in parts.items())
