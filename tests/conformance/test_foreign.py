"""Databases of other systems: what is in them arrives, and nothing is done to them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hansard.core.documents import Document, DocumentMessage
from hansard.core.errors import HansardError, InvalidInput, Unavailable
from hansard.core.times import parse_us
from hansard.core.usage import UsageEntry
from hansard.store.foreign import read
from hansard.store.foreign.places import open_place
from tests.foreign import ForeignDatabase

ULID = "01J8ZQ5V7K3M9N2P4R6S8T0W1"

IN_JSON = """
CREATE TABLE sessions (
    session_id VARCHAR(26) PRIMARY KEY, actor_name VARCHAR(255),
    namespace VARCHAR(255) NOT NULL DEFAULT 'local', linked_plan_ids_json TEXT,
    token_usage_json TEXT, automation_level VARCHAR(50), metadata_json TEXT,
    created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL
)
"""
IN_COLUMNS = """
CREATE TABLE sessions (
    session_id VARCHAR(26) PRIMARY KEY, actor_name VARCHAR(255),
    namespace VARCHAR(255) NOT NULL DEFAULT 'local', linked_plan_ids_json TEXT,
    input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
    estimated_cost DOUBLE PRECISION NOT NULL DEFAULT 0,
    created_at VARCHAR(40) NOT NULL, updated_at VARCHAR(40) NOT NULL
)
"""
MESSAGES = """
CREATE TABLE session_messages (
    message_id VARCHAR(26) PRIMARY KEY,
    session_id VARCHAR(26) NOT NULL REFERENCES sessions ON DELETE CASCADE,
    role VARCHAR(20) NOT NULL, content TEXT NOT NULL, sequence INTEGER NOT NULL,
    timestamp TIMESTAMP NOT NULL, metadata_json TEXT, tool_call_id VARCHAR(255)
)
"""


@pytest.fixture
def database(empty_url: str) -> ForeignDatabase:
    """An empty database of either engine."""
    return ForeignDatabase(empty_url)


@pytest.fixture(params=[IN_JSON, IN_COLUMNS], ids=["json", "columns"])
def cleveragents(request: pytest.FixtureRequest, database: ForeignDatabase) -> ForeignDatabase:
    """CleverAgents' empty tables, in both variants."""
    database.run(request.param, MESSAGES)
    return database


@pytest.fixture
def plain_cleveragents(database: ForeignDatabase) -> ForeignDatabase:
    """CleverAgents' empty tables."""
    database.run(IN_JSON, MESSAGES)
    return database


def bodies(document: Document) -> list[dict[str, Any]]:
    return [message.body for message in document.messages]


def refused(act: Callable[[], Iterable[Document]]) -> HansardError:
    with pytest.raises(HansardError) as caught:
        list(act())
    return caught.value


def test_cleveragents_database_arrives_whole(plain_cleveragents: ForeignDatabase) -> None:
    session_id = f"{ULID}A"
    plain_cleveragents.session(
        session_id,
        actor_name="local/orchestrator",
        namespace="team",
        linked_plan_ids_json=["plan_1"],
        token_usage_json={"input_tokens": 1_200, "output_tokens": 345, "estimated_cost": 0.0184},
        automation_level="supervised",
        metadata_json={"project": "é"},
    )
    plain_cleveragents.message(session_id, 0, metadata_json={"k": 1.5})
    plain_cleveragents.message(session_id, 1, role="tool", content="42", tool_call_id="call_1")
    (document,) = plain_cleveragents.read("cleveragents-db")
    session = document.session
    assert session.session_id == session_id
    assert session.agent == "local/orchestrator"
    assert session.created_at_us == parse_us("2026-04-01T12:00:00.000001Z")
    assert session.updated_at_us == parse_us("2026-04-01T13:00:00Z")
    assert session.metadata == {
        "project": "é",
        "cleveragents": {
            "namespace": "team",
            "linked_plan_ids": ["plan_1"],
            "automation_level": "supervised",
        },
    }
    assert document.messages == (
        DocumentMessage(
            body={"role": "user", "content": "message 0", "metadata": {"k": 1.5}},
            message_id="1A.0",
            created_at_us=parse_us("2026-04-01T12:00:00Z"),
        ),
        DocumentMessage(
            body={"role": "tool", "content": "42", "tool_call_id": "call_1"},
            message_id="1A.1",
            created_at_us=parse_us("2026-04-01T12:00:01Z"),
        ),
    )
    assert document.usage == (
        UsageEntry(
            event_id="imported",
            input_tokens=1_200,
            output_tokens=345,
            cost_nanousd=18_400_000,
            confidence="provider_cost",
            turn_id=None,
            recorded_at_us=session.updated_at_us,
        ),
    )
    assert document.source_format == "cleveragents-db"
    assert document.losses == ("times without a zone were taken as UTC",)


