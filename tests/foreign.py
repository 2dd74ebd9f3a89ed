"""Databases as other systems leave them, for tests of reading them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import psycopg

from hansard.core.documents import Document
from hansard.store.foreign import read
from tests.documents import held


class ForeignDatabase:
    """A database to be filled with what another system would have left there."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *statements: str) -> None:
        """Run statements."""
        if self.url.startswith("postgresql"):
            with psycopg.connect(self.url) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
        else:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()

    def insert(self, table: str, **values: object) -> None:
        """Insert a row; objects become JSON."""
        self.run(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(map(_literal, values.values()))})"  # noqa: E501
        )

    def session(self, session_id: str, **values: object) -> None:
        """Insert a session of CleverAgents."""
        times = {"created_at": "2026-04-01 12:00:00.000001", "updated_at": "2026-04-01 13:00:00"}
        self.insert("sessions", session_id=session_id, **{**times, **values})

    def message(self, session_id: str, sequence: int, **values: object) -> None:
        """Insert a message of CleverAgents."""
        given = {
            "message_id": f"{session_id[-2:]}.{sequence}",
            "role": "user",
            "content": f"message {sequence}",
            "timestamp": f"2026-04-01 12:00:0{sequence}",
            **values,
        }
        self.insert("session_messages", session_id=session_id, sequence=sequence, **given)

    def read(self, name: str) -> list[Document]:
        """Read it as that system's."""
        return [held(document) for document in read(name, self.url)]


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case int() | float():
            return repr(value)
        case str():
            text = value
        case _:
            text = json.dumps(value)
    return "'" + text.replace("'", "''") + "'"
