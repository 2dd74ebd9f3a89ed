"""What is generated into the documentation is what the code says today."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import hansard
from docs import generate
from docs.generators import database, errors


@pytest.mark.parametrize("page", generate.PAGES)
def test_generated_part_is_current(page: str) -> None:
    written = (generate.FOLDER / page).read_text(encoding="utf-8")
    assert written == generate.current(page), "run 'make docs'"


def test_every_class_of_error_has_a_code() -> None:
    kinds = {kind for code in errors.find_codes().values() for kind in code.kinds}
    assert kinds == set(errors.CLASSES.values())


def test_both_engines_have_the_columns_of_the_page(postgres_url: str, sqlite_url: str) -> None:
    shown = {
        (table.name, column.name, column.nullable)
        for table in database.read_tables()
        for column in table.columns
    }
    for url in (postgres_url, sqlite_url):
        asyncio.run(_migrate(url))
    assert _sqlite_columns(Path(sqlite_url.removeprefix("sqlite:///"))) == shown
    assert _postgres_columns(postgres_url) == shown


async def _migrate(url: str) -> None:
    async with hansard.open(url):
        pass


def _sqlite_columns(path: Path) -> set[tuple[str, str, bool]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            'SELECT t.name, c.name, NOT c."notnull" FROM sqlite_schema AS t, '
            "pragma_table_info(t.name) AS c WHERE t.type = 'table'"
        ).fetchall()
    return {(table, column, bool(nullable)) for table, column, nullable in rows}


def _postgres_columns(url: str) -> set[tuple[str, str, bool]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, is_nullable = 'YES' FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name IN (SELECT tablename FROM pg_tables)"
        ).fetchall()
    return set(rows)
