"""The webhook: alerts posted to a receiver, signed so that it can tell them from a forger's.

    X-Hansard-Event-Id:   the same whenever the same thing is told again
    X-Hansard-Timestamp:  seconds since 1970, of this post
    X-Hansard-Signature:  sha256=HMAC-SHA-256(secret, timestamp + "." + body), in hex

Nothing is followed but the URL that the operator set, and of the answer nothing is read but
its status.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import httpx

from hansard.core.alerts import EVENT, Alert
from hansard.core.errors import UpstreamFailed
from hansard.core.ids import Clock
from hansard.server.calls import to_json
from hansard.settings import refuse

POST_MAX_S = 10.0


class Webhook:
    """A receiver of alerts.

    Args:
        client: Follows no redirects.
        secret: Shared with the receiver.

    Raises:
        InvalidInput: ``invalid_setting``, if the URL cannot be one.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, secret: str, clock: Clock) -> None:
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise refuse("budget_webhook", f"is not a URL: {exc}") from exc
        self._client = client
        self._secret = secret.encode()
        self._clock = clock

    async def send(self, alert: Alert) -> None:
        """Post an alert.

        Raises:
            UpstreamFailed: Unless it is answered with a status of success, in time.
        """
        body = to_json({"event": EVENT, "event_id": alert.event_id, **alert.payload()})
        timestamp = str(self._clock() // 1_000_000)
        headers = {
            "Content-Type": "application/json",
            "X-Hansard-Event-Id": alert.event_id,
            "X-Hansard-Timestamp": timestamp,
            "X-Hansard-Signature": sign(self._secret, timestamp, body),
        }
        post = self._client.stream("POST", self._url, content=body, headers=headers)
        try:
            async with asyncio.timeout(POST_MAX_S), post as answer:
                status = answer.status_code
        except (httpx.HTTPError, TimeoutError) as exc:
            raise UpstreamFailed("the webhook did not answer", code="webhook_failed") from exc
        if not answer.is_success:
            raise UpstreamFailed(
                f"the webhook answered {status}", code="webhook_failed", status=status
            )


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Sign a body, as of a time."""
    return (
        "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    )
