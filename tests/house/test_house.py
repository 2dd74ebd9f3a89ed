"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hansard"
FOLDERS = ("src", "tests", "features", "robot", "benchmarks", "examples", "docs", "prices")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60  # without the docstring

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}
LAST_HANDLERS = {
    "server/edge.py",
    "crashes.py",
    "runtime/agents/pydantic_ai.py",
    "runtime/stops.py",
}
"""Where an error of any kind is caught: the server's last handler, the guard of what must not
take others along, and twice around the code of a user's own agent."""

DATA_BESIDE_THE_CHECKOUT = {"examples/demo/conversations.py"}
"""The one place that looks for optional input outside of the checkout."""


def python_files(*folders: str) -> list[Path]:
    return sorted(
        file
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        if not {"__pycache__", ".hypothesis"} & set(file.parts)
    )


def text_files() -> list[Path]:
    suffixes = {".py", ".sql", ".md", ".toml", ".feature", ".robot", ".html", ".js", ".css", ".c"}
    inner = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*")]
    return sorted(
        file
        for file in [*inner, *ROOT.iterdir()]
        if file.is_file() and (file.suffix in suffixes or file.name == "Makefile")
    )


def label(file: Path) -> str:
    return str(file.relative_to(ROOT))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    taken = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - taken


@pytest.mark.parametrize("file", python_files(*FOLDERS), ids=label)
def test_file_and_functions_fit_on_a_screen(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert lines_of(node) <= FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("file", python_files("src", "tests"), ids=label)
def test_file_says_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize("floor", ["core", "store", "formats"])
def test_floor_is_synchronous(floor: str) -> None:
    asynchronous = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    for file in (SOURCE / floor).rglob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        assert not any(isinstance(node, asynchronous) for node in nodes), file


def test_names_say_what_is_inside() -> None:
    assert not [file for file in python_files(*FOLDERS) if file.stem.strip("_") in VAGUE_NAMES]


def test_errors_of_every_kind_are_caught_in_one_place() -> None:
    catching = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if _catches_any(node)
    }
    assert catching == LAST_HANDLERS


def _catches_any(node: ast.AST) -> bool:
    match node:
        case ast.ExceptHandler(type=None | ast.Name(id="Exception")):
            return True
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, ast.Name(id="Exception")]):
            return True
    return False


def test_no_state_is_shared_behind_the_scenes() -> None:
    for file in SOURCE.rglob("*.py"):
        assert not [
            node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Global)
        ], file


def test_nothing_is_left_undone() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    own = Path(__file__)
    assert not [file for file in text_files() if file != own and marks.search(file.read_text())]


def test_every_ignored_type_error_has_its_reason() -> None:
    bare = re.compile(r"# type: ignore(?!\[[\w, -]+\]  # \w)")
    own = Path(__file__)
    for file in python_files(*FOLDERS):
        assert file == own or not bare.search(file.read_text()), file


def test_project_stands_alone() -> None:
    """No path of anybody's machine, and none out of the checkout."""
    absolute = re.compile(r"(?<![\w.:/}])/(work|home|root|Users)/\w")
    outside = re.compile(r"\.\./shared\b")
    own = Path(__file__)
    for file in text_files():
        text = file.read_text()
        if file != own:
            assert not absolute.search(text), file
            assert label(file) in DATA_BESIDE_THE_CHECKOUT or not outside.search(text), file


def test_queries_name_their_columns() -> None:
    for file in SOURCE.rglob("*.sql"):
        assert not re.search(r"SELECT\s+(\w+\.)?\*", file.read_text(), re.IGNORECASE), file
