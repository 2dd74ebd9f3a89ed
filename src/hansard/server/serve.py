"""Serve: the application on uvicorn, until a signal ends it in good order.

a signal -> not ready, streams closed with a hint; 1 s, so that others notice
-> no new connections, requests under way finish; all in all at most ``drain_s``
-> the record finishes its writes and closes
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from types import FrameType
from typing import Final

import uvicorn

from hansard.core.errors import Unavailable
from hansard.server.app import create_app
from hansard.server.descriptors import hold_connections
from hansard.server.edge import Edge
from hansard.server.heads import bounded_heads
from hansard.server.logs import adopt_standard_logging, make_log
from hansard.service.sessions import DatabaseSessions
from hansard.settings import Settings, is_loopback, refuse

NOTICE_S: Final = 1.0  # between "not ready" and the end of listening
UNSPECIFIED: Final = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - nobody is reached there
IDLE_MAX_S: Final = 75  # a connection without requests; longer than common balancers keep it


def serve(record: DatabaseSessions, settings: Settings, *, notice_s: float = NOTICE_S) -> None:
    """Serve a record until SIGTERM or SIGINT.

    Raises:
        InvalidInput: If nobody is asked for credentials and others than this machine can
            connect.
        Unavailable: If the record cannot be opened, or the address not be listened on.
        HansardError: If work that the server lives on has crashed.
    """
    check_address(settings)
    log = make_log(settings.server)
    adopt_standard_logging(log)
    app = create_app(record, settings, log=log)
    try:
        DrainingServer(app, settings, notice_s=notice_s).run()
    except SystemExit as exc:  # uvicorn's way to say that it could not start
        host, port = settings.server.host, settings.server.port
        raise app.failure or Unavailable(
            f"{host} port {port} cannot be listened on", code="cannot_listen"
        ) from exc
    if app.failure is not None:
        raise app.failure


def check_address(settings: Settings) -> None:
    """Refuse to let everybody in from other machines, unless that was asked for."""
    access = settings.access
    if access.auth == "none" and not access.insecure and not is_loopback(settings.server.host):
        raise refuse(
            "host",
            "other machines could connect without credentials; choose auth = key or oidc, "
            "or say insecure",
        )


class DrainingServer(uvicorn.Server):
    """Uvicorn that says that it will stop before it does."""

    def __init__(self, app: Edge, settings: Settings, *, notice_s: float = NOTICE_S) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.server.host,
                port=settings.server.port,
                http=bounded_heads(_connections_max(app, settings)),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE_MAX_S,
                timeout_graceful_shutdown=max(1, round(settings.server.drain_s - notice_s)),
            )
        )
        self._app = app
        self._context = app.context
        self._notice_s = notice_s
        self._leave_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal stops at once.

        Uvicorn's own would raise the signal again at the end, as if it had not been heeded.
        """
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the record, listen, and say where."""
        uvicorn_log = logging.getLogger("uvicorn.error")
        uvicorn_log.addFilter(self._is_unheard)
        try:
            await super().startup(sockets)
        finally:
            uvicorn_log.removeFilter(self._is_unheard)
        # What there is by now stays: the garbage collector need not look at it ever again.
        gc.collect()
        gc.freeze()
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                host = f"[{host}]" if ":" in host else host
                url = f"http://{host}:{port}"
                self._context.log.info("server.listening", url=url)
                runtime = self._context.runtime
                if runtime is not None and host not in UNSPECIFIED:
                    runtime.leases.url = runtime.leases.url or url

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, finish what is under way, close the record."""
        self._drain()  # a signal between start-up and the first tick leads here at once
        self._context.log.info("server.stopping")
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop listening now."""
        if self._app.failure is not None:
            self.should_exit = True
        if not await super().on_tick(counter):
            return False
        now = asyncio.get_running_loop().time()
        if self._drain():
            self._leave_at = now + self._notice_s
        return self.force_exit or now >= self._leave_at

    def _is_unheard(self, _record: logging.LogRecord) -> bool:
        """Leave out why the application could not start: ``serve`` raises that."""
        return self._app.failure is None

    def _drain(self) -> bool:
        """Begin to drain; tell whether that is new."""
        if self._context.draining:
            return False
        self._context.log.info("server.draining")
        self._context.drain()
        return True


def _connections_max(app: Edge, settings: Settings) -> int:
    """As many as are set, or as the system allows."""
    wanted = settings.server.max_connections
    possible = hold_connections(wanted)
    if possible < wanted:
        app.context.log.warning("server.few_connections", wanted=wanted, possible=possible)
    return possible
