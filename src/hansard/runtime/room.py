"""Room: what turns under way take of a server, in all and by tenant, so that it lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hansard.core.errors import LimitReached

Take = Callable[[int], None]


class Room:
    """A limited amount of something, of which one tenant has but a share.

    Args:
        what: Its unit, for the code ``too_many_<what>``.
    """

    def __init__(self, what: str, limit: int, limit_by_tenant: int) -> None:
        self._what = what
        self._limit = limit
        self._limit_by_tenant = limit_by_tenant
        self._taken = 0
        self._by_tenant: Counter[str] = Counter()

    @contextmanager
    def taken(self, tenant_id: str, amount: int) -> Iterator[Take]:
        """Hold an amount in the block, and more by calling what is given.

        Raises:
            LimitReached: ``too_many_<what>``, here or from a call.
        """
        held = 0

        def take(more: int) -> None:
            nonlocal held
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
            raise LimitReached(
                f"there is room for {limit:,} {self._what} at once",
                code=f"too_many_{self._what}",
                limit=limit,
            )
