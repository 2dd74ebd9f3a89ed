"""Retention of a database: its rules, legal holds of whole tenants, and what is too old.

Whoever has this acts for the operator, on any tenant. The legal hold of one session is set
as its other fields are, with ``update``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from hansard.core.errors import NotFound
from hansard.core.ids import Clock, check_id
from hansard.core.retention import (
    DAY_US,
    EVERY_TENANT,
    KINDS,
    Removal,
    RetentionRule,
    check_keep_days,
    check_kind,
    rules_in_effect,
)
from hansard.service.runner import Runner
from hansard.store import legal_holds, retention


class RetentionService:
    """How long what is kept in a database stays.

    Args:
        runner: Where.
        clock: The present time.
    """

    def __init__(self, runner: Runner, *, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def list_rules(self, tenant_id: str) -> tuple[RetentionRule, ...]:
        """Return the rule that a tenant goes by, for each kind."""
        found = await self._runner.read(lambda tx: retention.list_rules(tx, tenant_id))
        return rules_in_effect(found)

    async def set_rule(self, tenant_id: str, kind: str, keep_days: int | None) -> None:
        """Keep what is of a kind for so many days, or (None) for ever; the next ``apply`` heeds it.

        ``EVERY_TENANT`` is every tenant without a rule of its own.

        Raises:
            InvalidInput: ``invalid_retention``.
        """
        _check_tenant(tenant_id)
        check_kind(kind)
        check_keep_days(keep_days)
        now_us = self._clock()
        await self._runner.write(lambda tx: retention.put(tx, tenant_id, kind, keep_days, now_us))

    async def unset_rule(self, tenant_id: str, kind: str) -> None:
        """Remove a rule, so that the one of every tenant holds, or the default.

        Raises:
            NotFound: ``rule_not_found``.
        """
        _check_tenant(tenant_id)
        check_kind(kind)
        if not await self._runner.write(lambda tx: retention.delete(tx, tenant_id, kind)):
            raise NotFound(f"there is no rule for {kind}", code="rule_not_found", kind=kind)

    async def find_legal_hold(self, tenant_id: str) -> int | None:
        """Return since when a tenant is under legal hold, in microseconds; None if it is not."""
        return await self._runner.read(lambda tx: legal_holds.find(tx, tenant_id))

    async def place_legal_hold(self, tenant_id: str) -> None:
        """Let nothing of a tenant be removed any more; once this returns, nothing is."""
        check_id(tenant_id, "tenant")
        now_us = self._clock()
        await self._runner.write(lambda tx: legal_holds.place(tx, tenant_id, now_us))

    async def lift_legal_hold(self, tenant_id: str) -> None:
        """Let what is too old go again, but for sessions with a legal hold of their own."""
        await self._runner.write(lambda tx: legal_holds.lift(tx, tenant_id))

    async def iter_tenants(self) -> AsyncIterator[str]:
        """Iterate over the tenants of which anything is kept that rules are about."""
        found = await self._find_next_tenant("")
        while found is not None:
            yield found
            found = await self._find_next_tenant(found)

    async def preview(self, tenant_id: str, kinds: Sequence[str] = KINDS) -> tuple[Removal, ...]:
        """Count what ``apply`` would remove now; kinds that are kept for ever are left out."""
        due = await self._due(tenant_id, kinds)
        return tuple([replace(removal, count=await self._count(removal)) for removal in due])

    async def apply(self, tenant_id: str, kinds: Sequence[str] = KINDS) -> tuple[Removal, ...]:
        """Remove what is older than a tenant's rules allow, in small transactions.

        Stopped in between, it has removed a part, the oldest; the next time goes on.
        """
        due = await self._due(tenant_id, kinds)
        return tuple([replace(removal, count=await self._remove(removal)) for removal in due])

    async def _due(self, tenant_id: str, kinds: Sequence[str]) -> list[Removal]:
        now_us = self._clock()
        return [
            Removal(
                tenant_id=tenant_id,
                kind=rule.kind,
                keep_days=rule.keep_days,
                before_us=now_us - rule.keep_days * DAY_US,
                count=0,
            )
            for rule in await self.list_rules(tenant_id)
            if rule.kind in kinds and rule.keep_days is not None
        ]

    async def _find_next_tenant(self, tenant_id: str) -> str | None:
        return await self._runner.read(lambda tx: retention.find_next_tenant(tx, tenant_id))

    async def _count(self, removal: Removal) -> int:
        return await self._runner.read_alone(
            lambda tx: retention.count(tx, removal.tenant_id, removal.kind, removal.before_us)
        )

    async def _remove(self, removal: Removal) -> int:
        now_us, total = self._clock(), 0
        while count := await self._runner.write(
            lambda tx: retention.remove(
                tx, removal.tenant_id, removal.kind, removal.before_us, now_us
            )
        ):
            total += count
        return total


def _check_tenant(tenant_id: str) -> None:
    if tenant_id != EVERY_TENANT:
        check_id(tenant_id, "tenant")
