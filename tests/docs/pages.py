"""Pages of the documentation, their fenced blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED_END = "<!-- end of the generated part -->"

_FENCE = re.compile(r"^(`{3,})([a-z]*)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """What stands between two fences; ``line`` is its first in the page, from 1."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """Every page, the ones beside the folder ``docs`` included."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name(page: Path) -> str:
    """How a page is called in a report."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[2], match[3], text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks and inline code."""
    return _CODE.sub("`code`", _FENCE.sub("\n", page.read_text(encoding="utf-8")))


def links(page: Path) -> Iterator[str]:
    """Targets of all links of a page."""
    text = _FENCE.sub("\n", page.read_text(encoding="utf-8"))
    return (match[1] for match in _LINK.finditer(text))


def anchors(page: Path) -> set[str]:
    """What a link may name behind ``#``, as GitHub makes it of headings."""
    text = _FENCE.sub("\n", page.read_text(encoding="utf-8"))
    return {_anchor(match[1]) for match in _HEADING.finditer(text)}


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")
