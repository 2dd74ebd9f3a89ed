"""Alerts: every crossing of a threshold told by one server, to the log and to a webhook.

due -> claim -> log (the first time) -> send -> done
                                         `-> put off, for longer each time; at last given up
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hansard.core.alerts import CLAIM_US, Alert
from hansard.core.errors import UpstreamFailed
from hansard.core.ids import Clock
from hansard.service.runner import Runner
from hansard.store import alerts

AT_ONCE_MAX = 50  # told in one go: the others wait for the next


class AlertService:
    """Tells the alerts of all tenants of a database.

    Args:
        runner: Where.
        clock: The present time.
        tell: Called once for each alert, by one of several servers.
        send: Passes an alert on; raises ``UpstreamFailed`` if it did not arrive.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        clock: Clock,
        tell: Callable[[Alert], None],
        send: Callable[[Alert], Awaitable[None]],
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._tell = tell
        self._send = send

    async def tell_due(self) -> None:
        """Tell what is to be told now."""
        now_us = self._clock()
        due = await self._runner.read(lambda tx: alerts.list_due(tx, now_us, limit=AT_ONCE_MAX))
        for alert in due:
            claimed = await self._claim(alert)
            if claimed is not None:
                await self._pass_on(claimed)

    async def _claim(self, alert: Alert) -> Alert | None:
        until_us = self._clock() + CLAIM_US
        return await self._runner.write(lambda tx: alerts.claim(tx, alert, until_us))

    async def _pass_on(self, alert: Alert) -> None:
        if alert.attempts == 1:
            self._tell(alert)
        try:
            await self._send(alert)
        except UpstreamFailed:
            await self._put_off(alert)
        else:
            now_us = self._clock()
            await self._runner.write(lambda tx: alerts.finish(tx, alert, delivered_at_us=now_us))

    async def _put_off(self, alert: Alert) -> None:
        due_at_us = alert.due_again_us(self._clock())
        if due_at_us is None:
            await self._runner.write(lambda tx: alerts.finish(tx, alert, delivered_at_us=None))
        else:
            await self._runner.write(lambda tx: alerts.put_off(tx, alert, due_at_us))
