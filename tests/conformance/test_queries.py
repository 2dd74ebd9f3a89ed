"""Every query can be prepared in every dialect; the hot ones find their rows by index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.pq import ExecStatus

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.traces import Trace
from hansard.server.app import key_service
from hansard.service.feedback import FeedbackService
from hansard.service.retention import RetentionService
from hansard.service.threads import ThreadService
from hansard.service.traces import TraceService
from hansard.settings import AccessSettings
from hansard.store.postgres import open_connection
from hansard.store.queries import Dialect, Query, load
from tests.places import Place
from tests.samples import call, dialogue, new_hold

ID = "'session_id', format('s%s', 1 + n % 5000)"
COPIES = {
    "sessions": ("'session_id', format('s%s', n), 'updated_at_us', n", 5_000),
    "session_details": ("'session_id', format('s%s', n), 'created_at_us', n", 5_000),
    "messages": (f"{ID}, 'seq', n", 20_000),
    "turns": (f"{ID}, 'turn_id', n", 20_000),
    "usage_entries": (f"{ID}, 'event_id', n", 20_000),
    "session_usage": (f"{ID}, 'hour_us', n", 20_000),
    "hourly_usage": ("'hour_us', n", 20_000),
    "budgets": ("'budget_id', format('b%s', n)", 500),
    "budget_windows": ("'budget_id', format('b%s', 1 + n % 500), 'start_us', n", 20_000),
    "budget_alerts": ("'start_us', n, 'created_at_us', n, 'due_at_us', NULL", 5_000),
    "legal_holds": ("'tenant_id', n", 5_000),
    "holds": ("'call_id', format('c%s', n), 'state', 'settled'", 20_000),
    "events": (f"{ID}, 'number', n", 20_000),
    "imports": ("'session_id', format('s%s', n), 'source_key', n", 5_000),
    "api_keys": ("'key_id', n", 5_000),
    "price_versions": ("'number', n + 1", 5_000),
    "feedback": (f"{ID}, 'feedback_id', n, 'trace_id', n, 'created_at_us', n", 5_000),
    "threads": ("'thread_id', format('s%s', n), 'updated_at_us', n", 5_000),
    "traces": (f"{ID}, 'trace_id', n, 'started_at_us', n, 'saved_at_us', n", 5_000),
}
"""How often a row of each table is copied, and with which fields changed: enough that
reading a whole table is never the cheapest way."""

OF_THE_DATABASE = {
    "schema_version",
    "schema_book_count",
    "installation_get",
    "budget_close",
    "budget_share",
    "hold_count",
    "hold_expire",
    "legal_hold_close",
    "thread_find_lost",
    "retention_turn",
}
"""Queries about the database as a whole, or that keep house for all tenants at once."""

SORTED_LAST = {"model_usage_list", "hold_list"}
"""Queries that sort the few rows that an index found: a session's models, holds of no known end."""


REPORTS = [
    *[("tenant", *filters) for filters in ((), ("model",), ("provider",))],
    *[("callers", *filters) for filters in ((), ("agent",), ("owner",))],
    *[("sessions", *filters) for filters in ((), ("agent",), ("session_id",))],
]
"""A report is made from one of three tables; it is no query without the name of one."""


def variants(dialect: Dialect) -> list[tuple[str, tuple[str, ...]]]:
    """Each query plain, and with each of its optional lines."""
    return [
        (query.name, options)
        for query in load(dialect).values()
        for options in (
            REPORTS
            if query.name == "report"
            else [(), *[(option,) for option in sorted(query.options)]]
        )
    ]


