"""The edge: what happens to every request, whatever route it takes.

    request id -> router -> an answer, or an error written as one -> counted -> logged

This is plain ASGI around Starlette's ``Router``, not the ``Starlette`` class: that one
raises an unforeseen error again after answering it, whereupon uvicorn drops the connection
and the client's next call with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from hansard.core.errors import HansardError
from hansard.crashes import Guard, frames_of, kind_of
from hansard.server.calls import Reply
from hansard.server.context import Context
from hansard.server.cors import Origins
from hansard.server.errors import crash, framework_failure
from hansard.server.requests import check_path
from hansard.server.responder import RESPONDER, Responder

_READS = frozenset({"GET", "HEAD"})
_REFUSED = 400  # from here on the caller is to blame
_FAILED = 500  # from here on the server is
_CLIENT_LEFT = 499  # as nginx logs it; nobody receives it


class Edge:
    """Wraps the router.

    Args:
        lifespan: What is open while requests are answered.

    Attributes:
        failure: Why the application could not start, or had to end.
    """

    def __init__(
        self,
        router: ASGIApp,
        context: Context,
        lifespan: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self.context = context
        self.failure: HansardError | None = None
        self._router = router
        origins = context.settings.access.origins
        self._respond: ASGIApp = Origins(self._answer, origins) if origins else self._answer
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing but the end of the process gets past this."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._respond(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        responder = Responder(scope, receive, send, closing=self.context.draining)
        scope[RESPONDER] = responder
        scope["app"] = self  # tells Starlette's router to raise what it refuses
        try:
            check_path(scope.get("raw_path"))
            await self._router(scope, receive, send)
        except HansardError as error:
            await self._fail(responder, responder.write_failure(error), error.code, why=error.notes)
        except HTTPException as error:
            await self._fail(responder, framework_failure(error), str(error.status_code))
        except ClientDisconnect:
            responder.status = _CLIENT_LEFT
        except Exception as error:  # noqa: BLE001 - the server's last handler
            await self._fail(
                responder, responder.write_failure(crash()), kind_of(error), at=frames_of(error)
            )
        self._finish(scope["method"], responder, time.perf_counter() - started)

    async def _live(self, receive: Receive, send: Send) -> None:
        with Guard(self.context.log, "server.crashed") as guard:
            await self._open(receive, send)
        if guard.error is not None:
            self.failure = crash()
            raise guard.error

    async def _open(self, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            await receive()
            try:
                await stack.enter_async_context(self._lifespan())
            except HansardError as error:
                self.failure = error
                await send({"type": "lifespan.startup.failed", "message": error.message})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _fail(
        self,
        responder: Responder,
        reply: Reply,
        code: str,
        *,
        why: Sequence[str] = (),
        at: list[str] | None = None,
    ) -> None:
        """Answer with an error, unless an answer is on its way already: that one breaks off."""
        status = reply.status or 0
        if responder.status or status >= _FAILED:
            self.context.log.error(
                "request.failed",
                request_id=responder.request_id.decode(),
                route=responder.route,
                code=code,
                why=[*why],
                at=at,
            )
        if not responder.status:
            await responder.reply(reply)

    def _finish(self, method: str, responder: Responder, seconds: float) -> None:
        context = self.context
        context.metrics.answered(
            method, responder.route, responder.status, None if responder.streamed else seconds
        )
        # What changes nothing and went well is not worth a line: it would cost as much as the read.
        is_quiet = method in _READS and responder.status < _REFUSED
        if is_quiet and context.settings.server.log_level != "debug":
            return
        (context.log.debug if is_quiet else context.log.info)(
            "request",
            request_id=responder.request_id.decode(),
            method=method,
            route=responder.route,
            status=responder.status,
            duration_ms=round(seconds * 1000, 3),
            received_bytes=responder.received_bytes,
            sent_bytes=responder.sent_bytes,
        )
