"""What a turn of several model calls has said and cost so far, for every ending."""

from __future__ import annotations

from typing import Any, Final

from hansard.core.errors import HansardError, LimitReached, Unavailable, UpstreamFailed
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import AgentFailed, CallPlan, Completed, Gate, Grant

PAYMENT_REQUIRED: Final = 402
BAD_GATEWAY: Final = 502
SERVICE_UNAVAILABLE: Final = 503
GATEWAY_TIMEOUT: Final = 504


_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500
_MAYBE_BILLED: Final = frozenset({408, 409, 499})
"""Client errors that do not say that the model was not asked."""


def is_unbilled(status: int) -> bool:
    """Tell whether a provider that answers so has certainly not billed the call.

    A client error was not billed. Of a server's error one cannot know: a gateway may have
    lost the answer of a model behind it.
    """
    return _ERRORS <= status < _SERVER_ERRORS and status not in _MAYBE_BILLED


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
            status = PAYMENT_REQUIRED if is_limit else SERVICE_UNAVAILABLE
            raise self.failed(exc, status=status) from exc

    def completed(self, finish_reason: str) -> Completed:
        """The good ending."""
        return Completed(messages=self.messages, calls=self.calls, finish_reason=finish_reason)

    def failed(
        self, error: HansardError, *, status: int = BAD_GATEWAY, body: bytes | None = None
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
