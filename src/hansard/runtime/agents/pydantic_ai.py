"""The agent *pydantic-ai*: an agent of the user's own, with its tools and any provider.

Every request that its model makes goes through the gate and is counted. The agent's own
instructions come first, those of the client are added. A tool that runs another agent has to
pass its model on (``ctx.model``), or that agent's calls are nobody's.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from http import HTTPStatus
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from pydantic_ai import Agent, AgentRunResult, AgentRunResultEvent
from pydantic_ai.agent.abstract import AgentRunEvents
from pydantic_ai.capabilities import ReinjectSystemPrompt
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError, ModelTimeoutError, UserError
from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessage,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import Model, infer_model
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_json

from hansard.core.errors import HansardError, InvalidInput, UpstreamFailed
from hansard.runtime.agents.accounts import TurnAccount, is_operators
from hansard.runtime.agents.chat_requests import check_single_choice, output_limit
from hansard.runtime.agents.metered_model import MeteredModel
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallDone,
    Event,
    MessageDone,
    Reasoning,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
)
from hansard.runtime.agents.pydantic_desk import client_tools, desk_capabilities, told_settings
from hansard.runtime.agents.pydantic_guard import Containing
from hansard.runtime.agents.pydantic_messages import (
    read_instructions,
    read_messages,
    write_messages,
)

_SETTINGS: Final = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
)
_FINISH_REASONS: Final = {"length": "length", "content_filter": "content_filter"}


class PydanticAgent:
    """Answers with an agent of pydantic-ai; see ``Agent`` of the protocol.

    Raises:
        InvalidInput: If the agent names no model.
    """

    def __init__(self, agent: Agent[None, Any], *, name: str | None = None) -> None:
        if agent.model is None:
            raise InvalidInput("the agent names no model", code="invalid_agent")
        self.name = name or agent.name or "agent"
        self._agent = agent
        self._model: Model = infer_model(agent.model)
        self._stack = AsyncExitStack()

    @classmethod
    def load(cls, reference: str, *, name: str | None = None) -> Self:
        """Import an agent by ``module:attribute``, also from the folder that one stands in.

        Raises:
            InvalidInput: ``invalid_agent``, if there is none.
        """
        module_name, _, attribute = reference.partition(":")
        if not (module_name and attribute):
            raise InvalidInput("an agent is named module:attribute", code="invalid_agent")
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        try:
            agent = attrgetter(attribute)(importlib.import_module(module_name))
        except (ImportError, AttributeError) as exc:
            raise InvalidInput(
                f"the agent {reference} cannot be imported: {exc}", code="invalid_agent"
            ) from exc
        if not isinstance(agent, Agent):
            raise InvalidInput(f"{reference} is no pydantic-ai agent", code="invalid_agent")
        return cls(agent, name=name or agent.name or attribute)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._agent)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """Return the agent as the one model; which it asks is its own affair."""
        return [{"id": self.name, "object": "model", "created": 0, "owned_by": "pydantic-ai"}]

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        """Let the agent answer; see ``Agent.run`` of the protocol."""
        body = request.body
        history = _question(body)
        account = TurnAccount(request.gate)
        run = self._agent.run_stream_events(
            message_history=history,
            instructions=read_instructions(body["messages"]) or None,
            model=MeteredModel(self._model, account),
            model_settings=_settings(body),
            metadata=None if request.desk is None else told_settings(request.settings),
            toolsets=client_tools(request.settings),
            capabilities=[ReinjectSystemPrompt(), Containing(), *desk_capabilities(request.desk)],
        )
        result: AgentRunResult[Any] | None = None
        teller = _Teller(account, tells_all=request.desk is not None)
        try:
            async with run as events:
                async for event in events:
                    if isinstance(event, AgentRunResultEvent):
                        result = event.result
                    for ours in teller.tell(event, events):
                        yield ours
            assert result is not None
            account.messages = write_messages(result.new_messages())
            if not isinstance(result.output, str):
                text = to_json(result.output, fallback=repr).decode()
                account.messages.append({"role": "assistant", "content": text})
                yield Text(text)
            for told in teller.rest():
                yield told
        except asyncio.CancelledError as exc:
            account.messages = _so_far(events)
            raise exc from account.interrupted()
        except AgentFailed as failed:
            failed.messages = _so_far(events)
            raise
        except HansardError:
            raise
        except Exception as exc:
            account.messages = _so_far(events)
            raise _failed(account, exc) from exc
        reason = result.response.finish_reason
        yield account.completed(_FINISH_REASONS.get(reason or "", "stop"))


class _Teller:
    """Tells what happens in a run; if that is wanted, also what has become whole, once each."""

    def __init__(self, account: TurnAccount, *, tells_all: bool) -> None:
        self._account = account
        self._tells_all = tells_all
        self._messages = self._calls = 0

    def tell(self, event: object, events: AgentRunEvents[Any]) -> list[Event]:
        """What one event of the run says."""
        ours = _event(event)
        if ours is None:
            return []
        begins = isinstance(event, PartStartEvent) and event.index == 0  # the next response
        is_piece = isinstance(ours, Text | Reasoning) and not begins
        return [ours] if is_piece else [*self._news(_so_far(events)), ours]

    def rest(self) -> list[Event]:
        """What was not told when the run ended."""
        return self._news(self._account.messages)

    def _news(self, messages: list[dict[str, Any]]) -> list[Event]:
        if not self._tells_all:
            return []
        calls = self._account.calls[self._calls :]
        fresh = messages[self._messages :]
        self._calls += len(calls)
        self._messages += len(fresh)
        return [*map(CallDone, calls), *map(MessageDone, fresh)]


def _question(body: dict[str, Any]) -> list[ModelMessage]:
    """Return the history, which ends with something to answer.

    Raises:
        InvalidInput: If there is none, or the request wants what an agent cannot do.
    """
    check_single_choice(body)
    if body.get("tools"):
        raise InvalidInput(
            "this agent has tools of its own", code="unsupported_tools", field="tools"
        )
    history = read_messages(body["messages"])
    if not history or not isinstance(history[-1], ModelRequest):
        raise InvalidInput(
            "there is no question to answer", code="nothing_to_answer", field="messages"
        )
    return history


def _settings(body: dict[str, Any]) -> ModelSettings:
    """What a request says about how to answer."""
    settings = {name: body[name] for name in _SETTINGS if body.get(name) is not None}
    limit = output_limit(body, None)
    if limit is not None:
        settings["max_tokens"] = limit
    stop = body.get("stop")
    if stop:
        settings["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    return cast("ModelSettings", settings)


def _event(event: object) -> Text | Reasoning | ToolCalled | ToolReturned | None:
    match event:
        case (
            PartStartEvent(part=TextPart(content=str(text)))
            | PartDeltaEvent(delta=TextPartDelta(content_delta=str(text)))
        ) if text:
            return Text(text)
        case (
            PartStartEvent(part=ThinkingPart(content=str(text)))
            | PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text)))
        ) if text:
            return Reasoning(text)
        case FunctionToolCallEvent(part=part):
            return ToolCalled(part.tool_call_id, part.tool_name, part.args_as_json_str())
        case FunctionToolResultEvent(part=part):
            return ToolReturned(part.tool_call_id, part.model_response_str())
        case _:
            return None


def _so_far(events: AgentRunEvents[Any]) -> list[dict[str, Any]]:
    """What a run that came to a bad end had said."""
    try:
        return write_messages(events.new_messages())
    except UserError:
        return []  # it had not begun


def _failed(account: TurnAccount, error: Exception) -> AgentFailed:
    """Say what broke, but not with words that may be anybody's."""
    text = f"the agent failed with {type(error).__name__}"
    match error:
        case ModelHTTPError(status_code=status):
            refused = UpstreamFailed(text, code="upstream_refused")
            ours = HTTPStatus.BAD_GATEWAY if is_operators(status) else status
            return account.failed(refused, status=ours)
        case ModelTimeoutError() | TimeoutError():
            late = UpstreamFailed(text, code="upstream_timeout")
            return account.failed(late, status=HTTPStatus.GATEWAY_TIMEOUT)
        case _:
            is_models = isinstance(error, AgentRunError)
            status = HTTPStatus.BAD_GATEWAY if is_models else HTTPStatus.INTERNAL_SERVER_ERROR
            return account.failed(UpstreamFailed(text, code="agent_failed"), status=status)
