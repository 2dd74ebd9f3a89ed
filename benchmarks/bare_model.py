"""An upstream that streams the same answer to everybody: OpenAI's chunks, and nothing behind.

uvicorn benchmarks.bare_model:instant --loop uvloop --http httptools --no-access-log
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.bare_asgi import Receive, Send, app
from benchmarks.turns import MODEL, USAGE

PIECES: Final = 20

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream; charset=utf-8")],
}


@dataclass(frozen=True)
class Model:
    """An ASGI app.

    Attributes:
        think_s: Time to its first token.
        pause_s: Between two tokens; without one they still leave one by one.
    """

    think_s: float = 0.0
    pause_s: float = 0.0

    @property
    def turn_s(self) -> float:
        """How long an answer takes."""
        return self.think_s + PIECES * self.pause_s

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Stream to a POST; answer anything else at once."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        while (await receive()).get("more_body", False):
            pass
        await asyncio.sleep(self.think_s)
        await send(START)
        for event in EVENTS:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(self.pause_s)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _event(choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]


EVENTS: Final = (
    _event(_choice({"role": "assistant", "content": ""}), None),
    *(_event(_choice({"content": f" word{number:02}"}), None) for number in range(PIECES)),
    _event(_choice({}, "stop"), None),
    _event(
        [],
        {
            "prompt_tokens": USAGE["input_tokens"],
            "completion_tokens": USAGE["output_tokens"],
            "total_tokens": USAGE["input_tokens"] + USAGE["output_tokens"],
            "prompt_tokens_details": {"cached_tokens": USAGE["cached_tokens"]},
        },
    ),
)

instant: Final = Model()
thinking: Final = Model(think_s=0.1, pause_s=0.01)
