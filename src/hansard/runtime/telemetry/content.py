"""What was said, as the conventions write it: messages that have parts. Off by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from hansard.core.messages import text_of

BYTES_MAX: Final = 32 * 1024
"""Of one attribute: backends cut or refuse what is longer, and a long history comes each turn."""

Body = Mapping[str, Any]

_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


def write_messages(messages: Sequence[Body], finish_reason: str = "") -> str:
    """Write OpenAI-shaped messages as JSON: the last of them, as many as there is room for.

    >>> write_messages([{"role": "user", "content": "Hi"}])
    '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]'
    """
    written: list[bytes] = []
    left_bytes = BYTES_MAX
    for index, message in enumerate(reversed(messages)):
        told = {"role": str(message.get("role")), "parts": _parts(message)}
        if finish_reason and not index:
            told["finish_reason"] = finish_reason
        text = _encode(told)
        left_bytes -= len(text)
        if left_bytes < 0:
            break
        written.append(text)
    return "[" + b",".join(reversed(written)).decode(errors="replace") + "]"


def _parts(message: Body) -> list[dict[str, Any]]:
    content = text_of(message.get("content"))
    if message.get("role") == "tool":
        call_id = message.get("tool_call_id")
        return [{"type": "tool_call_response", "id": call_id, "response": content}]
    parts: list[dict[str, Any]] = []
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    if content:
        parts.append({"type": "text", "content": content})
    calls = message.get("tool_calls")
    parts += [_call(call) for call in calls if isinstance(call, dict)] if calls else []
    return parts


def _call(call: Body) -> dict[str, Any]:
    function = call.get("function")
    named = function if isinstance(function, dict) else {}
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": str(named.get("name")),
        "arguments": named.get("arguments"),
    }
