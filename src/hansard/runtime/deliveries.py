"""Deliveries: what a client gets of a turn, and when.

A stream's pieces go out as they come. Its last piece (``[DONE]``, or what an agent writes at
its end), or a whole answer, is kept back until the turn is on disk.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import msgspec

from hansard.core.budgets import BudgetWarning
from hansard.core.errors import HansardError
from hansard.runtime.agents.openai_writer import AnswerWriter
from hansard.runtime.agents.protocol import (
    AgentFailed,
    Completed,
    Head,
    Headers,
    Reasoning,
    Text,
    ToolCalled,
    ToolReturned,
    Wire,
)
from hansard.runtime.openai_errors import error_body
from hansard.runtime.pipes import Pipe

_OK: Final = 200
_DONE: Final = b"data: [DONE]"
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)

Said = Text | Reasoning | ToolCalled | ToolReturned


class Opening(NamedTuple):
    """What is known of an answer when it begins."""

    status: int
    headers: Headers
    warnings: list[BudgetWarning]


class Delivery:
    """The answer to one request.

    Args:
        body: The request.
        writer: For agents that give no bytes.
        warnings: Filled until the answer begins.

    Attributes:
        opened: What the answer begins with; or why there is none.
        pipe: The rest of it.
    """

    def __init__(
        self, body: dict[str, Any], writer: AnswerWriter, warnings: list[BudgetWarning]
    ) -> None:
        self.opened: asyncio.Future[Opening] = asyncio.get_running_loop().create_future()
        self.pipe = Pipe()
        self._is_stream = body.get("stream") is True
        options = body.get("stream_options")
        self._include_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._writer = writer
        self._head: Head | None = None
        self._has_bytes = False
        self._warnings = warnings
        self._last: list[bytes] = []

    def open(self, head: Head) -> None:
        """Begin the answer; a whole one begins when it is released."""
        self._head = self._head or head
        if self._is_stream:
            self._open()

    def pass_on(self, wire: Wire) -> None:
        """Give bytes of an upstream to the client."""
        self._has_bytes = True
        data = wire.data
        if not self._is_stream:
            self._last.append(data)
            return
        if _DONE in data:
            data = self._keep_end(data)
        if data:
            self.pipe.put(data)

    def say(self, said: Said) -> None:
        """Write what an agent says as an upstream would."""
        data = self._writer.write(said)
        self.open(_HEAD_OF_STREAM if self._is_stream else _HEAD)
        if data and self._is_stream:
            self.pipe.put(data)

    def complete(self, completed: Completed) -> None:
        """Make the last piece ready."""
        self.open(_HEAD_OF_STREAM if self._is_stream else _HEAD)
        if self._has_bytes:
            return
        if self._is_stream:
            self._last.append(self._writer.end(completed, include_usage=self._include_usage))
        else:
            self._last.append(self._writer.body(completed))

    def release(self) -> None:
        """Give the last piece: the turn is on disk."""
        self._open()
        for data in self._last:
            self.pipe.put(data)
        self.pipe.end()

    def fail(self, error: HansardError | AgentFailed) -> None:
        """Tell the client that there is no answer, or no more of it."""
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # perhaps nobody listens any more
        else:
            ours = error.error if isinstance(error, AgentFailed) else error
            self.pipe.put(b"data: %b\n\n" % _ENCODER.encode(error_body(ours)))
        self.pipe.end()

    def _open(self) -> None:
        if not self.opened.done():
            assert self._head is not None
            opening = Opening(self._head.status, self._head.headers, self._warnings)
            self.opened.set_result(opening)

    def _keep_end(self, data: bytes) -> bytes:
        """Keep the end of a stream back; return what comes before it."""
        before, mark, rest = data.rpartition(_DONE)
        if before and not before.endswith((b"\n", b"\r")):
            return data  # the model's own words
        self._last.append(mark + rest)
        return before


_HEAD_OF_STREAM: Final = Head(status=_OK, headers=(("content-type", "text/event-stream"),))
_HEAD: Final = Head(status=_OK, headers=(("content-type", "application/json"),))
