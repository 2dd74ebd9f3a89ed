"""The tables of a record, read from a database that was just migrated.

That database is SQLite; a test holds that PostgreSQL's has the same tables and columns.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import hansard

_PURPOSES: Final = {
    "threads": "One row for each thread: the head of its log, the turn that runs, and who may "
    "write until when. Its messages, turns and usage are those of the session of the same id.",
    "thread_turns": "One row for each turn of a thread, from its beginning on.",
    "thread_events": "What happened in a thread, numbered from 1 without gaps.",
    "schema_migrations": "Which migrations have run, and when.",
    "installation": "What belongs to this database alone: the secret that signs its cursors.",
    "sessions": "One row for each session, with all that an append moves: short, since it is "
    "written all the time, and in few indexes.",
    "session_details": "What describes a session, and seldom changes.",
    "messages": "One row for each message. `body` is the object as it was given; it is text, "
    "since JSON types reorder keys and rewrite numbers.",
    "turns": "One row for each turn. `content_hash` tells whether a turn that is sent again is "
    "the same; `receipt` is what its sender was told, and is told again.",
    "usage_entries": "One row for each model call; rows are only ever added. They outlive their "
    "session, which is then called `<session_id>~<ULID>`; calls of no session have none.",
    "session_usage": "Sums of `usage_entries` by session and hour, kept in the transaction that "
    "adds an entry. `lane` 0 is of imports; writers that share no session have lanes of their own.",
    "hourly_usage": "The same by hour for the whole tenant: by owner, agent and key, and where "
    "`lane` is negative of all together, which the view `whole_usage` shows.",
    "budgets": "One row for each limit. `subject` is `*` for each owner (agent, session, key) by "
    "itself.",
    "budget_windows": "What is held and spent of a budget in one window, by one subject.",
    "budget_alerts": "One row for each threshold that was crossed; once in a window.",
    "holds": "One row for each call that was admitted, from before it is made. `debits` lists, as "
    "JSON, which windows it takes from.",
    "events": "One row for each change of a session; `number` is the version after it.",
    "imports": "Where an imported session came from; the unique key lets a document in once. "
    "`owner` is empty, not absent, where there is none, so that the key holds there too.",
    "api_keys": "One row for each API key. Of its secret only a keyed hash is kept.",
    "retention": "One row for each rule: for how many days what is of a kind stays, or for ever. "
    "`tenant_id` is empty where the rule is for every tenant without its own.",
    "legal_holds": "One row for each tenant of which nothing may be removed.",
    "feedback": "One row for each thumb. It names a trace and a session, which need not be there.",
    "traces": "One row for each trace. `body` is the trace as it was given, `summary` what lists "
    "show of it; `saved_at_us` is our time, and the one that says how long it is kept.",
    "price_versions": "One row for each import of prices; rows are only ever added. The highest "
    "`number` is in force, where `tenant_id` is empty for every tenant.",
}
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid"


@dataclass(frozen=True)
class Column:
    """A column; ``key`` is its place in the primary key, from 1, or 0."""

    name: str
    type: str
    nullable: bool
    key: int


@dataclass(frozen=True)
class Table:
    """A table, with its indexes by name, and the columns that refer to other tables."""

    name: str
    columns: tuple[Column, ...]
    indexes: dict[str, tuple[str, ...]]
    references: dict[str, tuple[str, ...]]

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the primary key, in order."""
        return tuple(
            column.name for column in sorted(self.columns, key=lambda each: each.key) if column.key
        )


def render() -> str:
    """Write the diagram, then every table."""
    tables = read_tables()
    return "\n".join(
        [
            "## Diagram\n\n```mermaid\nerDiagram",
            *(line for table in tables for line in _relations(table)),
            *(line for table in tables for line in _entity(table)),
            "```\n",
            "## Tables\n",
            *(line for table in tables for line in _table(table)),
        ]
    )


def read_tables() -> list[Table]:
    """Migrate an empty database and read what is in it then."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "record.db"
        asyncio.run(_migrate(path))
        with closing(sqlite3.connect(path)) as connection:
            names = [row[0] for row in connection.execute(_TABLES)]
            return [_read(connection, name) for name in names if not name.startswith("sqlite_")]


async def _migrate(path: Path) -> None:
    async with hansard.open(f"sqlite:///{path}"):
        pass


def _read(connection: sqlite3.Connection, table: str) -> Table:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    references: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(f"PRAGMA foreign_key_list({table})"):
        references[row[2]] = (*references.get(row[2], ()), row[3])
    return Table(
        name=table,
        columns=tuple(Column(row[1], row[2], not row[3], row[5]) for row in columns),
        indexes={
            row[1]: tuple(part[2] for part in connection.execute(f"PRAGMA index_info('{row[1]}')"))
            for row in sorted(connection.execute(f"PRAGMA index_list({table})").fetchall())
            if row[3] != "pk"
        },
        references=references,
    )


def _relations(table: Table) -> Iterator[str]:
    for other, columns in table.references.items():
        many = "o|" if columns == table.key else "o{"
        yield f"    {other} ||--{many} {table.name} : has"


def _entity(table: Table) -> Iterator[str]:
    yield f"    {table.name} {{"
    referring = {name for columns in table.references.values() for name in columns}
    for column in table.columns:
        marks = [
            mark for mark, set_ in (("PK", column.key), ("FK", column.name in referring)) if set_
        ]
        yield f"        {column.type} {column.name} {', '.join(marks)}".rstrip()
    yield "    }"


def _table(table: Table) -> Iterator[str]:
    yield f"### {table.name}\n\n{_PURPOSES[table.name]}\n"
    yield "| column | type | may be absent |\n|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {column.type} | {'yes' if column.nullable else ''} |"
    yield f"\n- Primary key: {_names(table.key)}"
    for other, columns in table.references.items():
        yield f"- Refers to [{other}](#{other}) by {_names(columns)}, and is deleted with it"
    for name, columns in table.indexes.items():
        kind = "Unique" if name.startswith("sqlite_autoindex") else f"Index `{name}`"
        yield f"- {kind}: {_names(columns)}"
    yield ""


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in columns)
