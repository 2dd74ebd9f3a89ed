"""Deliveries: what a client gets of a turn, and when.

A stream's pieces go out as they come; until the first one does, an error has a status of its own.
Its last piece (``[DONE]``, or what an agent writes at its end), or a whole answer, is kept back
until the turn is on disk.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
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
        """Note what the answer begins with, once its first piece is there."""
        self._head = head

    def pass_on(self, wire: Wire) -> None:
        """Give bytes of an upstream to the client."""
        self._has_bytes = True
        if self._is_stream and not wire.is_last:
            self._put(wire.data)
        else:
            self._last.append(wire.data)

    def say(self, said: Said) -> None:
        """Write what an agent says as an upstream would."""
        data = self._writer.write(said)
        if data and self._is_stream:
            self._put(data)

    def complete(self, completed: Completed) -> None:
        """Make the last piece ready."""
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
            self.pipe.put(b"data: %b\n\n" % b" ".join(_body_of(error).splitlines()))
        self.pipe.end()

    def _put(self, data: bytes) -> None:
        if not self.opened.done():
            self._open()
        self.pipe.put(data)

    def _open(self) -> None:
        if not self.opened.done():
            head = self._head or (_HEAD_OF_STREAM if self._is_stream else _HEAD)
            self.opened.set_result(Opening(head.status, head.headers, self._warnings))


def _body_of(error: HansardError | AgentFailed) -> bytes:
    """An error as JSON: the upstream's own, if OpenAI's clients understand that."""
    if not isinstance(error, AgentFailed):
        return _ENCODER.encode(error_body(error))
    return _ENCODER.encode(error_body(error.error)) if error.body is None else error.body


_HEAD_OF_STREAM: Final = Head(
    status=HTTPStatus.OK, headers=(("content-type", "text/event-stream"),)
)
_HEAD: Final = Head(status=HTTPStatus.OK, headers=(("content-type", "application/json"),))
