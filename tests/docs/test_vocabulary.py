"""One word for one thing: the documentation uses the glossary's, and only those."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, name, pages, prose

GLOSSARY = ROOT / "docs" / "glossary.md"
_ROW = re.compile(r"^\| \*\*(.+?)\*\* \| .+? \| ?(.*?) ?\|$", re.MULTILINE)
# A path of somebody's machine, which nobody else has.
_MACHINE = re.compile(r"(?<![\w.:/~])/(?:home|root|work|Users)/\w+")


def _avoided() -> dict[str, str]:
    rows = _ROW.findall(GLOSSARY.read_text(encoding="utf-8"))
    return {word.strip(): term for term, words in rows for word in words.split(",") if word.strip()}


def test_glossary_has_rows() -> None:
    assert len(_avoided()) > 10


@pytest.mark.parametrize("page", [page for page in pages() if page != GLOSSARY], ids=name)
def test_page_uses_the_words_of_the_glossary(page: Path) -> None:
    text = prose(page)
    found = {
        word: f"say {term!r}"
        for word, term in _avoided().items()
        if re.search(rf"\b{re.escape(word)}s?\b", text, re.IGNORECASE)
    }
    assert found == {}


@pytest.mark.parametrize("page", pages(), ids=name)
def test_page_names_no_path_of_a_machine(page: Path) -> None:
    assert _MACHINE.findall(page.read_text(encoding="utf-8")) == []
