"""The guard of agents of pydantic-ai: a tool that would end the process ends its turn.

A tool runs in a task of its own, and there ``SystemExit`` stops the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai.capabilities import AbstractCapability, WrapToolExecuteHandler
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import RunContext, ToolDefinition


class Escaped(Exception):
    """Something that is no ``Exception`` was raised."""


class Containing(AbstractCapability[None]):
    """Keeps in a turn what its tools raise."""

    async def wrap_tool_execute(
        self,
        ctx: RunContext[None],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        del ctx, call, tool_def
        try:
            return await handler(args)
        except (Exception, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as exc:
            raise Escaped(type(exc).__name__) from exc
