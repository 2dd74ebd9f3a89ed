"""The agent *scripted*: says what a file tells it to, or what it hears. For demos and tests.

A script has one answer to a line: plain text, or an object with the fields of ``Line``. A
conversation's first answer is the first line, its second the second, and from the start again
after the last; so the same conversation always goes the same way, however many there are at
once. A line that begins ``{"defaults":`` gives fields that later objects and texts inherit.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hansard.core.errors import InvalidInput, UpstreamFailed
from hansard.core.messages import text_of
from hansard.core.provider_usage import Estimate, ModelCall, chat_dialect, read_usage
from hansard.core.usage import NewUsage
from hansard.runtime.agents.accounts import TurnAccount
from hansard.runtime.agents.chat_requests import (
    check_single_choice,
    output_limit,
    plan_call,
)
from hansard.runtime.agents.openai_wire import read_error
from hansard.runtime.agents.openai_writer import tool_call
from hansard.runtime.agents.protocol import (
    DENIED,
    CallDone,
    Event,
    Grant,
    MessageDone,
    Reasoning,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
)

MODEL: Final = "scripted"
ECHO: Final = "echo"

_WORD: Final = re.compile(r"\s*\S+|\s+$")
_NULL: Final = Raw(b"null")


class ScriptedTool(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that the script calls; one without a result is left for the client to run.

    Attributes:
        approval: Somebody must allow the call; where nobody can be asked, it is not made.
        asks: A person answers it.
    """

    name: str
    arguments: dict[str, Any] = {}
    result: str | None = None
    approval: bool = False
    asks: bool = False


