"""The format ``markdown``: a session to be read by people; it is not read back.

What was said is quoted and what was done stands in fenced blocks, each fence longer than any
inside it, so that no content can pose as part of the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from hansard.core.documents import Document, DocumentMessage
from hansard.core.messages import ROLES
from hansard.core.money import format_usd
from hansard.core.times import format_us
from hansard.core.usage import UsageTotals

NAME: Final = "markdown"
_FENCE_MIN = 3
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_SPECIAL = re.compile(r"([\\`*\[\]<>&])")


def write(document: Document, exported_at_us: int) -> Iterator[bytes]:
    """Write the session's fields, its messages in order, and its usage."""
    session = document.session
    yield _text(f"# {_inline(session.title or session.session_id or 'Session')}\n\n")
    facts = (
        ("Session", session.session_id),
        ("Agent", session.agent),
        ("Model", session.model),
        ("Owner", session.owner),
        ("Forked from", session.parent_session_id),
        ("Created", _time(session.created_at_us)),
        ("Exported", format_us(exported_at_us)),
        ("Digest", document.digest),
    )
    for name, value in facts:
        if value:
            yield _text(f"- {name}: {_inline(value)}\n")
    if session.system_prompt:
        yield _text(f"\n## System prompt\n\n{_quoted(session.system_prompt)}")
    for seq, message in enumerate(document.messages):
        yield _text(f"\n## {seq} · {_heading(message)}\n\n" + "\n".join(_blocks(message.body)))
    yield from _usage(document)


def _heading(message: DocumentMessage) -> str:
    role = message.body.get("role")
    name = message.body.get("name")
    words = (
        role if isinstance(role, str) and role in ROLES else "message",
        _inline(name) if isinstance(name, str) and name else None,
        _time(message.created_at_us),
    )
    return " · ".join(word for word in words if word)


def _blocks(body: dict[str, Any]) -> Iterator[str]:
    """Write the parts of a message: its text, its other content, its calls, all else."""
    content = body.get("content")
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            if part is not None:
                yield _json("Content", part)
        elif body.get("role") == "tool":
            yield _fenced(text, "text")
        elif text:
            yield _quoted(text)
    calls = body.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        yield _json("Tool call", call)
    shown = {"role", "content", "name"} | ({"tool_calls"} if isinstance(calls, list) else set())
    others = {key: value for key, value in body.items() if key not in shown}
    if others:
        yield _json("Also", others)


def _usage(document: Document) -> Iterator[bytes]:
    totals = UsageTotals()
    for entry in document.usage:
        totals = totals.plus(entry.totals())
    unpriced = f", and {totals.unpriced_calls} unpriced" if totals.unpriced_calls else ""
    if totals.calls:
        yield _text(
            f"\n## Usage\n\n- Model calls: {totals.calls}\n"
            f"- Input tokens: {totals.input_tokens} ({totals.cached_tokens} cached)\n"
            f"- Output tokens: {totals.output_tokens} ({totals.reasoning_tokens} reasoning)\n"
            f"- Cost: {format_usd(totals.cost_nanousd)} USD{unpriced}\n"
        )


def _json(name: str, value: Any) -> str:
    return f"{name}:\n\n{_fenced(json.dumps(value, ensure_ascii=False, indent=2), 'json')}"


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(_FENCE_MIN, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _quoted(text: str) -> str:
    return "".join(f"> {line}".rstrip() + "\n" for line in _LINE_ENDS.split(text))


def _inline(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_us(time_us)


def _text(text: str) -> bytes:
    return text.encode()
