"""What a server does for budgets by itself: it looks after holds, and tells alerts."""

from __future__ import annotations

import httpx

from hansard.core.alerts import EVENT, Alert
from hansard.core.errors import UpstreamFailed
from hansard.server.chores import Chore
from hansard.server.context import Context
from hansard.server.webhooks import Webhook
from hansard.service.alerts import AlertService

PAUSE_S = 5.0


class BudgetChores:
    """The chores of one server.

    Args:
        client: For the webhook, if one is set.
    """

    def __init__(self, context: Context, client: httpx.AsyncClient) -> None:
        self._record = context.record
        self._log = context.log
        self._metrics = context.metrics.budgets
        settings = context.settings.alerts
        self._webhook: Webhook | None = None
        if settings.budget_webhook and settings.budget_webhook_secret:
            self._webhook = Webhook(
                client,
                settings.budget_webhook,
                settings.budget_webhook_secret,
                context.record.clock,
            )
        self._alerts = AlertService(
            context.record.runner, clock=context.record.clock, tell=self._tell, send=self._send
        )

    def list(self) -> list[Chore]:
        """Name them."""
        return [
            Chore("holds", PAUSE_S, self.watch_holds),
            Chore("alerts", PAUSE_S, self.tell_alerts),
        ]

    async def watch_holds(self) -> None:
        """Say of holds whose time is over that nobody knows, and count those that are left."""
        expired = await self._record.expire_holds()
        if expired:
            self._log.warning("holds.expired", count=expired)
        self._metrics.saw_holds(await self._record.count_holds(), self._record.clock())

    async def tell_alerts(self) -> None:
        """Tell thresholds that were crossed."""
        await self._alerts.tell_due()

    def _tell(self, alert: Alert) -> None:
        self._metrics.alerts += 1
        self._log.warning(EVENT, event_id=alert.event_id, **alert.payload())

    async def _send(self, alert: Alert) -> None:
        if self._webhook is None:
            return
        try:
            await self._webhook.send(alert)
        except UpstreamFailed as error:
            self._metrics.posts["failed"] += 1
            self._log.warning(
                "budget.webhook_failed",
                event_id=alert.event_id,
                attempts=alert.attempts,
                status=error.details.get("status"),
            )
            raise
        self._metrics.posts["delivered"] += 1
