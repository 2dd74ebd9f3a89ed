"""One call of an upstream's model: what came of it, for the ledger, in every ending."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from hansard.core.errors import UpstreamFailed
from hansard.core.provider_usage import (
    ModelCall,
    chat_dialect,
    cut_off,
    estimate,
    estimated,
    read_usage,
)
from hansard.core.usage import NewUsage
from hansard.runtime.agents.accounts import is_operators, is_unbilled
from hansard.runtime.agents.openai_wire import AnswerReader, read_error, text_bytes
from hansard.runtime.agents.protocol import AgentFailed, CallPlan, Completed, Grant, Headers

INPUT_BELIEVED_MAX: Final = 10_000_000  # tokens: no model reads more at once
OUTPUT_BELIEVED_MAX: Final = 1_000_000  # beyond the limit, which some do not count thinking in


class UpstreamCall:
    """A granted call, and the answer as far as it was read.

    Attributes:
        headers: To be sent with it.
        is_sent: Whether the upstream may have heard of it.
    """

    def __init__(self, grant: Grant, plan: CallPlan, *, sent_bytes: int) -> None:
        self.reader = AnswerReader()
        self.headers = grant.headers
        self.is_sent = False
        self._grant = grant
        self._plan = plan
        self._sent_bytes = sent_bytes

    def completed(self) -> Completed:
        """The good ending."""
        messages = self.reader.messages()
        return Completed(
            messages=messages,
            calls=self._calls(messages, is_whole=True),
            finish_reason=self.reader.finish_reason,
        )

    def failed(
        self,
        error: UpstreamFailed,
        status: int = HTTPStatus.BAD_GATEWAY,
        *,
        body: bytes | None = None,
        headers: Headers = (),
        is_unbilled: bool = False,
    ) -> AgentFailed:
        """A bad ending after the request was sent: what was read so far has been billed.

        If nothing was read, nobody knows, unless the upstream's answer says it.
        """
        messages = self.reader.messages()
        calls = self._calls(messages, is_whole=self.reader.is_finished)
        return AgentFailed(
            error,
            status=status,
            body=body,
            headers=headers,
            messages=messages,
            calls=calls,
            unmade=[self._grant.call_id] if is_unbilled and not calls else (),
        )

    def too_late(self) -> AgentFailed:
        """The upstream took longer than it may."""
        error = UpstreamFailed("the upstream does not answer in time", code="upstream_timeout")
        return self.failed(error, HTTPStatus.GATEWAY_TIMEOUT)

    def disconnected(self) -> AgentFailed:
        """The upstream hung up."""
        error = UpstreamFailed("the upstream hung up", code="upstream_disconnected")
        return self.failed(error)

    def interrupted(self) -> AgentFailed:
        """Nobody wants to know the rest."""
        error = UpstreamFailed("the turn was interrupted", code="turn_interrupted")
        return self.failed(error, is_unbilled=not self.is_sent)

    def never_made(self, why: str, status: int) -> AgentFailed:
        """A bad ending before anything was sent."""
        error = UpstreamFailed(why, code="upstream_unreachable")
        return AgentFailed(error, status=status, unmade=[self._grant.call_id])

    def refused(self, status: int, body: bytes, headers: Headers = ()) -> AgentFailed:
        """The upstream's own error, with its body if OpenAI's clients understand it.

        What it says of our key or our bill is not for the client.
        """
        told = read_error(body)
        if status < HTTPStatus.BAD_REQUEST or is_operators(told.status):
            status = told.status or HTTPStatus.BAD_GATEWAY
        unbilled = is_unbilled(status, is_told=told.is_openai_shaped)
        if is_operators(status):
            error = UpstreamFailed(
                f"the upstream refuses this server ({status})", code="upstream_refused"
            )
            return self.failed(error, is_unbilled=unbilled)
        said = f": {told.message}" if told.message else ""
        return self.failed(
            UpstreamFailed(f"the upstream answered {status}{said}", code="upstream_refused"),
            status,
            body=body if told.is_openai_shaped else None,
            headers=headers,
            is_unbilled=unbilled,
        )

    def _calls(self, messages: list[dict[str, Any]], *, is_whole: bool) -> list[NewUsage]:
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
        received_bytes = text_bytes(messages)
        counted = estimate(
            sent_bytes=self._sent_bytes,
            received_bytes=received_bytes,
            received_chunks=reader.chunks,
        )
        entry = read_usage(chat_dialect(plan.provider), reader.usage, call, counted)
        if not _is_believable(entry, plan, has_text=is_whole and received_bytes > 0):
            entry = estimated(call, counted, reader.usage)
        return [entry if is_whole else cut_off(entry, counted)]


def _is_believable(entry: NewUsage, plan: CallPlan, *, has_text: bool) -> bool:
    """Tell whether a report says neither nothing of what there was, nor more than can be."""
    input_most = max(INPUT_BELIEVED_MAX, plan.input_tokens_bound)
    output_most = OUTPUT_BELIEVED_MAX + (plan.output_tokens or 0)
    return (
        0 < entry.input_tokens <= input_most and int(has_text) <= entry.output_tokens <= output_most
    )
