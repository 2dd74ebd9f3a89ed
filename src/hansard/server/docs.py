"""The API for people: the OpenAPI document as Markdown and as a page.

The page is one file without scripts, fonts or anything else to load, so that it works
where there is no internet.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, assert_never

from hansard.server.openapi import REF

Json = Mapping[str, Any]

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; } h3 { margin-top: 2rem; font-family: ui-monospace, monospace; }
table { border-collapse: collapse; } code { font-family: ui-monospace, monospace; }
th, td { border: 1px solid #8886; padding: .2rem .6rem; text-align: left; vertical-align: top; }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a level from 1."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; words between backquotes are code."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; words between backquotes are code."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Paragraph | Table


def to_markdown(document: Json) -> str:
    """Write the API as Markdown."""
    return "\n".join(line for block in _blocks(document) for line in _markdown(block))


def to_html(document: Json) -> str:
    """Write the API as a page."""
    body = "\n".join(_html(block) for block in _blocks(document))
    title = html.escape(document["info"]["title"])
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n{body}\n</html>\n"
    )


def _blocks(document: Json) -> Iterator[Block]:
    yield Heading(1, "HTTP API")
    yield Paragraph(
        "Bodies and answers are JSON in UTF-8. Every failure has the shape `Failure`. A `GET` "
        "may also be sent as `HEAD`. Unknown query parameters are ignored. An `X-Request-Id` "
        "comes back, and one is made where none was sent."
    )
    operations: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operations.setdefault(operation["tags"][0], []).append((method, path, operation))
    for noun, rows in operations.items():
        yield Heading(2, noun.capitalize())
        for method, path, operation in rows:
            yield from _operation(f"{method.upper()} {path}", operation)
    yield Heading(2, "Shapes")
    for name, schema in document["components"]["schemas"].items():
        yield Heading(3, name)
        yield Paragraph(schema["description"])
        yield Table(("field", "type", "if absent"), _fields(schema))


def _operation(title: str, operation: Json) -> Iterator[Block]:
    yield Heading(3, title)
    yield Paragraph(operation["summary"])
    if operation["parameters"]:
        yield Table(
            ("parameter", "in", "type", "if absent"),
            [
                (
                    f"`{item['name']}`",
                    item["in"],
                    item.get("description") or _type(item["schema"]),
                    "" if item["required"] else _default(item["schema"]),
                )
                for item in operation["parameters"]
            ],
        )
    if "requestBody" in operation:
        yield Paragraph(f"Takes {_contents(operation['requestBody']['content'])}.")
    yield Table(
        ("status", "meaning", "answer"),
        [
            (
                status,
                answer["description"]
                if int(status) < HTTPStatus.BAD_REQUEST
                else HTTPStatus(int(status)).phrase,
                _contents(answer["content"]) if "content" in answer else "",
            )
            for status, answer in operation["responses"].items()
        ],
    )


def _fields(schema: Json) -> list[tuple[str, str, str]]:
    required = schema.get("required", ())
    return [
        (f"`{name}`", _type(item), "refused" if name in required else _default(item))
        for name, item in schema["properties"].items()
    ]


def _contents(content: Json) -> str:
    return " or ".join(
        _type(item["schema"]) if "schema" in item else f"`{media_type}`"
        for media_type, item in content.items()
    )


def _default(schema: Json) -> str:
    value = schema.get("default")
    return "" if value is None else f"`{value}`"


def _type(schema: Json) -> str:
    """Name a type in words."""
    match schema:
        case {"$ref": name}:
            words = f"`{name.removeprefix(REF)}`"
        case {"anyOf": parts}:
            words = " or ".join(map(_type, parts))
        case {"enum": values}:
            words = ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items}:
            words = f"list of {_type(items)}"
        case {"format": name}:
            words = name
        case {"pattern": pattern}:
            words = f"text like `{pattern}`"
        case {"type": kind, "minimum": least, "maximum": most}:
            words = f"{_WORDS[kind]} {least} to {most}"
        case _:
            words = _WORDS[schema.get("type")]
    return words


_WORDS: Final[Mapping[str | None, str]] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
    None: "anything",
}


def _markdown(block: Block) -> Iterable[str]:
    match block:
        case Heading(level, text):
            return (f"{'#' * level} {text}", "")
        case Paragraph(text):
            return (text, "")
        case Table(head, rows):
            lines = [head, ["---"] * len(head), *rows]
            cells = ([cell.replace("|", "&#124;") for cell in line] for line in lines)
            return (*(f"| {' | '.join(line)} |" for line in cells), "")
        case _:
            assert_never(block)


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_inline(text)}</p>"
        case Table(head, rows):
            lines = [_row("th", head), *(_row("td", row) for row in rows)]
            return f"<table>{''.join(lines)}</table>"
        case _:
            assert_never(block)


def _row(cell: str, texts: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{_inline(text)}</{cell}>' for text in texts)}</tr>"


def _inline(text: str) -> str:
    parts = html.escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )
