"""Migrations: from every earlier version to the newest, whoever comes first."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import hansard
from hansard import Conflict, HansardError
from hansard.compose import open_database, sqlite_path
from hansard.store.migrate import load_migrations, migrate
from hansard.store.opening import make_engine
from hansard.store.queries import Dialect
from tests.places import SCHEMA, Execute, Place
from tests.samples import call, dialogue, snapshot

_FOREIGN_KEY = r"FOREIGN KEY \(tenant_id, \w+\) REFERENCES \w+\(tenant_id, \w+\).*"

DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")
NEWEST = len(load_migrations("sqlite"))
MADE_BEFORE = {"hourly_usage": " WHERE lane >= 0"}
"""Which rows of a table there were from the first; a migration makes the others."""
PROCESSES = 20
BEFORE_THE_LEDGER = 3
BEFORE_WHOLE_HOURS = 10
PARENTS = ("sessions", "budgets")
BEFORE = {"cost_nanousd": 0}
"""What stood where there is now NULL."""

COLUMNS = {
    "sqlite": "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c"
    " WHERE s.type = 'table' ORDER BY s.name, c.cid",
    "postgres": "SELECT table_name, column_name FROM information_schema.columns"
    " JOIN pg_tables ON schemaname = table_schema AND tablename = table_name"
    " WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
}

OPEN_AND_WRITE = """
import asyncio, sys, hansard
from tests.samples import dialogue

async def main(url, name):
    async with hansard.open(url, retry_deadline_s=60) as record:
        await record.create(session_id=name)
        await record.append_turn("shared", dialogue(1), turn_id=name, create=True)

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def empty(empty_url: str) -> Place:
    """A database that nobody has opened yet."""
    return Place(empty_url.partition(":")[0], empty_url, empty_url)


def migrate_to(place: Place, version: int) -> list[str]:
    """Bring a database to a version, as an older program would have."""
    target = sqlite_path(place.url) if place.dialect == "sqlite" else place.url
    connection = make_engine(target, deadline_s=10).connect()
    try:
        return migrate(connection, lambda: 1, to_version=version)
    finally:
        connection.close()


def schema(place: Place) -> list[tuple[Any, ...]]:
    """What the database says of its tables and indexes."""
    if place.dialect == "sqlite":
        return place.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
    return place.execute(
        "SELECT table_name, column_name, data_type, collation_name, is_nullable"
        " FROM information_schema.columns WHERE table_schema = 'public'"
        " UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes"
        " WHERE schemaname = 'public' ORDER BY 1, 2, 3"
    )


def test_both_engines_have_the_same_steps() -> None:
    names = [[step.name for step in load_migrations(dialect)] for dialect in DIALECTS]
    assert names[0] == names[1]


