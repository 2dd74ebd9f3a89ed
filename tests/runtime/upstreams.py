"""Upstreams on loopback that do what a test tells them, byte by byte; and gates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest

from hansard.core.errors import UpstreamFailed
from hansard.runtime.agents.protocol import (
    Agent,
    AgentFailed,
    CallPlan,
    Completed,
    Event,
    Grant,
    Request,
    Wire,
)
from hansard.runtime.agents.upstream import Upstream
from hansard.runtime.agents.upstream_answers import UpstreamLimits

SMALL = UpstreamLimits(event_bytes=2_000, answer_bytes=9_000)
HTML = b"<!doctype html><html><body>Sign in</body></html>"


class Asked(NamedTuple):
    """What an upstream was sent."""

    head: str
    body: dict[str, Any]


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeUpstream:
    """A server with one behaviour for every request; ``asked`` is what came."""

    def __init__(self, *pieces: bytes, behaviour: Behaviour | None = None) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.url = ""
        self._pieces = pieces
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                lengths = [line for line in head.split("\r\n") if line.startswith("content-length")]
                body = await reader.readexactly(int(lengths[0].split(":")[1])) if lengths else b""
                self.asked.append(Asked(head, json.loads(body or b"{}")))
                for piece in self._pieces:
                    writer.write(piece)
                    await writer.drain()
                if self._behaviour is not None:
                    await self._behaviour(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Leave every client."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def serving(upstream: FakeUpstream) -> AsyncIterator[FakeUpstream]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing more until the client goes."""
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection in an orderly way."""
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection at once."""
    writer.transport.abort()


def answer(
    body: bytes, *, kind: str = "application/json", status: str = "200 OK", more: str = ""
) -> bytes:
    """A whole HTTP answer; ``more`` is further header lines, each with its end."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}{more}\r\n".encode() + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req-1\r\nset-cookie: a=b\r\ntransfer-encoding: chunked\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def piece(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: str | None = None, **fields: Any) -> bytes:
    """One chunk of a completion as an event."""
    return b"data: " + json.dumps(chunk(text, **fields)).encode() + b"\n\n"


def chunk(
    text: str | None = None, *, finish_reason: str | None = None, **fields: Any
) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "model-that-answered",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        "usage": None,
        **fields,
    }


def usage_event(sent: int = 9, made: int = 2) -> bytes:
    usage = {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
    return event(choices=[], usage=usage)


def completion(**fields: Any) -> dict[str, Any]:
    """A whole completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "model-that-answered",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        **fields,
    }


class OpenGate:
    """Lets every call through and remembers its plan."""

    def __init__(self, output_tokens: int | None = None) -> None:
        self.plans: list[CallPlan] = []
        self._output_tokens = output_tokens

    async def __call__(self, plan: CallPlan) -> Grant:
        self.plans.append(plan)
        return Grant(call_id=f"call-{len(self.plans)}", output_tokens=self._output_tokens)


def ask(text: str = "Hi", *, gate: OpenGate | None = None, **fields: Any) -> Request:
    """A request with one message."""
    body = {"model": "model-asked", "messages": [{"role": "user", "content": text}], **fields}
    return Request(
        body=body, gate=gate or OpenGate(), stream=bool(fields.get("stream")), headers=()
    )


async def collect(agent: Agent, request: Request) -> list[Event]:
    """Every event of a turn."""
    return [event async for event in agent.run(request)]


def wired(events: list[Event]) -> bytes:
    """The bytes that a client gets."""
    return b"".join([event.data for event in events if isinstance(event, Wire)])


def ending(events: list[Event]) -> Completed:
    last = events[-1]
    assert isinstance(last, Completed)
    return last


class Failure:
    """How a turn failed, and what the client had got by then."""

    def __init__(self, error: AgentFailed, events: list[Event]) -> None:
        self.error = error
        self.wire = b"".join([event.data for event in events if isinstance(event, Wire)])
        assert isinstance(error.error, UpstreamFailed)
        self.code = error.error.code


async def fail(
    stack: AsyncExitStack,
    upstream: FakeUpstream,
    request: Request,
    *,
    limits: UpstreamLimits = SMALL,
) -> Failure:
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url, limits=limits))
    return await failing(agent, request)


async def failing(agent: Upstream, request: Request) -> Failure:
    events: list[Event] = []
    with pytest.raises(AgentFailed) as caught:
        async for each in agent.run(request):
            events.append(each)  # noqa: PERF401 - they are needed although the loop fails
    return Failure(caught.value, events)
