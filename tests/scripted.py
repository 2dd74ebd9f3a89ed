"""A Hansard server that answers by a script, for what a real one cannot be made to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from hansard.cli import payloads
from hansard.client.retries import RetryPolicy
from hansard.client.sessions import RemoteSessions
from hansard.core.usage import UsageTotals

Step = httpx.Response | type[httpx.TransportError] | Callable[[httpx.Request], httpx.Response]

TOTALS = payloads.totals(UsageTotals())
SUMMARY: dict[str, Any] = {
    "session_id": "s",
    "title": None,
    "agent": None,
    "owner": None,
    "model": None,
    "metadata": {},
    "archived": False,
    "parent_session_id": None,
    "forked_at_seq": None,
    "message_count": 0,
    "turn_count": 0,
    "version": 1,
    "usage": TOTALS,
    "digest": "00" * 32,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
    "system_prompt": None,
    "cost_data": {},
}
TURN = {"turn_id": "t", "first_seq": 0, "last_seq": 0, "version": 2, "usage": TOTALS}
APPENDED = {"first_seq": 0, "last_seq": 0, "version": 2}
SAVED = {"version": 2, "message_count": 1, "appended": 1, "replaced": 0}
REPORT = {"format": "native", "dry_run": False, "sessions": [], "losses": []}


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


def failure(status: int, code: str, **details: Any) -> httpx.Response:
    return answer({"error": {"code": code, "message": code, "details": details}}, status)


@dataclass
class Script:
    """Answers requests in order, and remembers them; its time passes only by waiting."""

    steps: Sequence[Step]
    requests: list[httpx.Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    now_s: float = 0.0

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        step = self.steps[min(len(self.requests), len(self.steps)) - 1]
        if isinstance(step, httpx.Response):
            return step
        if isinstance(step, type):
            raise step("scripted", request=request)
        return step(request)

    def record(self, *, retry_deadline_s: float = 10.0, token: str | None = None) -> RemoteSessions:
        """The record on this server."""
        return RemoteSessions(
            "https://record.test/prefix/",
            token=token,
            retry_deadline_s=retry_deadline_s,
            retries=RetryPolicy(monotonic=lambda: self.now_s, sleep=self.sleep, jitter=lambda: 1.0),
            carrier=httpx.MockTransport(self.handle),
        )

    def bodies(self) -> list[Any]:
        """What was sent."""
        return [json.loads(request.content) for request in self.requests]
