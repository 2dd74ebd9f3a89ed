"""Room: what turns under way take of a server, in all and by tenant, so that it lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hansard.core.errors import LimitReached

Take = Callable[[int], None]
Refusal = Callable[[int], LimitReached]


class Room:
    """A limited amount of something, of which one tenant has but a share.

    Args:
        refusal: Makes the error of the limit that is reached.
        final_refusal: Makes that of who wants more than there ever is for one.
    """

    def __init__(
        self, limit: int, limit_by_tenant: int, refusal: Refusal, final_refusal: Refusal
    ) -> None:
        self._refusal = refusal
        self._final_refusal = final_refusal
        self._limit = limit
        self._limit_by_tenant = limit_by_tenant
        self._taken = 0
        self._by_tenant: Counter[str] = Counter()

    @contextmanager
    def taken(self, tenant_id: str, amount: int) -> Iterator[Take]:
        """Hold an amount in the block, and more by calling what is given.

        Raises:
            LimitReached: Here or from a call; nothing more is held then.
        """
        held = 0

        def take(more: int) -> None:
            nonlocal held
            if held + more > self._limit_by_tenant:
                raise self._final_refusal(self._limit_by_tenant)
            self._check(self._taken + more, self._limit)
            self._check(self._by_tenant[tenant_id] + more, self._limit_by_tenant)
            self._taken += more
            self._by_tenant[tenant_id] += more
            held += more

        take(amount)
        try:
            yield take
        finally:
            self._taken -= held
            self._by_tenant[tenant_id] -= held
            if not self._by_tenant[tenant_id]:
                del self._by_tenant[tenant_id]

    def _check(self, amount: int, limit: int) -> None:
        if amount > limit:
            raise self._refusal(limit)


def too_many_turns(limit: int) -> LimitReached:
    """Refuse a turn."""
    return LimitReached(
        f"{limit:,} turns are under way already", code="too_many_turns", limit=limit
    )


def too_many_bytes(limit: int) -> LimitReached:
    """Refuse a request, or the history that would go before it, for now."""
    return LimitReached(
        f"turns under way hold up to {limit:,} bytes", code="too_many_bytes", limit=limit
    )


def too_long(limit: int) -> LimitReached:
    """Refuse a request that is too large even if no other is under way."""
    return LimitReached(
        f"a request with its history takes up to {limit:,} bytes",
        code="history_too_long",
        limit=limit,
    )
