"""Tallies: usage that a process has recorded, by tenant and model, for whoever watches it.

The ledger is the truth; a tally begins with the process, and may miss a commit of which
nobody could say whether it happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hansard.core.names import Names
from hansard.core.usage import UsageTotals, add_totals

MODELS_MAX: Final = 100  # of which each is told apart; clients may name as many as they like
TENANTS_MAX: Final = 100

Tally = Mapping[tuple[str, str], UsageTotals]
"""Totals by tenant and model."""


class UsageTally:
    """Sums that only grow; more models or tenants than there is room for are ``other``."""

    def __init__(self) -> None:
        self._tenants = Names(TENANTS_MAX)
        self._models = Names(MODELS_MAX)
        self._sums: dict[tuple[str, str], UsageTotals] = {}

    def add(self, usage: Tally) -> None:
        """Add usage; not by two threads at once."""
        for (tenant_id, model), totals in usage.items():
            add_totals(self._sums, (self._tenants.of(tenant_id), self._models.of(model)), totals)

    def read(self) -> Tally:
        """Return the sums as they are now."""
        return dict(self._sums)