async def test_tenant_leads_every_key(postgres_url: str) -> None:
    """So that tables can be spread over machines by tenant, and no key spans two of them."""
    place = Place("postgres", postgres_url, postgres_url)
    async with hansard.open(place.url):
        pass
    found = place.execute("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    keys = [(table, definition.partition("(")[2]) for table, definition in found]
    assert {table for table, key in keys if not re.match(r"tenant_id[,)]", key)} == {
        "installation",
        "schema_migrations",
    }
    references = place.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
    )
    assert references
    for (definition,) in references:
        assert re.fullmatch(_FOREIGN_KEY, definition)


async def test_new_database_is_brought_to_the_newest_version(empty: Place) -> None:
    async with hansard.open(empty.url):
        pass
    versions = empty.execute("SELECT version, name FROM schema_migrations ORDER BY version")
    assert versions == [(step.version, step.name) for step in load_migrations("sqlite")]


async def test_opening_again_changes_nothing(empty: Place) -> None:
    async with hansard.open(empty.url) as record:
        await record.create(session_id="s")
    before = schema(empty), empty.dump()
    async with hansard.open(empty.url):
        pass
    assert (schema(empty), empty.dump()) == before


@pytest.mark.parametrize("version", range(NEWEST))
@pytest.mark.parametrize(
    ("place", "empty_url"), [("sqlite", "sqlite"), ("postgres", "postgres")], indirect=True
)
async def test_every_earlier_version_moves_forward_with_its_data(
    place: Place, empty: Place, version: int
) -> None:
    async with hansard.open(place.url) as record:
        await record.create(session_id="s", messages=dialogue(3), metadata={"a": 1})
        await record.append_turn("s", dialogue(2), usage=[call("c", 5, model="m")], turn_id="t")
        expected = await snapshot(record, "s")
    if version:
        migrate_to(empty, version)
        carry_rows(place, empty)
    async with hansard.open(empty.url) as record:
        if version:
            assert await snapshot(record, "s") == expected
        else:
            await record.create(session_id="s")
        assert (await record.append_turn("s", dialogue(1))).last_seq is not None
    assert schema(empty) == schema(place)


@pytest.mark.parametrize(
    ("place", "empty_url"), [("sqlite", "sqlite"), ("postgres", "postgres")], indirect=True
)
async def test_ledger_of_before_adds_up(place: Place, empty: Place) -> None:
    """A call that cost nothing then is unpriced; who said what it cost is believed."""
    async with hansard.open(place.url) as record:
        await record.create(session_id="s", agent="helper")
        costs = enumerate([None, 7, 5])
        calls = [call(f"c{n}", 5, model="m", cost_nanousd=cost) for n, cost in costs]
        await record.append_turn("s", [], usage=calls)
    migrate_to(empty, BEFORE_THE_LEDGER)
    carry_rows(place, empty)
    async with open_database(empty.url) as after:
        usage = (await after.usage("s")).totals
        assert (usage.calls, usage.cost_nanousd, usage.unpriced_calls) == (3, 12, 1)
        assert (await after.verify_ledger()).drifts == ()
    assert empty.execute("SELECT agent, confidence FROM usage_entries ORDER BY event_id") == [
        ("helper", "provider_usage"),
        ("helper", "provider_cost"),
        ("helper", "provider_cost"),
    ]


@pytest.mark.parametrize(
    ("place", "empty_url"), [("sqlite", "sqlite"), ("postgres", "postgres")], indirect=True
)
async def test_call_that_was_corrected_before_is_not_corrected_again(
    place: Place, empty: Place
) -> None:
    async with hansard.open(place.url) as record:
        await record.append_turn("s", [], usage=[call("c", cost_nanousd=5)], create=True)
        await record.update_token_usage("s", event_id="d", corrects="c", cost_nanousd=3)
    place.execute("UPDATE usage_entries SET event_id = 'c.reversed' WHERE event_id = 'c~'")
    migrate_to(empty, BEFORE_WHOLE_HOURS)
    carry_rows(place, empty)
    async with open_database(empty.url) as after:
        with pytest.raises(Conflict) as caught:
            await after.update_token_usage("s", event_id="e", corrects="c", cost_nanousd=2)
        assert caught.value.code == "usage_conflict"
        assert (await after.usage("s")).totals.cost_nanousd == 3
        assert (await after.verify_ledger()).drifts == ()


def carry_rows(source: Place, target: Place) -> None:
    """Copy the rows of every table and column that the target has, parents first."""
    with source.connected() as read, target.connected() as write:
        there, here = columns_of(read, source.dialect), columns_of(write, target.dialect)
        tables = there.keys() & here.keys() - SCHEMA
        parents = [table for table in PARENTS if table in tables]
        for table in [*parents, *sorted(tables.difference(parents))]:
            names = ", ".join(name for name in there[table] if name in here[table])
            for row in read(f"SELECT {names} FROM {table}{MADE_BEFORE.get(table, '')}"):
                values = ", ".join(
                    literal(BEFORE.get(name, value) if value is None else value, target.dialect)
                    for name, value in zip(names.split(", "), row, strict=True)
                )
                write(f"INSERT INTO {table} ({names}) VALUES ({values})")


def columns_of(execute: Execute, dialect: str) -> dict[str, list[str]]:
    """The columns of each table."""
    columns: dict[str, list[str]] = {}
    for table, column in execute(COLUMNS[dialect]):
        columns.setdefault(table, []).append(column)
    return columns


def literal(value: Any, dialect: str) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case bytes():
            return f"x'{value.hex()}'" if dialect == "sqlite" else f"'\\x{value.hex()}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


async def test_newer_database_is_refused_and_left_alone(empty: Place) -> None:
    async with hansard.open(empty.url) as record:
        await record.create(session_id="s")
    empty.execute(f"INSERT INTO schema_migrations VALUES ({NEWEST + 1}, 'from_tomorrow', 1)")
    before = schema(empty), empty.dump()
    with pytest.raises(Conflict) as caught:
        async with hansard.open(empty.url):
            pass
    assert caught.value.code == "schema_too_new"
    assert caught.value.details == {
        "database_version": NEWEST + 1,
        "known_version": NEWEST,
    }
    assert (schema(empty), empty.dump()) == before


async def test_database_of_somebody_else_is_refused_and_left_alone(empty: Place) -> None:
    empty.execute("CREATE TABLE sessions (session_id TEXT PRIMARY KEY)")
    before = schema(empty)
    with pytest.raises(Conflict) as caught:
        async with hansard.open(empty.url):
            pass
    assert caught.value.code == "foreign_database"
    assert "import --from" in str(caught.value)
    assert schema(empty) == before


async def test_migration_that_fails_leaves_nothing_behind(empty: Place) -> None:
    empty.execute("CREATE TABLE turns (id TEXT)")
    before = schema(empty)
    with pytest.raises(HansardError):
        async with hansard.open(empty.url, retry_deadline_s=0):
            pass
    assert schema(empty) == before
    empty.execute("DROP TABLE turns")
    async with hansard.open(empty.url) as record:
        await record.create(session_id="s")


@pytest.mark.no_cover  # forty processes that each lead through the same
async def test_twenty_processes_open_an_empty_database_at_once(empty: Place) -> None:
    with started(empty.url) as processes:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=120)[1] for process in processes]
    assert [(process.returncode, text) for process, text in zip(processes, told, strict=True)] == [
        (0, "")
    ] * PROCESSES
    async with hansard.open(empty.url) as record:
        assert len((await record.list(limit=100)).items) == PROCESSES + 1
        assert (await record.get("shared")).message_count == PROCESSES
        assert (await record.verify("shared")).ok


@contextmanager
def started(url: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that will open a record when told to; none outlives the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_WRITE, url, f"p{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for n in range(PROCESSES)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
