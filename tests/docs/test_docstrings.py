"""Every example in a docstring does what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import hansard

SOURCE = Path(hansard.__file__).parent
MODULES = [
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_hold(name: str) -> None:
    module = import_module(name.removesuffix(".__init__"))
    outcome = doctest.testmod(module)
    assert outcome.failed == 0
    assert outcome.attempted > 0
