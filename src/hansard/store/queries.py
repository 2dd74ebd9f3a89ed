"""Named queries, read from ``store/sql``.

``<noun>.sql`` holds the text that both databases understand; ``<noun>.postgres.sql``
replaces single queries where they must differ. Parameters are written ``:name``. A line
that ends in ``-- if name`` is part of the query only when ``name`` is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Literal

Dialect = Literal["sqlite", "postgres"]

_HEADER = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_TOKEN = re.compile(r"('(?:[^']|'')*'|--[^\n]*|::)|:([a-z_]+)")
_OPTIONAL = re.compile(r"^(.*?) *-- if ([a-z_]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Query:
    """One query of one dialect."""

    name: str
    text: str
    dialect: Dialect

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the text."""
        return tuple(name for _, name in _TOKEN.findall(self.text) if name)

    @cached_property
    def options(self) -> frozenset[str]:
        """Names that a line of the query depends on."""
        return frozenset(name for _, name in _OPTIONAL.findall(self.text))

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """Names of the parameters, each once, in the order of their numbers."""
        return tuple(dict.fromkeys(self.parameters))

    @cached_property
    def by_number(self) -> bytes:
        """The text with ``$1`` for the first of ``arguments``, as PostgreSQL wants it."""
        return number(self.text).encode()

    @cached_property
    def by_position(self) -> str:
        """The text with ``?`` for each parameter, for rows of tuples."""
        return _TOKEN.sub(lambda match: "?" if match[2] else match[0], self.text)

    def with_options(self, chosen: Collection[str]) -> Query:
        """The query with the lines that are asked for, and without the others."""
        return _choose(self, frozenset(chosen))


@cache
def combine(queries: tuple[Query, ...]) -> Query:
    """Make one query of several that write to different tables, for PostgreSQL.

    The parameters of all follow each other; each is marked with the letter of its query.
    """
    marked = [_mark(query.text, chr(ord("a") + index)) for index, query in enumerate(queries)]
    steps = ",\n".join(f"step_{index} AS (\n{text}\n)" for index, text in enumerate(marked[:-1]))
    text = f"WITH {steps}\n{marked[-1]}" if steps else marked[-1]
    return Query("+".join(query.name for query in queries), text, queries[0].dialect)


def _mark(sql: str, letter: str) -> str:
    return _TOKEN.sub(lambda match: f"{match[0]}_{letter}" if match[2] else match[0], sql)


@cache
def _choose(query: Query, chosen: frozenset[str]) -> Query:
    text = _OPTIONAL.sub(lambda match: match[1] if match[2] in chosen else "", query.text)
    return Query(query.name, text, query.dialect)


def parse(text: str) -> dict[str, str]:
    r"""Split the text of one file into ``{name: sql}``.

    Raises:
        ValueError: If a name occurs twice.

    >>> parse("-- name: one\nSELECT 1;\n")
    {'one': 'SELECT 1'}
    """
    parts = _HEADER.split(text)[1:]
    names = parts[::2]
    if len(set(names)) != len(names):
        raise ValueError(f"query named twice in {sorted(names)}")
    bodies = (body.strip().removesuffix(";") for body in parts[1::2])
    return dict(zip(names, bodies, strict=True))


def number(sql: str) -> str:
    """Rewrite each ``:name`` to its number, outside strings, comments and casts.

    >>> number("SELECT ':x', a::text FROM t WHERE b = :b AND c = :c AND d = :b")
    "SELECT ':x', a::text FROM t WHERE b = $1 AND c = $2 AND d = $1"
    """
    numbers: dict[str, int] = {}

    def rewrite(match: re.Match[str]) -> str:
        verbatim, name = match.groups()
        return f"${numbers.setdefault(name, len(numbers) + 1)}" if name else verbatim

    return _TOKEN.sub(rewrite, sql)


@cache
def load(dialect: Dialect) -> Mapping[str, Query]:
    """All queries of one dialect."""
    folder = resources.files("hansard.store") / "sql"
    shared: dict[str, str] = {}
    own: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        queries = parse(file.read_text(encoding="utf-8"))
        if file.name.endswith(f".{dialect}.sql"):
            own |= queries
        elif file.name.count(".") == 1:
            shared |= queries
    if unknown := own.keys() - shared.keys():
        raise ValueError(f"overrides of nothing: {sorted(unknown)}")
    return {name: Query(name, text, dialect) for name, text in (shared | own).items()}
