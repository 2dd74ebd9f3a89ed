"""What every part of a record on a server shares: the way there, and at what time."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Final, Self

import httpx

from hansard.client import wire
from hansard.client.paths import Route
from hansard.client.retries import RetryPolicy
from hansard.client.transport import Transport
from hansard.clock import now_us
from hansard.core.ids import Clock

MISSING: Final = frozenset({404})
_RETRIES: Final = RetryPolicy()


class Bound:
    """Connections to a Hansard server, and a clock.

    Args:
        url: ``https://host[:port][/prefix]``.
        token: Bearer token: an API key, or a token of the server's issuer.
        timeout_s: How long the server may stay silent within one attempt.
        retry_deadline_s: How long a call that may be sent again is sent again.
        retries: How long it waits in between.
        carrier: In place of the network.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        retry_deadline_s: float = 10.0,
        retries: RetryPolicy = _RETRIES,
        clock: Clock = now_us,
        carrier: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = replace(retries, deadline_s=retry_deadline_s)
        self._clock = clock
        self._transport = Transport(
            url, token=token, timeout_s=timeout_s, retries=self._retries, carrier=carrier
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.close()

    async def _remove(self, route: Route, name: str) -> None:
        """Remove something; already gone counts if an earlier attempt was lost."""
        answer = await self._transport.call(route, name, accept=MISSING)
        if answer.status in MISSING and not answer.resent:
            raise wire.read_error(answer.status, answer.body)
