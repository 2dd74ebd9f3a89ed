"""What a turn of several model calls has said and cost so far, for every ending."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from hansard.core.errors import HansardError, LimitReached, Unavailable, UpstreamFailed
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import AgentFailed, CallPlan, Completed, Gate, Grant

_CLIENT_ERRORS: Final = range(400, 500)
_MAYBE_BILLED: Final = frozenset({408, 409, 499})
"""Client errors that do not say that the model was not asked."""
_OVERLOADED: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, 529})
_OPERATORS: Final = frozenset({401, 402, 403, 407})
"""Errors that an upstream's client would take for its own, but it is our key, or our bill."""


def is_unbilled(status: int, *, is_told: bool = False) -> bool:
    """Tell whether a provider that answers so has certainly not billed the call.

    A client error was not billed, nor was one that came too many. Of another server's error one
    cannot know, as a gateway may have lost the answer of a model behind it; but that does not
    say 500 in the words of the provider's API (``is_told``).
    """
    return (
        status in _OVERLOADED
        or (is_told and status == HTTPStatus.INTERNAL_SERVER_ERROR)
        or (status in _CLIENT_ERRORS and status not in _MAYBE_BILLED)
    )


def is_operators(status: int) -> bool:
    """Tell whether an upstream's error is the operator's affair, not the client's."""
    return status in _OPERATORS


class TurnAccount:
    """A turn of an agent that makes its calls itself.

    Attributes:
        messages: What the turn has added.
        calls: The usage of the calls that were made.
        unmade: Ids of calls that were let through and not made.
    """

    def __init__(self, gate: Gate) -> None:
        self.messages: list[dict[str, Any]] = []
        self.calls: list[NewUsage] = []
        self.unmade: list[str] = []
        self._gate = gate

    async def admit(self, plan: CallPlan) -> Grant:
        """Ask the gate.

        Raises:
            LimitReached: If it refuses the turn's first call.
            Unavailable: Likewise.
            AgentFailed: If it refuses a later one: what was made before has been billed.
        """
        try:
            return await self._gate(plan)
        except (LimitReached, Unavailable) as exc:
            if not self.calls:
                raise
            is_limit = isinstance(exc, LimitReached)
            status = HTTPStatus.PAYMENT_REQUIRED if is_limit else HTTPStatus.SERVICE_UNAVAILABLE
            raise self.failed(exc, status=status) from exc

    def completed(self, finish_reason: str) -> Completed:
        """The good ending."""
        return Completed(messages=self.messages, calls=self.calls, finish_reason=finish_reason)

    def failed(
        self,
        error: HansardError,
        *,
        status: int = HTTPStatus.BAD_GATEWAY,
        body: bytes | None = None,
    ) -> AgentFailed:
        """A bad ending."""
        return AgentFailed(
            error,
            status=status,
            body=body,
            messages=self.messages,
            calls=self.calls,
            unmade=self.unmade,
        )

    def interrupted(self) -> AgentFailed:
        """What becomes the cause of a cancellation."""
        return self.failed(UpstreamFailed("the turn was interrupted", code="turn_interrupted"))