def test_token_usage_in_columns_arrives(database: ForeignDatabase) -> None:
    database.run(IN_COLUMNS, MESSAGES)
    database.session("s", input_tokens=7, output_tokens=3, estimated_cost=0.1 + 0.2)
    (document,) = database.read("cleveragents-db")
    (entry,) = document.usage
    assert (entry.input_tokens, entry.output_tokens) == (7, 3)
    assert entry.cost_nanousd == 300_000_000
    assert document.session.metadata == {}


def test_sessions_arrive_oldest_first_and_empty_ones_too(cleveragents: ForeignDatabase) -> None:
    for session_id, hour in (("b", 3), ("c", 1), ("a", 3)):
        cleveragents.session(session_id, created_at=f"2026-04-01 0{hour}:00:00")
    documents = cleveragents.read("cleveragents-db")
    assert [document.session.session_id for document in documents] == ["c", "a", "b"]
    assert all(not document.messages and not document.usage for document in documents)


def test_each_session_has_its_own_messages_in_order(cleveragents: ForeignDatabase) -> None:
    for session_id in ("aa", "bb"):
        cleveragents.session(session_id)
    for sequence in (2, 0, 1):
        for session_id in ("bb", "aa"):
            cleveragents.message(session_id, sequence)
    for document in cleveragents.read("cleveragents-db"):
        assert [body["content"] for body in bodies(document)] == [
            "message 0",
            "message 1",
            "message 2",
        ]
        assert not any("sequence" in loss for loss in document.losses)


@pytest.mark.parametrize("numbers", [(1, 2), (0, 2), (0, 0)])
def test_sequence_with_gaps_or_doubles_is_reported(
    cleveragents: ForeignDatabase, numbers: tuple[int, int]
) -> None:
    cleveragents.session("s")
    for number, content in zip(numbers, "ab", strict=True):
        cleveragents.message("s", number, message_id=content, content=content)
    (document,) = cleveragents.read("cleveragents-db")
    assert [body["content"] for body in bodies(document)] == ["a", "b"]
    assert "sequence numbers had gaps; messages are numbered in their order" in document.losses


def test_further_columns_are_kept(cleveragents: ForeignDatabase) -> None:
    cleveragents.run(
        "ALTER TABLE sessions ADD COLUMN automation TEXT",
        "ALTER TABLE session_messages ADD COLUMN name TEXT",
        'ALTER TABLE sessions ADD COLUMN "odd name" TEXT',
    )
    cleveragents.session("s", automation="full")
    cleveragents.message("s", 0, name="ada")
    (document,) = cleveragents.read("cleveragents-db")
    assert document.session.metadata == {"cleveragents": {"automation": "full"}}
    assert bodies(document)[0]["name"] == "ada"


def test_key_changes_with_the_session_alone(cleveragents: ForeignDatabase) -> None:
    cleveragents.session("aa")
    cleveragents.session("bb")
    first = [document.source_key for document in cleveragents.read("cleveragents-db")]
    assert first == [document.source_key for document in cleveragents.read("cleveragents-db")]
    cleveragents.message("bb", 0)
    second = [document.source_key for document in cleveragents.read("cleveragents-db")]
    assert second[0] == first[0]
    assert second[1] != first[1]


