"""Every error code, found where it is raised.

The source is read, not run: an error is a call of one of the classes of ``core/errors.py``
with a message and perhaps a ``code``, which is a string or a constant of its module.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException

import hansard
from hansard.cli.errors import exit_code
from hansard.core import errors
from hansard.core.errors import HansardError
from hansard.server.errors import framework_failure, status_of

SOURCE: Final = Path(hansard.__file__).parent
_FILLED_IN: Final = "…"

CLASSES: Final = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, HansardError)
}


@dataclass
class Code:
    """One code: the classes that it comes with, and what is said with it."""

    kinds: set[type[HansardError]] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)


def render() -> str:
    """Write one table of classes and one of codes."""
    return "\n".join([*_classes(), "", *_codes()])


def find_codes() -> dict[str, Code]:
    """Find every code that can be raised, by name."""
    found: dict[str, Code] = {}
    for path in SOURCE.rglob("*.py"):
        for name, kind, message in _read(path):
            code = found.setdefault(name, Code())
            code.kinds.add(kind)
            code.messages.add(message)
    for status, kind in ((404, errors.NotFound), (405, errors.InvalidInput)):
        refused = json.loads(framework_failure(HTTPException(status)).body)["error"]
        found[refused["code"]] = Code({kind}, {refused["message"]})
    return dict(sorted(found.items()))


def _classes() -> Iterator[str]:
    yield "## Classes\n\n| class | status | exit code | what it means |\n|---|---|---|---|"
    for name, kind in CLASSES.items():
        error = kind("")
        meaning = (kind.__doc__ or "").partition("\n")[0]
        yield f"| `{name}` | {status_of(error)} | {exit_code(error)} | {meaning} |"


def _codes() -> Iterator[str]:
    yield "## Codes\n\n| code | class | status | said |\n|---|---|---|---|"
    for name, code in find_codes().items():
        kinds = sorted(code.kinds, key=lambda kind: kind.__name__)
        statuses = dict.fromkeys(str(status_of(kind("", code=name))) for kind in kinds)
        said = "<br>".join(sorted(code.messages - {_FILLED_IN}))
        classes = ", ".join(f"`{kind.__name__}`" for kind in kinds)
        yield f"| `{name}` | {classes} | {', '.join(statuses)} | {said} |"


def _read(path: Path) -> Iterator[tuple[str, type[HansardError], str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind = CLASSES.get(node.func.id)
            name = _name(node, kind, path) if kind else None
            if kind and name and node.args:
                yield name, kind, _message(node.args[0])


def _name(call: ast.Call, kind: type[HansardError], path: Path) -> str | None:
    """Return the code that an error is raised with; None if it passes another's on."""
    given = next((word.value for word in call.keywords if word.arg == "code"), None)
    match given:
        case None:
            return kind.default_code
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=constant):
            module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
            return str(getattr(import_module(module), constant))
        case _:
            return None


def _message(node: ast.expr) -> str:
    """Write a message as it is said, with ``…`` for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            said = text
        case ast.JoinedStr(values=parts):
            said = "".join(
                str(part.value) if isinstance(part, ast.Constant) else _FILLED_IN for part in parts
            )
        case _:
            said = _FILLED_IN
    return said.replace("|", "\\|")
