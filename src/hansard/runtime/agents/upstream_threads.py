"""The upstream on threads: its bytes read into pieces, and the tools of clients between its calls.

messages -> upstream -> bytes -> pieces of text, then a message that is whole
^                                   | it calls tools, or somebody said something
`------ results, what was said <----'
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self

from msgspec.structs import replace

from hansard.core.errors import UpstreamFailed
from hansard.core.items import tool_of
from hansard.core.thread_settings import DynamicTool
from hansard.core.usage import NewUsage
from hansard.runtime.agents.openai_wire import read_pieces
from hansard.runtime.agents.protocol import (
    Agent,
    AgentFailed,
    CallDone,
    Completed,
    Event,
    MessageDone,
    Reasoning,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
    Wire,
)

ROUNDS_MAX: Final = 100  # of one turn: a model that calls tools for ever is not asked for ever

Body = dict[str, Any]


class ThreadUpstream:
    """Answers with an upstream that somebody else opens and closes; see ``Agent``."""

    def __init__(self, upstream: Agent) -> None:
        self.name = upstream.name
        self._upstream = upstream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def models(self) -> list[dict[str, Any]]:
        """Return the upstream's list."""
        return await self._upstream.models()

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        """Ask as often as tools are called; see ``Agent.run``."""
        conversation = _Conversation(self._upstream, request)
        try:
            async with aclosing(conversation.events()) as events:
                async for event in events:
                    yield event
        except AgentFailed as failed:
            raise conversation.with_earlier(failed) from failed
        except asyncio.CancelledError as exc:
            cause = exc.__cause__
            stopped = cause if isinstance(cause, AgentFailed) else _interrupted()
            raise exc from conversation.with_earlier(stopped)


class _Conversation:
    """One turn: the calls of the model, and what comes between them."""

    def __init__(self, upstream: Agent, request: Request) -> None:
        assert request.desk is not None
        self._upstream = upstream
        self._request = request
        self._desk = request.desk
        self._tools = list(map(_tool, request.settings.dynamic_tools))
        self._added: list[Body] = []
        self._calls: list[NewUsage] = []

    async def events(self) -> AsyncGenerator[Event]:
        for _ in range(ROUNDS_MAX):
            end: Completed | None = None
            async with aclosing(self._upstream.run(self._next_request())) as events:
                async for event in events:
                    match event:
                        case Wire(data):
                            for name, text in read_pieces(data):
                                yield Text(text) if name == "content" else Reasoning(text)
                        case Completed():
                            end = event
                        case _:
                            pass
            assert end is not None
            self._calls += end.calls
            for call in end.calls:
                yield CallDone(call)
            for message in end.messages:
                yield self._add(message)
            async with aclosing(self._go_on(end)) as between:
                is_over = True
                async for event in between:
                    is_over = False
                    yield event
            if is_over:
                yield replace(end, messages=self._added, calls=self._calls)
                return
        raise AgentFailed(
            UpstreamFailed(f"the model called tools {ROUNDS_MAX} times", code="too_many_rounds")
        )

    def with_earlier(self, failed: AgentFailed) -> AgentFailed:
        """A bad end with what came before it."""
        failed.messages = [*self._added, *failed.messages]
        failed.calls = [*self._calls, *failed.calls]
        return failed

    async def _go_on(self, end: Completed) -> AsyncGenerator[Event]:
        """Let the client run the tools, and hear what was said; nothing if the turn is over."""
        called = end.messages[-1].get("tool_calls") if end.messages else None
        for call in called if isinstance(called, list) else ():
            tool = tool_of(call)
            asked = ToolCalled(tool["id"], tool["name"], tool["arguments"])
            yield asked
            result = await self._desk.run_tool(asked)
            yield ToolReturned(asked.call_id, result)
            yield self._add({"role": "tool", "tool_call_id": asked.call_id, "content": result})
        for prompt in self._desk.steered():
            yield self._add({"role": "user", "content": prompt})

    def _add(self, message: Body) -> MessageDone:
        self._added.append(message)
        return MessageDone(message)

    def _next_request(self) -> Request:
        body = {**self._request.body, "messages": [*self._request.body["messages"], *self._added]}
        if self._tools:
            body["tools"] = self._tools
        return replace(self._request, body=body)


def _tool(tool: DynamicTool) -> Body:
    parameters = {"type": "object", **tool.input_schema}
    told = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": told}


def _interrupted() -> AgentFailed:
    return AgentFailed(UpstreamFailed("the turn was interrupted", code="turn_interrupted"))