def test_id_that_no_record_takes_is_kept_in_the_metadata(cleveragents: ForeignDatabase) -> None:
    cleveragents.session("a b")
    (document,) = cleveragents.read("cleveragents-db")
    assert document.session.session_id is None
    assert document.session.metadata == {"cleveragents": {"session_id": "a b"}}
    assert any("id" in loss for loss in document.losses)


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"metadata_json": "{"}, {}),
        ({"metadata_json": [1]}, {}),
        ({"linked_plan_ids_json": {}}, {}),
        ({"token_usage_json": {"input_tokens": -1}}, {}),
        ({"token_usage_json": {"estimated_cost": "much"}}, {}),
        ({"actor_name": "x" * 257}, {}),
        ({}, {"role": "wizard"}),
        ({}, {"metadata_json": '{"x": NaN}'}),
        ({}, {"metadata_json": '{"x": "\\ud800"}'}),
    ],
)
def test_what_no_record_holds_is_refused_before_the_first_session(
    database: ForeignDatabase, session: dict[str, Any], message: dict[str, Any]
) -> None:
    database.run(IN_JSON.replace("VARCHAR(255)", "TEXT"), MESSAGES)
    database.session("a", created_at="2026-01-01 00:00:00")
    database.session("b", **session)
    database.message("b", 0, **message)
    with pytest.raises(InvalidInput, match=r"^session b: "):
        next(read("cleveragents-db", database.url))


@pytest.mark.parametrize(
    "tables",
    [
        (),
        ("CREATE TABLE sessions (session_id TEXT, actor_name TEXT)",),
        (IN_JSON,),
        (IN_JSON.replace("token_usage_json", "tokens"), MESSAGES),
        (IN_JSON, MESSAGES.replace("sequence", "number")),
    ],
)
def test_unknown_tables_are_refused(database: ForeignDatabase, tables: tuple[str, ...]) -> None:
    database.run("CREATE TABLE other (x TEXT)", *tables)
    error = refused(lambda: read("cleveragents-db", database.url))
    assert isinstance(error, InvalidInput)
    assert error.code == "unknown_schema"


def test_one_systems_database_is_not_read_as_the_others(
    plain_cleveragents: ForeignDatabase,
) -> None:
    error = refused(lambda: read("fipsagents-db", plain_cleveragents.url))
    assert error.code == "unknown_schema"
    assert error.details == {"table": "sessions", "missing": ["messages"]}


def test_unknown_source_is_refused() -> None:
    error = refused(lambda: read("letta-db", "x.db"))
    assert error.code == "unknown_format"
    assert error.details == {"known": ["cleveragents-db", "fipsagents-db"]}


def test_source_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a file?#.db"
    database = ForeignDatabase(str(path))
    database.run(IN_JSON, MESSAGES)
    database.session("s")
    before = hashlib.sha256(path.read_bytes()).digest()
    assert len(database.read("cleveragents-db")) == 1
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_source_cannot_be_written(plain_cleveragents: ForeignDatabase) -> None:
    with (
        pytest.raises(InvalidInput) as caught,
        open_place(plain_cleveragents.url) as place,
    ):
        list(place.rows("DELETE FROM sessions"))
    assert caught.value.code == "source_unreadable"


def test_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    error = refused(lambda: read("cleveragents-db", f"sqlite:///{path}"))
    assert error.code == "source_unreadable"
    assert not path.exists()


def test_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database" * 100)
    assert refused(lambda: read("fipsagents-db", str(path))).code == "source_unreadable"


def test_locked_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    database = ForeignDatabase(str(path))
    database.run(IN_JSON, MESSAGES)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert isinstance(refused(lambda: read("cleveragents-db", str(path))), Unavailable)


@pytest.mark.parametrize("url", ["postgresql://nobody@localhost:1/none?connect_timeout=1"])
def test_absent_server_is_unavailable(url: str) -> None:
    assert isinstance(refused(lambda: read("cleveragents-db", url)), Unavailable)


def test_bad_url_is_refused() -> None:
    assert (
        refused(lambda: read("fipsagents-db", "postgresql://x/?no=1")).code == "source_unreadable"
    )
