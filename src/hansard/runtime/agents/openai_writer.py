"""Chat completions of agents that do not pass bytes through, written as OpenAI's API does.

A tool that the agent ran by itself is its own affair: on the wire stand the calls alone that
are left for the client to make.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import Completed, Reasoning, Text, ToolCalled, ToolReturned

_ENCODER = msgspec.json.Encoder()
_DONE = b"data: [DONE]\n\n"


class AnswerWriter:
    """Writes one answer: as chunks while it comes, or whole at the end."""

    def __init__(self, *, completion_id: str, model: str, created_s: int) -> None:
        self._head = {"id": completion_id, "created": created_s, "model": model}
        self._role: dict[str, Any] = {"role": "assistant"}
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[str, ToolCalled] = {}

    def write(self, event: Text | Reasoning | ToolCalled | ToolReturned) -> bytes:
        """Take the next event; return what a streaming client gets now, which may be nothing."""
        match event:
            case Text(text):
                self._text.append(text)
                return self._delta({"content": text})
            case Reasoning(text):
                self._reasoning.append(text)
                return self._delta({"reasoning_content": text})
            case ToolCalled(call_id):
                self._calls[call_id] = event
            case ToolReturned(call_id):
                self._calls.pop(call_id, None)
        return b""

    def end(self, completed: Completed, *, include_usage: bool) -> bytes:
        """Return the last chunks of a stream."""
        calls = [{"index": index, **call} for index, call in enumerate(self._tool_calls())]
        ending = self._delta({"tool_calls": calls}) if calls else b""
        ending += self._chunk([{"index": 0, "delta": {}, "finish_reason": self._why(completed)}])
        if include_usage:
            ending += self._chunk([], usage=usage_object(completed.calls))
        return ending + _DONE

    def body(self, completed: Completed) -> bytes:
        """Return the whole completion."""
        calls = self._tool_calls()
        text = "".join(self._text)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            message |= {"content": text or None, "tool_calls": calls}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        choice = {"index": 0, "message": message, "finish_reason": self._why(completed)}
        return _ENCODER.encode(
            {
                **self._head,
                "object": "chat.completion",
                "choices": [choice],
                "usage": usage_object(completed.calls),
            }
        )

    def _why(self, completed: Completed) -> str:
        return "tool_calls" if self._calls else completed.finish_reason or "stop"

    def _tool_calls(self) -> list[dict[str, Any]]:
        return [tool_call(call) for call in self._calls.values()]

    def _delta(self, delta: dict[str, Any]) -> bytes:
        role, self._role = self._role, {}
        return self._chunk([{"index": 0, "delta": role | delta, "finish_reason": None}])

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: %b\n\n" % _ENCODER.encode(chunk)


def tool_call(call: ToolCalled) -> dict[str, Any]:
    """Write a call as it stands in a message."""
    return {
        "id": call.call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def usage_object(calls: Sequence[NewUsage]) -> dict[str, Any]:
    """Sum the calls of a turn into one ``usage`` object."""
    sent = sum(call.input_tokens for call in calls)
    made = sum(call.output_tokens for call in calls)
    return {
        "prompt_tokens": sent,
        "completion_tokens": made,
        "total_tokens": sent + made,
        "prompt_tokens_details": {"cached_tokens": sum(call.cached_tokens for call in calls)},
        "completion_tokens_details": {
            "reasoning_tokens": sum(call.reasoning_tokens for call in calls)
        },
    }
