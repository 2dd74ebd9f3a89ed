"""The chat server with an upstream of the test's own, and OpenAI's client before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from hansard.compose import open_database
from hansard.runtime.agents.protocol import Agent
from hansard.server.app import create_app
from hansard.server.edge import Edge
from hansard.service.sessions import DatabaseSessions
from hansard.settings import AccessSettings, ChatSettings
from tests.places import client_at
from tests.runtime.upstreams import FakeUpstream, serving
from tests.server.applications import QUIET, listening

MODEL = "gpt-4o-mini"


@dataclass
class Chat:
    """One server.

    Attributes:
        record: Its database, opened a second time.
        spool: The folder of its spool.
        app: It runs in a thread with a loop of its own: only to be looked at.
    """

    url: str
    record: DatabaseSessions
    spool: Path
    app: Edge
    clients: list[AsyncOpenAI] = field(default_factory=list)

    def client(
        self, session_id: str | None = None, key: str = "none", **headers: str
    ) -> AsyncOpenAI:
        """OpenAI's own client, which tries nothing twice."""
        named = {} if session_id is None else {"X-Session-Id": session_id}
        client = AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=key,
            max_retries=0,
            default_headers={**named, **headers},
        )
        self.clients.append(client)
        return client

    async def said(self, session_id: str) -> list[dict[str, Any]]:
        """What is recorded of a session."""
        return [message.body async for message in self.record.messages(session_id)]

    async def statuses(self, session_id: str) -> list[str]:
        """How its turns ended."""
        return [turn.status for turn in (await self.record.list_turns(session_id)).items]

    @property
    def turns(self) -> int:
        """How many turns are under way."""
        return self.app.context.chat.turns if self.app.context.chat else 0

    @property
    def spooled(self) -> int:
        """How many wait to be recorded."""
        return self.app.context.chat.spool.waiting if self.app.context.chat else 0

    def files(self) -> list[Path]:
        """What lies in the spool."""
        return sorted(self.spool.rglob("*.json"))


@asynccontextmanager
async def chatting(
    record_url: str,
    folder: Path,
    upstream: FakeUpstream | None = None,
    *,
    agent: Agent | None = None,
    upstream_url: str | None = None,
    server_url: str | None = None,
    access: AccessSettings | None = None,
    drain_s: float = 30.0,
    record_wait_s: float = 60.0,
    **settings: Any,
) -> AsyncIterator[Chat]:
    """Run a chat server; ``server_url`` is its own way to the database at ``record_url``.

    It waits for its record as long as a busy machine may need, unless it is told otherwise.
    """
    async with serving(upstream or FakeUpstream()) as served, open_database(record_url) as record:
        spool = folder / "spool"
        chat = ChatSettings(
            upstream=upstream_url or (served.url if upstream else None),
            provider="openai",
            spool=str(spool),
            record_wait_s=record_wait_s,
            **settings,
        )
        server = replace(QUIET.server, drain_s=drain_s)
        all_settings = replace(QUIET, server=server, chat=chat, access=access or AccessSettings())
        deadline_s = 1.0 if server_url else record_wait_s
        app = create_app(
            open_database(server_url or record_url, retry_deadline_s=deadline_s),
            all_settings,
            agent=agent,
        )
        async with _listening(app) as url:
            running = Chat(url, record, spool, app)
            async with client_at(url, timeout=60) as asking:
                assert (await asking.get("/livez")).is_success  # it has started
            try:
                yield running
            finally:
                for client in running.clients:
                    await client.close()


@asynccontextmanager
async def _listening(app: Edge) -> AsyncIterator[str]:
    """Run an application in a thread; the loop here goes on while it stops."""
    running = listening(app)
    url = running.__enter__()
    try:
        yield url
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def until(condition: Callable[[], bool], wait_max_s: float = 30.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(wait_max_s):
        while not condition():
            await asyncio.sleep(0.005)
