"""A database of ``fipsagents``: histories, state and totals arrive, whatever its age."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fipsagents.server.sessions import (  # type: ignore[import-untyped]  # ships no types
    PostgresSessionStore,
    SqliteSessionStore,
)

from hansard.core.documents import Document
from hansard.core.errors import InvalidInput
from hansard.core.times import parse_us
from hansard.core.usage import UsageEntry
from hansard.store.foreign import read
from tests.foreign import ForeignDatabase


def bodies(document: Document) -> list[dict[str, Any]]:
    return [message.body for message in document.messages]


@pytest.fixture
def database(empty_url: str) -> ForeignDatabase:
    """An empty database of either engine."""
    return ForeignDatabase(empty_url)


class _Cursor:
    """What aiosqlite gives, on the standard library's cursor."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.rowcount = cursor.rowcount

    async def fetchone(self) -> Any:
        return self._cursor.fetchone()

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()


class _Connection:
    """What aiosqlite gives, on the standard library's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def execute(self, statement: str, params: Iterable[Any] = ()) -> _Cursor:
        return _Cursor(self._connection.execute(statement, tuple(params)))

    async def commit(self) -> None:
        self._connection.commit()


FIRST = {"role": "user", "content": "hi", "id": "msg_019d4905a540_aabbccddeeff"}
SECOND = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}], "id": "msg-2"}
COST = {
    "input_tokens": 120,
    "output_tokens": 30,
    "cached_tokens": 20,
    "model": "m-1",
    "turn_count": 2,
    "note": None,
}


@pytest.fixture
def fipsagents(database: ForeignDatabase) -> ForeignDatabase:
    """The empty table of ``fipsagents`` 0.32."""
    if database.url.startswith("postgresql"):
        store = PostgresSessionStore
        database.run(store._CREATE_TABLE, store._ADD_COST_DATA, *store._ADD_NEW_COLS)
        return database
    with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"))) as connection:
        store = SqliteSessionStore(connection=_Connection(connection))
        asyncio.run(store.exists("x"))
    return database


def kept(database: ForeignDatabase, session_id: str, **values: object) -> None:
    times = {"created_at": "2026-04-01T12:00:00+00:00", "updated_at": "2026-04-01T13:00:00.5+00:00"}
    database.insert(
        "sessions", session_id=session_id, **{**times, "messages": [FIRST, SECOND], **values}
    )


def test_database_of_the_real_store_arrives_whole(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"

    async def fill(store: SqliteSessionStore) -> str:
        await store.create("sess_a", permission_scope_active="scope")
        await store.save("sess_a", [FIRST, SECOND])
        await store.update("sess_a", cost_data=COST)
        await store.update_state("sess_a", open_tool_calls=[{"id": "c"}], pending_question="why?")
        child: str = await store.fork("sess_a", 1)
        return child

    with closing(sqlite3.connect(path)) as connection:
        child_id = asyncio.run(fill(SqliteSessionStore(connection=_Connection(connection))))
        times = connection.execute("SELECT created_at, updated_at FROM sessions").fetchone()
    parent, child = ForeignDatabase(str(path)).read("fipsagents-db")
    assert parent.session.session_id == "sess_a"
    assert [parent.session.created_at_us, parent.session.updated_at_us] == list(
        map(parse_us, times)
    )
    assert parent.session.cost_data == COST
    assert parent.session.metadata == {
        "fipsagents": {
            "permission_scope_active": "scope",
            "open_tool_calls": [{"id": "c"}],
            "pending_question": "why?",
        }
    }
    assert bodies(parent) == [FIRST, SECOND]
    assert child.session.session_id == child_id
    assert child.session.parent_session_id == "sess_a"
    assert child.session.forked_at_seq == 1
    assert bodies(child) == [FIRST]
    assert child.usage == ()


def test_totals_of_cost_data_become_an_entry(fipsagents: ForeignDatabase) -> None:
    kept(fipsagents, "s", cost_data=COST)
    (document,) = fipsagents.read("fipsagents-db")
    assert document.usage == (
        UsageEntry(
            event_id="imported",
            model="m-1",
            input_tokens=120,
            cached_tokens=20,
            output_tokens=30,
            confidence="provider_usage",
            turn_id=None,
            recorded_at_us=parse_us("2026-04-01T13:00:00.5Z"),
        ),
    )
    assert document.session.cost_data == COST
    assert document.session.created_at_us == parse_us("2026-04-01T12:00:00Z")


def test_ids_and_times_of_messages_are_kept(fipsagents: ForeignDatabase) -> None:
    kept(fipsagents, "s")
    (document,) = fipsagents.read("fipsagents-db")
    first, second = document.messages
    assert (first.message_id, second.message_id) == ("msg_019d4905a540_aabbccddeeff", "msg-2")
    assert first.created_at_us == parse_us("2026-04-01T12:30:00Z")
    assert second.created_at_us == document.session.updated_at_us
    assert any("without a time" in loss for loss in document.losses)


@pytest.mark.parametrize("with_cost_data", [True, False])
def test_older_tables_arrive(database: ForeignDatabase, with_cost_data: bool) -> None:
    cost = ", cost_data TEXT NOT NULL DEFAULT '{}'" if with_cost_data else ""
    database.run(
        "CREATE TABLE sessions (session_id TEXT PRIMARY KEY, messages TEXT NOT NULL,"
        f" created_at TEXT NOT NULL, updated_at TEXT NOT NULL{cost})"
    )
    kept(database, "s")
    (document,) = database.read("fipsagents-db")
    assert bodies(document) == [FIRST, SECOND]
    assert document.session.cost_data == {}
    assert document.session.metadata == {}


def test_fork_whose_last_shared_message_is_gone_keeps_its_parent(
    fipsagents: ForeignDatabase,
) -> None:
    kept(fipsagents, "s", parent_session_id="p", forked_at_message_id="gone")
    (document,) = fipsagents.read("fipsagents-db")
    assert document.session.parent_session_id == "p"
    assert document.session.forked_at_seq is None
    assert document.session.metadata == {"fipsagents": {"forked_at_message_id": "gone"}}


@pytest.mark.parametrize(
    "cost_data",
    [
        {"input_tokens": "many"},
        {"input_tokens": -1},
        {"input_tokens": 1.5},
        {"input_tokens": 1, "model": 7},
    ],
)
def test_totals_that_are_no_counts_stay_in_cost_data(
    fipsagents: ForeignDatabase, cost_data: dict[str, Any]
) -> None:
    kept(fipsagents, "s", cost_data=cost_data)
    (document,) = fipsagents.read("fipsagents-db")
    assert document.usage == ()
    assert document.session.cost_data == cost_data
    assert any("no token counts" in loss for loss in document.losses)


def test_cached_tokens_beyond_the_input_are_reported(fipsagents: ForeignDatabase) -> None:
    kept(fipsagents, "s", cost_data={"input_tokens": 5, "cached_tokens": 9})
    (document,) = fipsagents.read("fipsagents-db")
    (entry,) = document.usage
    assert (entry.input_tokens, entry.cached_tokens) == (5, 5)
    assert any("cached" in loss for loss in document.losses)


def test_id_that_the_old_server_let_pass_is_kept_in_the_metadata(
    fipsagents: ForeignDatabase,
) -> None:
    kept(fipsagents, "a/b", parent_session_id="c d")
    (document,) = fipsagents.read("fipsagents-db")
    assert document.session.session_id is None
    assert document.session.parent_session_id is None
    assert document.session.metadata == {
        "fipsagents": {"session_id": "a/b", "parent_session_id": "c d"}
    }


@pytest.mark.parametrize("messages", [{"a": 1}, ["text"], 7])
def test_history_that_is_no_list_of_objects_is_refused(
    fipsagents: ForeignDatabase, messages: object
) -> None:
    kept(fipsagents, "good")
    kept(fipsagents, "late", messages=json.dumps(messages), created_at="2027-01-01T00:00:00+00:00")
    with pytest.raises(InvalidInput, match=r"^session late: "):
        next(read("fipsagents-db", fipsagents.url))


def test_documents_may_be_left_half_read(fipsagents: ForeignDatabase) -> None:
    for n in range(3):
        kept(fipsagents, f"s{n}")
    documents: Iterator[Document] = read("fipsagents-db", fipsagents.url)
    next(documents)
    del documents
    fipsagents.run("DROP TABLE sessions")