class Line(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer.

    Attributes:
        text: None repeats what the user said.
        model: The model that it claims to be, as ``provider`` calls it.
        usage: What the provider would report for each call; a token for each word if not given.
        error: An error object as OpenAI's, told after the text; ``status`` goes with it.
        delay_s: Before the first word; ``pause_s`` is between two.
    """

    text: str | None = None
    reasoning: str = ""
    tools: list[ScriptedTool] = []
    model: str = MODEL
    provider: str = ""
    service_tier: str = ""
    usage: Raw = _NULL
    error: Raw = _NULL
    status: int = 503
    delay_s: float = 0.0
    pause_s: float = 0.0


class _Defaults(Struct, forbid_unknown_fields=True):
    defaults: dict[str, Raw]


def read_script(text: str) -> list[Line]:
    """Read a script.

    Raises:
        InvalidInput: ``invalid_script``, with the number of the line.
    """
    lines: list[Line] = []
    defaults: dict[str, Raw] = {}
    for number, written in enumerate(text.splitlines(), start=1):
        try:
            if written.startswith('{"defaults":'):
                defaults = msgspec.json.decode(written, type=_Defaults).defaults
            elif written.strip():
                lines.append(_read_line(written, defaults))
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise InvalidInput(
                f"line {number} of the script: {exc}", code="invalid_script", line=number
            ) from exc
    if not lines:
        raise InvalidInput("the script has no line", code="invalid_script")
    return lines


def _read_line(written: str, defaults: dict[str, Raw]) -> Line:
    fields = {"text": Raw(msgspec.json.encode(written))}
    if written.startswith("{"):
        fields = msgspec.json.decode(written, type=dict[str, Raw])
    return msgspec.json.decode(msgspec.json.encode({**defaults, **fields}), type=Line)


class Scripted:
    """Answers from a script; see ``Agent``."""

    def __init__(self, lines: Sequence[Line] = (Line(),), *, name: str = MODEL) -> None:
        self.name = name
        self._lines = tuple(lines)

    @classmethod
    def open(cls, script: str) -> Self:
        """Take the script from a file; ``echo`` is the one that repeats what it hears.

        Raises:
            InvalidInput: If it cannot be read.
        """
        if script == ECHO:
            return cls()
        try:
            return cls(read_script(Path(script).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidInput(
                f"the script {script} cannot be read", code="invalid_script"
            ) from exc

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
        """Return the models that the script claims to be."""
        names = dict.fromkeys(line.model for line in self._lines)
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": self.name} for name in names
        ]

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        """Say the conversation's next line; see ``Agent.run``."""
        check_single_choice(request.body)
        messages: list[dict[str, Any]] = request.body["messages"]
        said = sum(message.get("role") == "assistant" for message in messages)
        recital = _Recital(self._lines[said % len(self._lines)], request)
        try:
            async with aclosing(recital.events()) as events:
                async for event in events:
                    yield event
        except asyncio.CancelledError as exc:
            raise exc from recital.account.interrupted()
        yield recital.account.completed(recital.finish_reason)


class _Recital:
    """One line on its way."""

    def __init__(self, line: Line, request: Request) -> None:
        self.account = TurnAccount(request.gate)
        self.finish_reason = "stop"
        self._line = line
        self._body = request.body
        self._desk = request.desk

    async def events(self) -> AsyncGenerator[Event]:
        grant = await self._ask()
        if self._line.tools:
            async with aclosing(self._use_tools(grant)) as events:
                async for event in events:
                    yield event
            if self.finish_reason == "tool_calls":
                return
            grant = await self._ask()
        while True:
            async with aclosing(self._speak(grant)) as events:
                async for event in events:
                    yield event
            for event in self._told():
                yield event
            steered = [] if self._desk is None else self._desk.steered()
            if not steered:
                return
            for prompt in steered:
                self.account.messages.append({"role": "user", "content": prompt})
                yield MessageDone(self.account.messages[-1])
            grant = await self._ask()

    async def _use_tools(self, grant: Grant) -> AsyncGenerator[Event]:
        calls = self._call_tools(grant)
        for event in (*self._told(), *calls):
            yield event
        if self._desk is None and any(tool.result is None for tool in self._line.tools):
            self.finish_reason = "tool_calls"
            return
        for call, tool in zip(calls, self._line.tools, strict=True):
            yield self._answer_tool(call, await self._result_of(call, tool))
            if self._desk is not None:
                yield MessageDone(self.account.messages[-1])

    def _told(self) -> tuple[Event, ...]:
        """That the last message is whole, and its call counted."""
        if self._desk is None:
            return ()
        return CallDone(self.account.calls[-1]), MessageDone(self.account.messages[-1])

    async def _result_of(self, call: ToolCalled, tool: ScriptedTool) -> str:
        desk = self._desk
        if desk is None:
            return DENIED if tool.approval else tool.result or ""
        if tool.approval:
            approval = await desk.approve(call)
            if not approval.is_allowed:
                return approval.reason
        if tool.asks:
            return await desk.ask(call)
        return await desk.run_tool(call) if tool.result is None else tool.result

    async def _ask(self) -> Grant:
        """Ask for the next call of the model that the line claims to be."""
        plan = plan_call(self._body, len(msgspec.json.encode(self._body)), self._line.provider)
        return await self.account.admit(replace(plan, model=self._line.model))

    def _call_tools(self, grant: Grant) -> list[ToolCalled]:
        calls = [
            ToolCalled(
                f"{grant.call_id}-{number}",
                tool.name,
                msgspec.json.encode(tool.arguments).decode(),
            )
            for number, tool in enumerate(self._line.tools, start=1)
        ]
        self._charge(grant, " ".join([f"{call.name} {call.arguments}" for call in calls]))
        written = [tool_call(call) for call in calls]
        self.account.messages.append({"role": "assistant", "content": None, "tool_calls": written})
        return calls

    def _answer_tool(self, call: ToolCalled, result: str) -> ToolReturned:
        self.account.messages.append(
            {"role": "tool", "tool_call_id": call.call_id, "content": result}
        )
        return ToolReturned(call.call_id, result)

    async def _speak(self, grant: Grant) -> AsyncGenerator[Event]:
        line = self._line
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        self.account.messages.append(message)
        await asyncio.sleep(line.delay_s)
        try:
            if line.reasoning:
                message["reasoning_content"] = line.reasoning
                yield Reasoning(line.reasoning)
            for word in self._words(grant):
                message["content"] += word
                yield Text(word)
                await asyncio.sleep(line.pause_s)
        finally:
            self._charge(grant, message["content"], line.reasoning)
        if line.error != _NULL:
            body = b'{"error":%b}' % bytes(line.error)
            error = UpstreamFailed(
                read_error(body).message or "the script says so", code="upstream_refused"
            )
            raise self.account.failed(error, status=line.status, body=body)

    def _words(self, grant: Grant) -> list[str]:
        text = self._line.text
        words = _WORD.findall(self._heard() if text is None else text)
        limit = output_limit(self._body, grant.output_tokens)
        if limit is not None and limit < len(words):
            self.finish_reason = "length"
            return words[:limit]
        return words

    def _heard(self) -> str:
        """What the user said last."""
        messages = [*self._body["messages"], *self.account.messages]
        said = [text_of(each.get("content")) for each in messages if each.get("role") == "user"]
        return said[-1] if said else ""

    def _charge(self, grant: Grant, text: str, reasoning: str = "") -> None:
        """Count a call, as the script says, or a token for each word."""
        grant.ended()
        line = self._line
        sent = sum(_count(text_of(each.get("content"))) for each in self._body["messages"])
        thought = _count(reasoning)
        usage = NewUsage(
            event_id=grant.call_id,
            provider=line.provider,
            model=line.model,
            service_tier=line.service_tier,
            input_tokens=sent,
            output_tokens=_count(text) + thought,
            reasoning_tokens=thought,
            confidence="provider_usage",
        )
        if line.usage != _NULL:
            call = ModelCall(
                event_id=grant.call_id,
                provider=line.provider,
                model=line.model,
                service_tier=line.service_tier,
            )
            counted = Estimate(usage.input_tokens, usage.output_tokens)
            usage = read_usage(chat_dialect(line.provider), bytes(line.usage), call, counted)
        self.account.calls.append(usage)


def _count(text: str) -> int:
    return len(_WORD.findall(text))
