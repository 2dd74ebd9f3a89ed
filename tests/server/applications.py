"""Run the application in this process, with and without a network."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import httpx

from hansard.compose import open_database
from hansard.server.app import create_app, key_service
from hansard.server.edge import Edge
from hansard.server.serve import DrainingServer
from hansard.service.keys import KeyService
from hansard.settings import AccessSettings, ChatSettings, LimitSettings, ServerSettings, Settings

QUIET = Settings(server=ServerSettings(log_level="error"))


@asynccontextmanager
async def started(app: Edge) -> AsyncIterator[Edge]:
    """Take an application through its lifespan, as a server does."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}

    async def send(message: Any) -> None:
        heard.put_nowait(message)

    async with asyncio.TaskGroup() as group:
        group.create_task(app(scope, told.get, send))
        told.put_nowait({"type": "lifespan.startup"})
        assert (await heard.get())["type"] == "lifespan.startup.complete"
        try:
            yield app
        finally:
            told.put_nowait({"type": "lifespan.shutdown"})
            assert (await heard.get())["type"] == "lifespan.shutdown.complete"


@asynccontextmanager
async def application(
    url: str,
    *,
    access: AccessSettings | None = None,
    limits: LimitSettings | None = None,
    chat: ChatSettings | None = None,
) -> AsyncIterator[Edge]:
    """Give a started application on a database."""
    settings = replace(
        QUIET,
        access=access or AccessSettings(),
        limits=limits or LimitSettings(),
        chat=chat or ChatSettings(),
    )
    async with started(create_app(open_database(url), settings)) as app:
        yield app


def client_of(app: Edge, token: str | None = None) -> httpx.AsyncClient:
    """A client that calls an application without a network."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
    )


def keys_of(app: Edge) -> KeyService:
    """The API keys of an application."""
    return key_service(app.context.record, app.context.settings.access)


@contextmanager
def listening(app: Edge) -> Iterator[str]:
    """Run an application on a free port, in a thread, and give its URL."""
    server = DrainingServer(app, app.context.settings, notice_s=0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
