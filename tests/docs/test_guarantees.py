"""Each promise names the tests that hold it, and there are such tests."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "guarantees.md"
RUNTIME = ROOT / "docs" / "runtime.md"
PROMISES = 12
PROMISES_OF_THE_RUNTIME = 34

_SECTION = re.compile(r"^## (\d+)\. [^\n]+\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`((?:tests|features|robot)/[\w/]+\.\w+)(?:::(\w+))?`")
_FUNCTION = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
_ROW = re.compile(r"^\| (\d+) \|.*$", re.MULTILINE)
SECTIONS = {int(number): text for number, text in _SECTION.findall(PAGE.read_text("utf-8"))}


def test_every_promise_has_its_section() -> None:
    assert list(SECTIONS) == list(range(1, PROMISES + 1))


@pytest.mark.parametrize("number", SECTIONS)
def test_every_promise_is_held_by_tests_that_exist(number: int) -> None:
    named = _TEST.findall(SECTIONS[number])
    assert named
    assert [(path, test) for path, test in named if not _exists(path, test)] == []


def test_every_promise_of_the_runtime_is_held_by_tests_that_exist() -> None:
    rows = [(int(row[1]), row[0]) for row in _ROW.finditer(RUNTIME.read_text("utf-8"))]
    assert [number for number, _ in rows] == list(range(1, PROMISES_OF_THE_RUNTIME + 1))
    for _, row in rows:
        named = _TEST.findall(row)
        assert named, row
        assert [(path, test) for path, test in named if not _exists(path, test)] == []


def _exists(path: str, test: str) -> bool:
    file = ROOT / path
    return file.exists() and (not test or test in _tests(file))


@cache
def _tests(file: Path) -> frozenset[str]:
    return frozenset(_FUNCTION.findall(file.read_text(encoding="utf-8")))
