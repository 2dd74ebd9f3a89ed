"""What an agent is: a chat request in, a stream of events out, the bill at the end.

    pass-through:  Head, Wire, Wire, ...               Completed      the bytes of an upstream
    others:        Text | Reasoning | ToolCalled | ... Completed      openai_wire writes the bytes

A run ends with ``Completed``, or it raises: ``AgentFailed``, or what the gate raises before
the first model call. Whatever a provider bills stands in ``calls``, in both endings.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from msgspec import Struct

from hansard.core.errors import HansardError
from hansard.core.thread_settings import ThreadSettings
from hansard.core.usage import NewUsage

Headers = tuple[tuple[str, str], ...]

NO_THREAD: Final = ThreadSettings()
DENIED: Final = "the call was not allowed"


class CallPlan(Struct, frozen=True, kw_only=True):
    """One model call that an agent is about to make.

    Attributes:
        provider: Who serves it, by the name in the price table; empty if unknown.
        model: The model that is asked for.
        input_tokens_bound: No more tokens than these are sent, as far as one can tell.
        output_tokens: The caller's own limit, all choices together; None: none was set.
        choices: How many answers are asked for.
        service_tier: The tier that is asked for; None leaves it to the provider.
        fallback_models: Models that may answer in place of it.
        is_priced_by_tokens: Nothing is asked for that is billed beside the tokens of these
            models, such as searches of the web.
    """

    provider: str
    model: str
    input_tokens_bound: int
    output_tokens: int | None = None
    choices: int = 1
    service_tier: str | None = None
    fallback_models: tuple[str, ...] = ()
    is_priced_by_tokens: bool = True


def _nobody_asks() -> None:
    """Nobody wants to know when a call ended."""


class Grant(Struct, frozen=True, kw_only=True):
    """Leave to make one model call.

    Attributes:
        call_id: Names the call; it becomes the ``event_id`` of its usage.
        output_tokens: Write this limit (all choices together, at least one for each) into the
            request; None: no budget applies, the request stays as it is.
        headers: To be sent on to an upstream, in place of the request's of the same names.
        ended: To be called when the call has been answered, unless the turn ends with it.
    """

    call_id: str
    output_tokens: int | None = None
    headers: Headers = ()
    ended: Callable[[], None] = _nobody_asks


class Gate(Protocol):
    """The way to a model: asked before each call, it takes a hold on the budgets."""

    async def __call__(self, plan: CallPlan) -> Grant:
        """Admit one call.

        Raises:
            LimitReached: If a budget says no.
            Unavailable: If the record cannot say; the call must not be made.
        """
        ...


class Head(Struct, frozen=True, kw_only=True):
    """The upstream's status and headers, names in lower case; few of them are passed on."""

    status: int
    headers: Headers


class Wire(Struct, frozen=True, gc=False):
    """Bytes for the client as the upstream sent them: whole SSE events, or the whole body.

    Attributes:
        is_last: They end the answer, and are kept back until the turn is on disk.
    """

    data: bytes
    is_last: bool = False


class Text(Struct, frozen=True, gc=False):
    """A piece of the answer's text."""

    text: str


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of the model's thinking, where it is shown."""

    text: str


class ToolCalled(Struct, frozen=True, gc=False):
    """The model called a tool; ``arguments`` is JSON text."""

    call_id: str
    name: str
    arguments: str


class ToolReturned(Struct, frozen=True, gc=False):
    """A tool that the agent itself ran gave its result."""

    call_id: str
    content: str


class MessageDone(Struct, frozen=True):
    """A message is whole, as it will stand in the record."""

    message: dict[str, Any]


class CallDone(Struct, frozen=True):
    """A model call was answered, and used this."""

    call: NewUsage


class Completed(Struct, frozen=True, kw_only=True):
    """The last event of a turn.

    Attributes:
        messages: What the turn added, as OpenAI-shaped messages in order.
        calls: The usage of every model call, ``event_id`` from its grant.
        finish_reason: The last ``finish_reason``, such as ``stop`` or ``tool_calls``.
    """

    messages: list[dict[str, Any]]
    calls: list[NewUsage]
    finish_reason: str


