"""Observers: they are told how turns go, for metrics and traces, and change nothing.

    begin -> (call_began -> call_ended), ... -> ended

They run on the loop of the turns, so they never wait: what goes elsewhere goes from a thread of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from hansard.core.errors import Conflict, InvalidInput, LimitReached, NotFound, Unauthorized
from hansard.core.usage import NewUsage, Pricing
from hansard.crashes import Guard
from hansard.runtime.agents.protocol import CallPlan, Headers

CALLERS_ERRORS: Final = (Conflict, InvalidInput, LimitReached, NotFound, Unauthorized)
"""What a turn is refused with: it is the caller who must act."""


class TurnStart(Struct, frozen=True, kw_only=True):
    """A turn that begins.

    Attributes:
        agent: Who answers.
        model: The model that the client asks for.
        at_us: When, on the record's clock.
        headers: Of the request, as an upstream gets them.
    """

    turn_id: str
    tenant_id: str
    session_id: str | None
    agent: str
    model: str | None
    is_stream: bool
    at_us: int
    headers: Headers


class TurnEnd(Struct, frozen=True, kw_only=True):
    """How a turn ended.

    Attributes:
        status: ``completed``, ``failed``, ``interrupted``, or ``refused``: the caller must act.
        error: The error's code, if there was one.
        calls: The usage of its model calls, as far as it is known; ``event_id`` is the call's id.
        pricing: Says what they cost.
        sent: The messages that the agent was given.
        said: Those that it added.
        finish_reason: The last one; empty if there is no whole answer.
    """

    status: str
    error: str | None
    calls: Sequence[NewUsage]
    pricing: Pricing
    sent: Sequence[dict[str, Any]]
    said: Sequence[dict[str, Any]]
    finish_reason: str


class Watch(Protocol):
    """Follows one turn."""

    @property
    def trace_id(self) -> str | None:
        """The trace that the turn is part of (W3C, 32 hexadecimal digits), if it knows one."""
        ...

    def call_began(self, call_id: str, plan: CallPlan) -> Headers:
        """Note that a model call is about to be made; return headers that go with it."""
        ...

    def call_ended(self, call_id: str) -> None:
        """Note that a call has been answered; one that never is ends with the turn."""
        ...

    def ended(self, end: TurnEnd) -> None:
        """Note the turn's end, once."""
        ...


class Observer(Protocol):
    """Watches all turns."""

    def begin(self, start: TurnStart) -> Watch:
        """Follow a turn that begins."""
        ...


class Watches:
    """What all observers make of one turn; itself a ``Watch``.

    What goes wrong in one of them is told to the log, and neither to the turn nor the others.
    """

    def __init__(
        self, observers: Sequence[Observer], start: TurnStart, log: FilteringBoundLogger
    ) -> None:
        self._log = log
        self._turn_id = start.turn_id
        self._watches: list[Watch] = []
        for observer in observers:
            with self._guard():
                self._watches.append(observer.begin(start))

    @property
    def trace_id(self) -> str | None:
        """The first that one of them knows."""
        for watch in self._watches:
            with self._guard():
                if watch.trace_id is not None:
                    return watch.trace_id
        return None

    def call_began(self, call_id: str, plan: CallPlan) -> Headers:
        """Tell all; return the headers of all."""
        headers: list[tuple[str, str]] = []
        for watch in self._watches:
            with self._guard():
                headers += watch.call_began(call_id, plan)
        return tuple(headers)

    def call_ended(self, call_id: str) -> None:
        """Tell all."""
        for watch in self._watches:
            with self._guard():
                watch.call_ended(call_id)

    def ended(self, end: TurnEnd) -> None:
        """Tell all."""
        for watch in self._watches:
            with self._guard():
                watch.ended(end)

    def _guard(self) -> Guard:
        return Guard(self._log, "observer.crashed", turn_id=self._turn_id)
