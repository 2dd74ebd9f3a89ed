"""One call of an upstream's model: what came of it, for the ledger, in every ending."""

from __future__ import annotations

from typing import Final

from hansard.core.errors import UpstreamFailed
from hansard.core.provider_usage import ModelCall, chat_dialect, estimate, read_usage
from hansard.core.usage import NewUsage
from hansard.runtime.agents.accounts import BAD_GATEWAY, GATEWAY_TIMEOUT, is_unbilled
from hansard.runtime.agents.openai_wire import AnswerReader, read_error
from hansard.runtime.agents.protocol import AgentFailed, CallPlan, Completed, Grant, Headers

_ERRORS: Final = 400


class UpstreamCall:
    """A granted call, and the answer as far as it was read.

    Attributes:
        headers: To be sent with it.
    """

    def __init__(self, grant: Grant, plan: CallPlan, *, sent_bytes: int) -> None:
        self.reader = AnswerReader()
        self.headers = grant.headers
        self._grant = grant
        self._plan = plan
        self._sent_bytes = sent_bytes

    def completed(self) -> Completed:
        """The good ending."""
        reader = self.reader
        return Completed(
            messages=reader.messages(),
            calls=self._calls(),
            finish_reason=reader.finish_reason,
        )

    def failed(self, error: UpstreamFailed, status: int = BAD_GATEWAY) -> AgentFailed:
        """A bad ending after the request was sent: what was read so far has been billed.

        If nothing was read, nobody knows.
        """
        return AgentFailed(
            error, status=status, messages=self.reader.messages(), calls=self._calls()
        )

    def too_late(self) -> AgentFailed:
        """The upstream took longer than it may."""
        error = UpstreamFailed("the upstream does not answer in time", code="upstream_timeout")
        return self.failed(error, GATEWAY_TIMEOUT)

    def disconnected(self) -> AgentFailed:
        """The upstream hung up."""
        error = UpstreamFailed("the upstream hung up", code="upstream_disconnected")
        return self.failed(error)

    def interrupted(self) -> AgentFailed:
        """Nobody wants to know the rest."""
        error = UpstreamFailed("the turn was interrupted", code="turn_interrupted")
        return self.failed(error)

    def never_made(self, why: str, status: int) -> AgentFailed:
        """A bad ending before anything was sent."""
        error = UpstreamFailed(why, code="upstream_unreachable")
        return AgentFailed(error, status=status, unmade=[self._grant.call_id])

    def refused(self, status: int, body: bytes, headers: Headers = ()) -> AgentFailed:
        """The upstream's own error, with its body if OpenAI's clients understand it."""
        told = read_error(body)
        said = f": {told.message}" if told.message else ""
        status = status if status >= _ERRORS else told.status or BAD_GATEWAY
        calls = self._calls()
        return AgentFailed(
            UpstreamFailed(f"the upstream answered {status}{said}", code="upstream_refused"),
            status=status,
            body=body if told.is_openai_shaped else None,
            headers=headers,
            messages=self.reader.messages(),
            calls=calls,
            unmade=[self._grant.call_id] if is_unbilled(status) and not calls else (),
        )

    def _calls(self) -> list[NewUsage]:
        """The call's entry, if the model is known to have begun."""
        reader, plan = self.reader, self._plan
        if not reader.chunks and reader.usage is None:
            return []
        call = ModelCall(
            event_id=self._grant.call_id,
            provider=plan.provider,
            model=reader.model,
            model_asked=plan.model,
            service_tier=reader.service_tier,
        )
        counted = estimate(
            sent_bytes=self._sent_bytes,
            received_bytes=reader.text_bytes(),
            received_chunks=reader.chunks,
        )
        return [read_usage(chat_dialect(plan.provider), reader.usage, call, counted)]