Event = (
    Head | Wire | Text | Reasoning | ToolCalled | ToolReturned | MessageDone | CallDone | Completed
)


class Approval(Struct, frozen=True):
    """Whether a tool may be called; ``reason`` says to the agent why not."""

    is_allowed: bool
    reason: str = ""


class Desk(Protocol):
    """Where an agent asks the people of a thread while a turn is under way.

    A wait ends when somebody answers, when it takes too long, and when the turn is interrupted.
    """

    async def approve(self, call: ToolCalled) -> Approval:
        """Ask whether a tool may be called; it may not, if nobody answers in time."""
        ...

    async def run_tool(self, call: ToolCalled) -> str:
        """Let the client run a tool, and return its result; an error's text if there is none."""
        ...

    async def ask(self, call: ToolCalled) -> str:
        """Let a person answer a tool's question; the answer is told to nobody but the agent."""
        ...

    def steered(self) -> list[str]:
        """What was said since the last model call, to be heard with the next one."""
        ...


class Request(Struct, frozen=True, kw_only=True):
    """One turn's question.

    Attributes:
        body: A ``chat.completions`` request with all its messages, without fields of ours.
            An agent changes a copy, never this.
        gate: Asked before each model call.
        stream: Whether the client takes server-sent events.
        headers: To be sent on to an upstream, names in lower case.
        desk: Where to ask while the turn is under way; with one, the agent also tells of each
            message and each model call as it is whole (``MessageDone``, ``CallDone``).
        settings: Of the thread, as they are in force for this turn.
    """

    body: dict[str, Any]
    gate: Gate
    stream: bool = False
    headers: Headers = ()
    desk: Desk | None = None
    settings: ThreadSettings = NO_THREAD


class AgentFailed(Exception):
    """A turn came to a bad end.

    A granted call that stands neither in ``calls`` nor in ``unmade`` may have been billed,
    and nobody knows how much: its hold stays until it expires.

    Attributes:
        error: What happened, for our error shape.
        status: The HTTP status for the client, if nothing was sent to it yet.
        body: The upstream's own error body, if it is OpenAI-shaped.
        headers: Of the upstream's error, such as ``retry-after``.
        messages: What the turn had added so far.
        calls: The usage of every call that was billed, counted or estimated.
        unmade: Ids of calls that were certainly not billed: never sent, or refused.
    """

    def __init__(
        self,
        error: HansardError,
        *,
        status: int = 502,
        body: bytes | None = None,
        headers: Headers = (),
        messages: Sequence[dict[str, Any]] = (),
        calls: Sequence[NewUsage] = (),
        unmade: Sequence[str] = (),
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.body = body
        self.headers = headers
        self.messages = list(messages)
        self.calls = list(calls)
        self.unmade = tuple(unmade)


class Agent(Protocol):
    """Answers chat requests, many at a time; an async context manager."""

    @property
    def name(self) -> str:
        """The agent's name in sessions and budgets."""
        ...

    async def __aenter__(self) -> Self:
        """Make ready."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of connections."""
        ...

    def run(self, request: Request) -> AsyncGenerator[Event]:
        """Answer one request.

        The consumer may pause between events, and reads on to the end also when its own
        client has gone. Closing the generator ends the model call, and so does cancelling a
        wait for its next event: the ``CancelledError`` then has an ``AgentFailed`` as its
        ``__cause__``, which says how far the turn came and what of it was billed.

        Raises:
            AgentFailed: Where the turn comes to a bad end; also where the gate refuses a call
                that is not the turn's first.
            LimitReached: From the gate, before the first model call.
            Unavailable: Likewise.
            InvalidInput: If the request asks for something that this agent cannot do.
        """
        ...

    async def models(self) -> list[dict[str, Any]]:
        """List what a request may name as ``model``, as OpenAI model objects.

        Raises:
            AgentFailed: If an upstream does not tell.
        """
        ...