def orders(query: str, filters: list[str], sorts: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    return [(query, (*filters, sort)) for sort in sorts]


SORTS = [
    "sort_created_at",
    "sort_created_at_descending",
    "sort_updated_at",
    "sort_updated_at_descending",
]
HOT = [
    *[
        (query, ())
        for query in (
            "session_lock",
            "session_lock_free",
            "session_get",
            "session_list_by_prefix",
            "session_list_untouched",
            "legal_hold_find",
            "retention_next_tenant",
            "hold_purge",
            "alert_purge",
            "session_advance",
            "session_touch",
            "session_details_update",
            "session_delete",
            "message_texts",
            "message_digest",
            "message_copy",
            "message_cut",
            "turn_find",
            "turn_list",
            "turn_cut",
            "usage_find",
            "usage_list",
            "usage_get",
            "usage_get_anywhere",
            "model_usage_list",
            "budget_get",
            "window_lock",
            "window_update",
            "window_list",
            "hold_find",
            "hold_get",
            "hold_end",
            "hold_owner_of_session",
            "event_list",
            "import_find",
            "key_get",
            "key_list",
            "key_revoke",
            "price_version_newest",
            "price_version_document",
            "price_version_list",
            "feedback_get",
            "feedback_update",
            "feedback_purge",
            "trace_get",
            "trace_purge",
        )
    ],
    *[
        ("feedback_list", options)
        for options in ((), ("before",), ("owner",), ("session_id",), ("trace_id",))
    ],
    *[("trace_list", options) for options in ((), ("before",), ("owner",), ("session_id",))],
    ("hold_list", ("pending",)),
    *orders("message_list", [], ["ascending", "descending"]),
    *orders("message_list", ["after"], ["ascending"]),
    *orders("message_list", ["before"], ["descending"]),
    *orders("session_list", [], SORTS),
    ("session_list", ("after_created_at", "sort_created_at")),
    ("session_list", ("before_created_at", "sort_created_at_descending")),
    ("session_list", ("after_updated_at", "sort_updated_at")),
    ("session_list", ("before_updated_at", "sort_updated_at_descending")),
    ("session_list", ("agent", "sort_created_at_descending")),
    ("session_list", ("owner", "sort_created_at_descending")),
]


def label(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)


def prepare(connection: psycopg.Connection[Any], query: Query) -> None:
    connection.execute("DEALLOCATE ALL")
    connection.execute(b"PREPARE q AS " + query.by_number)


def explain(connection: psycopg.Connection[Any], query: Query) -> str:
    """The plan that the store's own connections use: made once, for any parameters."""
    prepare(connection, query)
    nulls = ", ".join(["NULL"] * len(query.arguments))
    rows = connection.execute(f"EXPLAIN EXECUTE q({nulls})" if nulls else "EXPLAIN EXECUTE q")
    return "\n".join(row[0] for row in rows)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("queries") / "record.db"
    url = f"sqlite:///{path}"
    _fill(url)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.fixture(scope="module")
def postgres(postgres_server: Any) -> Iterator[psycopg.Connection[Any]]:
    url = postgres_server.create_database()
    _fill(url)
    _multiply(Place("postgres", url, url))
    with open_connection(url) as connection:
        connection.prepare_threshold = None  # what is prepared here is prepared by hand
        yield connection
    postgres_server.drop_database(url)


def _fill(url: str) -> None:
    async def fill() -> None:
        async with open_database(url, actor=Actor(owner="ann")) as record:
            await record.create(session_id="s", agent="a", messages=dialogue(2))
            await record.put_budget(
                "o", scope="tenant", limit_amount=1, mode="observe", unit="tokens"
            )
            await record.append_turn("s", dialogue(2), usage=[call("c", 1)], turn_id="t")
            await record.import_session(b'{"messages": []}', "openai-chat")
            await record.put_budget("b", scope="tenant", limit_amount=10**9, period="day")
            await record.take_hold(new_hold("h"))
            await RetentionService(record.runner, clock=record.clock).place_legal_hold("other")
            await key_service(record, AccessSettings()).create("default", "ann")
            await record.shelf.import_document("default", b"")
            trace = Trace(trace_id="t", started_at="2026-01-01T00:00:00Z", session_id="s")
            await TraceService(record.runner, actor=record.actor).save(trace)
            await FeedbackService(record.runner, actor=record.actor).add(rating=1, session_id="s")
            await ThreadService(record.runner, actor=record.actor, clock=record.clock).create("a")

    anyio.run(fill)


def _multiply(place: Place) -> None:
    """Copy one row of each table until the planner has something to choose."""
    for table, (fields, count) in COPIES.items():
        changed = f"jsonb_populate_record(one, jsonb_build_object({fields}))"
        place.execute(
            f"INSERT INTO {table} SELECT ({changed}).*"
            f" FROM {table} AS one, generate_series(1, {count}) AS n"
            f" WHERE one.ctid = (SELECT min(ctid) FROM {table})"
        )
    place.execute("ANALYZE")


@pytest.mark.parametrize(("name", "options"), variants("sqlite"), ids=label)
def test_query_can_be_prepared_on_sqlite(
    sqlite: sqlite3.Connection, name: str, options: tuple[str, ...]
) -> None:
    query = load("sqlite")[name].with_options(options)
    sqlite.execute(f"EXPLAIN {query.text}", dict.fromkeys(query.parameters))


@pytest.mark.parametrize(("name", "options"), variants("postgres"), ids=label)
def test_query_can_be_prepared_on_postgres(
    postgres: psycopg.Connection[Any], name: str, options: tuple[str, ...]
) -> None:
    query = load("postgres")[name].with_options(options)
    prepared = postgres.pgconn.prepare(b"", query.by_number)
    assert prepared.status == ExecStatus.COMMAND_OK, prepared.error_message


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_every_query_is_described(dialect: Dialect) -> None:
    """The shared text of a query opens with a sentence on what it is for."""
    for name, query in load("sqlite").items():
        assert re.match(r"(-- [A-Z].*)(\n-- .*)*\.\n[A-Z]", query.text), name
    assert load(dialect).keys() == load("sqlite").keys()


@pytest.mark.parametrize(("name", "options"), HOT, ids=label)
def test_hot_query_uses_an_index_on_sqlite(
    sqlite: sqlite3.Connection, name: str, options: tuple[str, ...]
) -> None:
    query = load("sqlite")[name].with_options(options)
    rows = sqlite.execute(f"EXPLAIN QUERY PLAN {query.text}", dict.fromkeys(query.parameters))
    plan = "\n".join(row[3] for row in rows)
    assert re.search(r"SEARCH .* USING .*(INDEX|PRIMARY KEY)", plan), plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan or name in SORTED_LAST


def test_expiry_looks_at_no_hold_that_has_ended(
    sqlite: sqlite3.Connection, postgres: psycopg.Connection[Any]
) -> None:
    query = load("sqlite")["hold_expire"]
    rows = sqlite.execute(f"EXPLAIN QUERY PLAN {query.text}", dict.fromkeys(query.parameters))
    for plan in (str(rows.fetchall()), explain(postgres, load("postgres")["hold_expire"])):
        assert "holds_pending" in plan


def test_report_of_a_tenant_looks_at_no_sum_of_a_part(sqlite: sqlite3.Connection) -> None:
    query = load("sqlite")["report"].with_options(("tenant",))
    rows = sqlite.execute(f"EXPLAIN QUERY PLAN {query.text}", dict.fromkeys(query.parameters))
    assert "hourly_usage_whole (tenant_id=? AND hour_us>? AND hour_us<?)" in str(rows.fetchall())


@pytest.mark.parametrize(("name", "options"), HOT, ids=label)
def test_hot_query_uses_an_index_on_postgres(
    postgres: psycopg.Connection[Any], name: str, options: tuple[str, ...]
) -> None:
    plan = explain(postgres, load("postgres")[name].with_options(options))
    assert re.search(r"Index (Only )?Scan .*using \w+ on|Bitmap Index Scan on \w+", plan), plan
    assert "Seq Scan" not in plan, plan


def test_no_query_starts_parallel_workers(postgres: psycopg.Connection[Any]) -> None:
    """A plan for any LIMIT would start them for a page of fifty, at twenty times its cost."""
    row = postgres.execute("SHOW max_parallel_workers_per_gather").fetchone()
    assert row == ("0",)


def test_every_tenant_query_names_its_tenant() -> None:
    """What follows the rule for distributed tables also cannot leak across tenants."""
    for queries in (load("sqlite"), load("postgres")):
        for name, query in queries.items():
            if name not in OF_THE_DATABASE:
                assert ":tenant_id" in query.text or ".tenant_id" in query.text, (
                    query.dialect,
                    name,
                )
