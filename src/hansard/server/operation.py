"""Operations: how a row of the endpoint table answers a request.

    who calls? -> query -> body, within its bounds -> handler -> answer

One ASGI application for each path; Starlette's router finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from starlette.types import Receive, Scope, Send

from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.runtime.leases import HeldElsewhere
from hansard.server.auth import check_local, check_single
from hansard.server.calls import Call, Later, Stream
from hansard.server.context import LARGE_ANSWER_BYTES, Context
from hansard.server.endpoint import Endpoint
from hansard.server.queries import QueryReader
from hansard.server.requests import (
    RequestHeaders,
    announced_bytes,
    check_media_type,
    parse,
    parse_whole,
    read_body,
)
from hansard.server.responder import RESPONDER, Responder


class Resource:
    """One path with all its methods."""

    def __init__(self, endpoints: Sequence[Endpoint], context: Context) -> None:
        self._operations = {each.method: Operation(each, context) for each in endpoints}
        if "GET" in self._operations:
            self._operations.setdefault("HEAD", self._operations["GET"])

    @property
    def methods(self) -> list[str]:
        """What the path takes, for the router."""
        return list(self._operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._operations[scope["method"]].answer(scope, receive)


class Operation:
    """One row of the table, at work."""

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._query = QueryReader(endpoint.query)
        limits = context.settings.limits
        body = endpoint.body
        self._limit_bytes = (
            limits.history_limit_bytes if body and body.large else limits.body_limit_bytes
        )

    async def answer(self, scope: Scope, receive: Receive) -> None:
        """Answer one request, or raise."""
        responder: Responder = scope[RESPONDER]
        endpoint, context, headers = self._endpoint, self._context, responder.headers
        responder.route = endpoint.path
        responder.write_failure = endpoint.write_failure
        record = context.record
        if not endpoint.open:
            if context.is_local:
                check_local(headers)
            if len(headers) < len(scope["headers"]):
                check_single(scope["headers"])
            actor = await context.authenticator.actor(headers.get(b"authorization"))
            if actor is not record.actor:
                record = record.acting_as(actor)
        self._check_preconditions(responder)
        call: Call[Any, Any] = Call(
            record,
            context,
            scope["path_params"],
            self._query.read(scope["query_string"]),
            None,
            headers,
            client_left=responder.client_left,
        )
        large = endpoint.body is not None and endpoint.body.large
        async with self._room(record.actor, headers) if large else nullcontext():
            raw = b""
            if endpoint.body is not None:
                raw = await read_body(receive, headers, self._limit_bytes)
                call.body = await self._parse(raw, responder)
                call.size_bytes = responder.received_bytes
            try:
                reply = await endpoint.handler(call)
            except HeldElsewhere as held:
                reply = await context.forwarder.ask(held, scope, headers, raw)
        if isinstance(reply, Later):
            reply = await reply.answer
        if isinstance(reply, Stream):
            await responder.stream(reply, endpoint.status)
        elif len(reply.body) <= LARGE_ANSWER_BYTES:
            await responder.reply(reply, endpoint.status)
        else:
            with context.answers.taken(record.actor.tenant_id, len(reply.body)):
                await responder.reply(reply, endpoint.status)

    def _room(self, actor: Actor, headers: RequestHeaders) -> AbstractAsyncContextManager[None]:
        """Room for a large body; one that may be packed is as large as it can get."""
        assert self._endpoint.body is not None
        is_raw = self._endpoint.body.shape is None
        size_bytes = None if is_raw else announced_bytes(headers)
        return self._context.room_for(size_bytes, actor.tenant_id)

    def _check_preconditions(self, responder: Responder) -> None:
        """Refuse what would be ignored: a caller who sets a condition relies on it."""
        endpoint, headers = self._endpoint, responder.headers
        if endpoint.safe:
            return
        if (b"if-match" in headers and not endpoint.conditional) or b"if-none-match" in headers:
            raise InvalidInput(
                "this call takes no such precondition", code="precondition_unsupported"
            )

    async def _parse(self, raw: bytes, responder: Responder) -> Any:
        wanted = self._endpoint.body
        assert wanted is not None
        responder.received_bytes = len(raw)
        if raw or b"content-type" in responder.headers:
            check_media_type(responder.headers, wanted.media_types)
        if wanted.shape is None:
            return raw
        if raw:
            return await (parse_whole if wanted.whole else parse)(raw, wanted.shape)
        if wanted.required:
            raise InvalidInput("a body is needed", code="invalid_body")
        return wanted.shape()
