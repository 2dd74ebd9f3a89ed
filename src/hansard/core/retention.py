"""Retention: how long what is kept of a kind stays, and what stays whatever the rules say.

    sessions   by their last change, with messages, turns and events; what they cost stays
    traces     by when they were last saved
    feedback   by when it was given
    holds      of budgets, by when they ended
    alerts     of budgets, by when their threshold was crossed

The ledger has no rule: its entries and their sums are never removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hansard.core.errors import InvalidInput

DEFAULT_DAYS: Final[Mapping[str, int | None]] = {
    "sessions": None,
    "traces": None,
    "feedback": None,
    "holds": 90,
    "alerts": 90,
}
"""How long each kind is kept where nobody made a rule; None is for ever."""

KINDS: Final = tuple(DEFAULT_DAYS)
EVERY_TENANT: Final = ""
"""Stands in a rule for every tenant that has none of its own."""

KEEP_DAYS_MAX: Final = 36_525
DAY_US: Final = 86_400_000_000
HELD: Final = "legal_hold"
"""Code of the conflict with a legal hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """How long what is of a kind stays.

    Attributes:
        tenant_id: Whose rule it is; ``EVERY_TENANT``, or None where nobody made one.
        keep_days: Whole days; None is for ever.
    """

    tenant_id: str | None
    kind: str
    keep_days: int | None

    @property
    def scope(self) -> str:
        """For whom it was made, as people and JSON say it."""
        if self.tenant_id is None:
            return "nobody"
        return "every tenant" if self.tenant_id == EVERY_TENANT else "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """How much of a kind was from before a moment, and went, or would go."""

    tenant_id: str
    kind: str
    keep_days: int
    before_us: int
    count: int


def check_kind(kind: str) -> str:
    """Return a kind that there is.

    Raises:
        InvalidInput: ``invalid_retention``.
    """
    if kind not in KINDS:
        raise InvalidInput(f"kind must be one of {', '.join(KINDS)}", code="invalid_retention")
    return kind


def check_keep_days(keep_days: int | None) -> int | None:
    """Return a number of days that a rule can have; None is for ever.

    Raises:
        InvalidInput: ``invalid_retention``.
    """
    is_number = type(keep_days) is int and 1 <= keep_days <= KEEP_DAYS_MAX
    if keep_days is not None and not is_number:
        raise InvalidInput(
            f"keep_days must be from 1 to {KEEP_DAYS_MAX}, or null", code="invalid_retention"
        )
    return keep_days


def rules_in_effect(rules: Iterable[RetentionRule]) -> tuple[RetentionRule, ...]:
    """Choose one rule for each kind: the tenant's own, that of every tenant, or the default.

    >>> own = RetentionRule(tenant_id="acme", kind="sessions", keep_days=None)
    >>> every = RetentionRule(tenant_id=EVERY_TENANT, kind="sessions", keep_days=30)
    >>> [rule.keep_days for rule in rules_in_effect([own, every])]
    [None, None, None, 90, 90]
    """
    found = {
        kind: RetentionRule(tenant_id=None, kind=kind, keep_days=keep_days)
        for kind, keep_days in DEFAULT_DAYS.items()
    }
    found |= {rule.kind: rule for rule in sorted(rules, key=lambda rule: rule.tenant_id or "")}
    return tuple(found.values())
