"""The desk of a thread for agents of pydantic-ai: tools that wait for people, and steering.

requires_approval          -> approve -> called, or told that it was denied
CallDeferred(question)     -> ask     -> the answer
CallDeferred(external)     -> run_tool -> the client's result
after each model request   -> what was said meanwhile goes with the next
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from msgspec.structs import asdict
from pydantic_ai.capabilities import AbstractCapability, HandleDeferredToolCalls
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
    ToolDefinition,
    ToolDenied,
)
from pydantic_ai.toolsets import AbstractToolset, ExternalToolset

from hansard.core.thread_settings import ThreadSettings
from hansard.runtime.agents.protocol import Desk, ToolCalled


def desk_capabilities(desk: Desk | None) -> list[AbstractCapability[None]]:
    """What an agent needs to be asked, and to be steered; nothing where there is no desk."""
    if desk is None:
        return []

    async def handle(
        _context: RunContext[None], requests: DeferredToolRequests
    ) -> DeferredToolResults:
        decided, results = await asyncio.gather(
            asyncio.gather(*[desk.approve(_called(part)) for part in requests.approvals]),
            asyncio.gather(*[_answer(desk, requests, part) for part in requests.calls]),
        )
        return requests.build_results(
            approvals={
                part.tool_call_id: approval.is_allowed or ToolDenied(approval.reason)
                for part, approval in zip(requests.approvals, decided, strict=True)
            },
            calls={
                part.tool_call_id: result
                for part, result in zip(requests.calls, results, strict=True)
            },
        )

    return [HandleDeferredToolCalls(handler=handle), _Steering(desk)]


def client_tools(settings: ThreadSettings) -> list[AbstractToolset[None]]:
    """The tools that the client runs."""
    defined = [
        ToolDefinition(
            name=tool.name,
            description=tool.description,
            parameters_json_schema={"type": "object", **tool.input_schema},
        )
        for tool in settings.dynamic_tools
    ]
    return [ExternalToolset(defined)] if defined else []


def told_settings(settings: ThreadSettings) -> dict[str, Any]:
    """What an agent's author finds in ``RunContext.metadata``."""
    told = asdict(settings)
    del told["dynamic_tools"]
    return told


@dataclass
class _Steering(AbstractCapability[None]):
    """Says what people say while a turn runs."""

    desk: Desk

    async def after_model_request(
        self,
        ctx: RunContext[None],
        *,
        request_context: ModelRequestContext,
        response: ModelResponse,
    ) -> ModelResponse:
        del request_context
        for prompt in self.desk.steered():
            ctx.enqueue(prompt)
        return response


async def _answer(desk: Desk, requests: DeferredToolRequests, part: ToolCallPart) -> Any:
    if requests.kind(part.tool_call_id) == "question":
        return await desk.ask(_called(part))
    return await desk.run_tool(_called(part))


def _called(part: ToolCallPart) -> ToolCalled:
    return ToolCalled(part.tool_call_id, part.tool_name, part.args_as_json_str())
