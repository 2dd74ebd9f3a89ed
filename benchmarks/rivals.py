"""Rows: the same turn by what users would otherwise pick, as it comes from PyPI.

Each side is asked for one thing: that the next turn of a conversation is recorded, by a
process that holds the turn and not the conversation. What its interface needs for that,
it does:

    hansard        append_turn
    fipsagents     load, save (the whole list), get_cost_data, update
    openai-agents  add_items; it has no place for the usage
    google-adk     get_session, append_event twice; each event is a commit
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hansard
from benchmarks.bench import Bench, Row
from benchmarks.children import Child, Sample, compare
from benchmarks.turns import MESSAGES, MODEL, USAGE, dialogue

RIVALS = {
    ("fipsagents", "SQLite"): ("FipsagentsSqlite", "SqliteSessionStore"),
    ("fipsagents", "PostgreSQL"): ("FipsagentsPostgres", "PostgresSessionStore"),
    ("openai-agents", "SQLite"): ("OpenaiAgents", "SQLAlchemySession"),
    ("openai-agents", "PostgreSQL"): ("OpenaiAgents", "SQLAlchemySession"),
    ("google-adk", "SQLite"): ("GoogleAdk", "DatabaseSessionService"),
    ("google-adk", "PostgreSQL"): ("GoogleAdk", "DatabaseSessionService"),
}
HISTORIES = (10, 100, 1_000)
TURNS = 5  # in one burst
GROWTH_MAX = 0.2  # of a history, by what is measured on it; then another is made
ROUNDS = 3  # as many as elsewhere, since a burst takes milliseconds
APP, USER = "bench", "user"


def rows(bench: Bench) -> Iterator[Row]:
    """Each rival on each engine, with three lengths of history."""
    for (package, engine), (side, store) in RIVALS.items():
        what = f"a turn by {package} {_version(package)} {store}, {engine}"
        if not _version(package):
            yield Row(what, "not installed")
            continue
        ratios = []
        for history in HISTORIES:
            found = _compare(bench, engine, side, history)
            ratios.append(f"{found:.1f} x at {history:,}")
        yield Row(what, ", ".join(ratios), "", None, "its time in terms of ours, by messages")


def _compare(bench: Bench, engine: str, side: str, history: int) -> float:
    ours, theirs = bench.database(engine), bench.database(engine)
    with (
        Child("benchmarks.rivals:Hansard", url=ours, history=history) as record,
        Child(f"benchmarks.rivals:{side}", url=theirs, history=history) as rival,
    ):
        rounds = ROUNDS * bench.amounts.rounds
        return compare(record, rival, rounds=rounds, amount=TURNS).ratio


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


class Store(ABC):
    """A side that appends turns to a history of a given length."""

    def __init__(self, *, url: str, history: int) -> None:
        self._runner = asyncio.Runner()
        self._session_id = ""
        self._room = 0
        self.url = url
        self.history = dialogue(history)

    def __enter__(self) -> Self:
        self._runner.run(self.open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self.close())
        self._runner.close()

    def measure(self, amount: float) -> Sample:
        """Append so many turns."""
        return self._runner.run(self._measure(round(amount)))

    async def _measure(self, turns: int) -> Sample:
        added = turns * len(MESSAGES)
        if self._room < added:
            self._session_id = await self.create()
            self._room = int(GROWTH_MAX * len(self.history))
        self._room -= added
        start = time.perf_counter()
        for _ in range(turns):
            await self.append(self._session_id)
        return Sample(turns, time.perf_counter() - start)

    @abstractmethod
    async def open(self) -> None:
        """Make the store."""

    @abstractmethod
    async def create(self) -> str:
        """Make a session with the history; return its id."""

    @abstractmethod
    async def append(self, session_id: str) -> None:
        """Record one turn."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the store."""


