"""What a server does about age by itself: it removes what no rule keeps any longer."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hansard.server.chores import Chore
from hansard.server.context import Context
from hansard.service.retention import RetentionService

PAUSE_S: Final = 3_600.0


class RetentionChore:
    """Applies the rules of every tenant, one after another."""

    def __init__(self, context: Context) -> None:
        self._clock = context.record.clock
        self._log = context.log
        self._metrics = context.metrics.retention
        self._service = RetentionService(context.record.runner, clock=self._clock)

    def chore(self) -> Chore:
        """Name it."""
        return Chore("retention", PAUSE_S, self.apply)

    async def apply(self) -> None:
        """Remove what is too old."""
        removed: Counter[str] = Counter()
        async for tenant_id in self._service.iter_tenants():
            for removal in await self._service.apply(tenant_id):
                removed[removal.kind] += removal.count
                self._metrics.removed[removal.kind] += removal.count
        self._metrics.applied_at_us = self._clock()
        if any(removed.values()):
            self._log.info("retention.applied", **removed)
