"""Where a record under test lives, and a way into its database past the record."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import psycopg
import uvicorn

from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.settings import AccessSettings, ServerSettings, Settings
from hansard.trust import trusted

TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
}

SCHEMA = frozenset({"schema_migrations", "installation"})
"""Tables whose rows belong to the schema."""

Execute = Callable[[str], list[tuple[Any, ...]]]

LEDGER = frozenset({"usage_entries", "session_usage", "hourly_usage"})
"""Tables that say what calls cost, also when their session is gone."""


GRACE_S = 5  # for requests under way when a server stops


@dataclass(frozen=True)
class Place:
    """A place that keeps data.

    Attributes:
        kind: ``sqlite``, ``postgres`` or ``http``.
        url: What ``hansard.open`` takes.
        database_url: The database behind it.
    """

    kind: str
    url: str
    database_url: str

    @property
    def dialect(self) -> str:
        return "sqlite" if self.database_url.startswith("sqlite") else "postgres"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement straight on the database, past the record."""
        with self.connected() as execute:
            return execute(statement)

    @contextmanager
    def connected(self) -> Iterator[Execute]:
        """Run statements in one transaction, past the record."""
        if self.dialect == "postgres":
            with psycopg.connect(self.database_url) as postgres:
                yield partial(_execute, postgres)
            return
        path = self.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as sqlite, sqlite:
            yield lambda statement: sqlite.execute(statement).fetchall()

    def tables(self) -> list[str]:
        """Names of all tables."""
        return [name for (name,) in self.execute(TABLES[self.dialect])]

    def clear(self) -> None:
        """Remove every row of a PostgreSQL database but those that belong to the schema.

        Of a few rows, deleting is many times cheaper than TRUNCATE, which makes new files.
        """
        with self.connected() as execute:
            tables = {table for (table,) in execute(TABLES[self.dialect])} - SCHEMA
            if tables:
                deletes = "; ".join(f"DELETE FROM {table}" for table in sorted(tables))
                execute(f"SET session_replication_role = replica; {deletes}")

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        with self.connected() as execute:
            return {
                table: sorted(execute(f"SELECT * FROM {table}"), key=repr)
                for (table,) in execute(TABLES[self.dialect])
            }

    def dump_content(self) -> dict[str, list[tuple[Any, ...]]]:
        """The same without the ledger, which outlives what was said."""
        return {table: rows for table, rows in self.dump().items() if table not in LEDGER}


def _execute(postgres: psycopg.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    cursor = postgres.execute(statement.encode())
    return cursor.fetchall() if cursor.description else []


def client_at(url: str = "", *, timeout: float = 5) -> httpx.AsyncClient:
    """Give a client of a server; one that reads its certificates anew takes 50 ms of CPU."""
    return httpx.AsyncClient(base_url=url, timeout=timeout, verify=trusted())


class PromptServer(uvicorn.Server):
    """Uvicorn that stops when it is told to; its own looks for that ten times a second."""

    async def main_loop(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if under_way := self.server_state.tasks:
            await asyncio.wait(under_way, timeout=GRACE_S)
        await self.lifespan.shutdown()

    def stop(self) -> None:
        """Let requests under way finish, and end; called from another thread."""
        self._loop.call_soon_threadsafe(self._told.set)


@contextmanager
def serve(database_url: str, access: AccessSettings | None = None) -> Iterator[str]:
    """Run the service on a database, in a thread, and give its URL once it is ready."""
    settings = Settings(server=ServerSettings(log_level="error"), access=access or AccessSettings())
    app = create_app(open_database(database_url), settings)
    server = PromptServer(uvicorn.Config(app, log_config=None, lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listener:  # connections wait for the server
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            while httpx.get(f"{url}/readyz", verify=trusted()).is_error:  # until the schema stands
                time.sleep(0.01)
            yield url
        finally:
            server.stop()
            thread.join()