class Hansard(Store):
    """What the others are compared with."""

    async def open(self) -> None:
        self.record = hansard.open(self.url)
        await self.record.__aenter__()

    async def create(self) -> str:
        return (await self.record.create(messages=self.history)).id

    async def append(self, session_id: str) -> None:
        await self.record.append_turn(session_id, MESSAGES, usage=[USAGE])

    async def close(self) -> None:
        await self.record.__aexit__(None, None, None)


class FipsagentsSqlite(Store):
    """``fipsagents.server.sessions.SqliteSessionStore``."""

    async def open(self) -> None:
        from fipsagents.server.sessions import SqliteSessionStore

        self.store: Any = SqliteSessionStore(self.url.removeprefix("sqlite:///"))

    async def create(self) -> str:
        session_id: str = await self.store.create()
        await self.store.save(session_id, self.history)
        return session_id

    async def append(self, session_id: str) -> None:
        messages = await self.store.load(session_id)
        await self.store.save(session_id, [*messages, *MESSAGES])
        costs = await self.store.get_cost_data(session_id)
        await self.store.update(session_id, cost_data=_added(costs))

    async def close(self) -> None:
        await self.store.close()


class FipsagentsPostgres(FipsagentsSqlite):
    """``fipsagents.server.sessions.PostgresSessionStore``."""

    async def open(self) -> None:
        from fipsagents.server.sessions import PostgresSessionStore

        self.store = PostgresSessionStore(self.url)


def _added(costs: dict[str, Any]) -> dict[str, Any]:
    """The running totals as its server keeps them."""
    return {
        "input_tokens": costs.get("input_tokens", 0) + USAGE["input_tokens"],
        "output_tokens": costs.get("output_tokens", 0) + USAGE["output_tokens"],
        "cached_tokens": costs.get("cached_tokens", 0) + USAGE["cached_tokens"],
        "model": MODEL,
        "turn_count": costs.get("turn_count", 0) + 1,
    }


class OpenaiAgents(Store):
    """``agents.extensions.memory.SQLAlchemySession``."""

    async def open(self) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self.engine = create_async_engine(_async_url(self.url))
        self.count = 0

    async def create(self) -> str:
        from agents.extensions.memory import SQLAlchemySession

        self.count += 1
        session_id = f"session-{self.count}"
        self.session: Any = SQLAlchemySession(
            session_id, engine=self.engine, create_tables=self.count == 1
        )
        await self.session.add_items(self.history)
        return session_id

    async def append(self, session_id: str) -> None:
        await self.session.add_items(MESSAGES)

    async def close(self) -> None:
        await self.engine.dispose()


class GoogleAdk(Store):
    """``google.adk.sessions.DatabaseSessionService``."""

    async def open(self) -> None:
        from google.adk.sessions import DatabaseSessionService

        self.service = DatabaseSessionService(_async_url(self.url))

    async def create(self) -> str:
        session = await self.service.create_session(app_name=APP, user_id=USER)
        for message in self.history:
            await self.service.append_event(session, _event(message))
        return str(session.id)

    async def append(self, session_id: str) -> None:
        session = await self.service.get_session(app_name=APP, user_id=USER, session_id=session_id)
        assert session
        for message in MESSAGES:
            await self.service.append_event(session, _event(message))

    async def close(self) -> None:
        await self.service.close()


def _event(message: dict[str, str]) -> Any:
    from google.adk.events import Event
    from google.genai import types

    asked = message["role"] == "user"
    content = types.Content(
        role="user" if asked else "model", parts=[types.Part(text=message["content"])]
    )
    if asked:
        return Event(author="user", content=content)
    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=USAGE["input_tokens"],
        cached_content_token_count=USAGE["cached_tokens"],
        candidates_token_count=USAGE["output_tokens"],
    )
    return Event(author="agent", content=content, usage_metadata=usage)


def _async_url(url: str) -> str:
    """The URL with the driver that SQLAlchemy's own documentation chooses."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return f"sqlite+aiosqlite:///{path}"
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)
