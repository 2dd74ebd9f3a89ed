"""Peeks: the last things said in a session, short enough to be shown beside many others.

    message -> reasoning, text, calls of tools -> entries: cut, and without what opens doors

What looks like a credential is masked, and what tools are given and give back is named by its
size alone. A secret that looks like a word is not found; a peek is no leave to show a session to
somebody who may not read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hansard.core.items import tool_of

ENTRIES_MAX: Final = 12
TEXT_MAX: Final = 400
KINDS: Final = ("user", "assistant", "reasoning", "tool")
MASK: Final = "[redacted]"

_SCANNED_MAX: Final = 4 * TEXT_MAX  # of a text: the search for what to mask takes its square
_CREDENTIAL: Final = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*-----|\Z)
    | \beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?                        # a JSON Web Token
    | \b(?:sk|pk|rk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abprs]|hf|npm|pypi|hvs)[-_][\w-]{8,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{12,} | \bAIza[\w-]{20,}
    | \bhansard\.[\w.-]{20,}
    | (?<=://)[^\s/@]+:[^\s/@]+(?=@)                                # a URL's user and password
    | (?<=Bearer[ ])\S{8,} | (?<=bearer[ ])\S{8,} | (?<=Basic[ ])\S{8,}
    | \b[0-9a-fA-F]{32,}\b
    | \b(?=[\w+/-]*[0-9])(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])[\w+/-]{32,}={0,2}
    """,
    re.VERBOSE | re.DOTALL,
)
_CUT_WORD: Final = re.compile(r"\S{1,64}\Z")  # the beginning of a secret looks like a word
_NAMED: Final = re.compile(
    r"""((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|credential)s?["']?\s*(?:=|:|\bis\b)\s*)
    (?:"[^"]*"|'[^']*'|[^\s,;"'}]+)""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was said.

    Attributes:
        kind: One of ``KINDS``.
        truncated: There was more of it.
        redacted: Something in it is masked, or left out.
        message: Place of its message among those that were given.
    """

    kind: str
    text: str
    truncated: bool
    redacted: bool
    message: int


def peek(messages: Sequence[Mapping[str, Any]], count: int) -> list[Entry]:
    """Return the last things said in messages, at most ``count``."""
    entries = [
        entry for place, message in enumerate(messages) for entry in _entries(place, message)
    ]
    return entries[-count:]


def mask(text: str) -> str:
    """Mask what looks like a credential.

    >>> mask("use sk-live-0123456789 as password: hunter2")
    'use [redacted] as password: [redacted]'
    """
    return _NAMED.sub(rf"\1{MASK}", _CREDENTIAL.sub(MASK, text))


def _entries(place: int, message: Mapping[str, Any]) -> Iterable[Entry]:
    role, content = message.get("role"), message.get("content")
    if role in {"tool", "function"}:
        yield _tool(place, f"result, {_size(content)}")
        return
    if role not in {"user", "assistant"}:
        return
    thought = message.get("reasoning_content")
    if isinstance(thought, str) and thought:
        yield _said(place, "reasoning", thought)
    for part in content if isinstance(content, list) else [{"text": content or ""}]:
        yield from _of_part(place, role, part)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        tool = tool_of(call)
        yield _tool(place, f"{mask(tool['name'])}, {_size(tool['arguments'])}")


def _of_part(place: int, role: str, part: object) -> Iterable[Entry]:
    """What a part of a message says; one that is neither said nor thought goes by its kind."""
    if not isinstance(part, dict):
        return
    kind = str(part.get("type", ""))
    for field, shown in (("text", role), ("thinking", "reasoning")):
        text = part.get(field)
        if isinstance(text, str):
            if text:
                yield _said(place, "reasoning" if kind == "thinking" else shown, text)
            return
    if part.keys() > {"type"}:
        yield _tool(place, f"{mask(str(part.get('name') or kind))}, {_size(part)}")


def _said(place: int, kind: str, text: str) -> Entry:
    scanned = text if len(text) <= _SCANNED_MAX else _CUT_WORD.sub("", text[:_SCANNED_MAX])
    masked = mask(scanned)
    return Entry(
        kind=kind,
        text=masked[:TEXT_MAX],
        truncated=len(text) > len(scanned) or len(masked) > TEXT_MAX,
        redacted=masked != scanned,
        message=place,
    )


def _tool(place: int, text: str) -> Entry:
    cut = text[:TEXT_MAX]
    return Entry(kind="tool", text=cut, truncated=cut != text, redacted=True, message=place)


def _size(payload: object) -> str:
    text = payload if isinstance(payload, str) else repr(payload)
    return f"{len(text)} characters"
