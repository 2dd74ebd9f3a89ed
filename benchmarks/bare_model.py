"""An upstream with nothing behind it: streams as many tokens as it may, each in a chunk.

uvicorn benchmarks.bare_model:instant --loop uvloop --http httptools --no-access-log
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from benchmarks.bare_asgi import Receive, Send, app
from benchmarks.turns import MODEL, USAGE

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

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Stream to a POST; answer anything else at once."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        tokens = json.loads(body)["max_tokens"]
        await asyncio.sleep(self.think_s)
        await send(START)
        for event in (ROLE, *repeat(TOKEN, tokens), STOP):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(self.pause_s)
        end = _event([], _usage(tokens)) + b"data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": end})


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


def _usage(tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": USAGE["input_tokens"],
        "completion_tokens": tokens,
        "total_tokens": USAGE["input_tokens"] + tokens,
        "prompt_tokens_details": {"cached_tokens": USAGE["cached_tokens"]},
    }


ROLE: Final = _event(_choice({"role": "assistant", "content": ""}), None)
TOKEN: Final = _event(_choice({"content": " word"}), None)
STOP: Final = _event(_choice({}, "stop"), None)

instant: Final = Model()
thinking: Final = Model(think_s=0.1, pause_s=0.01)
