"""The ledger's proof: every total recomputed from the entries, and compared."""

from __future__ import annotations

from dataclasses import dataclass

from hansard.core.usage import UsageTotals

DRIFTS_MAX = 100  # told of one kind


@dataclass(frozen=True, slots=True)
class Drift:
    """A total that is not what the entries say.

    Attributes:
        what: ``session``, ``session_hour``, ``hour``, ``whole_hour``, ``spent`` or ``held``.
        subject: Which one.
        excess: By how much the total is more than the entries say: totals of usage, or for
            ``spent`` and ``held`` an amount in the unit of the budget.
    """

    what: str
    subject: str
    excess: UsageTotals | int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What was compared; ``drifts`` are at most ``DRIFTS_MAX`` of each kind."""

    tenant_id: str
    entries: int
    windows: int
    drifts: tuple[Drift, ...]

    @property
    def ok(self) -> bool:
        """Whether every total is what the entries say."""
        return not self.drifts
