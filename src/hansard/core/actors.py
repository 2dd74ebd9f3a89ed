"""Actors: on whose behalf a call is made, and how far it reaches."""

from __future__ import annotations

from dataclasses import dataclass

from hansard.core.errors import InvalidInput
from hansard.core.ids import check_id

DEFAULT_TENANT = "default"
SCOPE_ALL_SESSIONS = "sessions:all"
SCOPE_SET_BUDGETS = "budgets:write"
SCOPE_SET_RETENTION = "retention:write"
SCOPES = (SCOPE_ALL_SESSIONS, SCOPE_SET_BUDGETS, SCOPE_SET_RETENTION)


@dataclass(frozen=True, slots=True)
class Actor:
    """One caller.

    Attributes:
        tenant_id: The isolation boundary; every row and call belongs to exactly one.
        owner: Subject of the caller's token; new sessions are its own. None without
            authentication.
        sees_all: Whether the caller reaches every session of the tenant, or only its own.
        key_id: The API key that the caller holds, if it is one.
        sets_budgets: Whether the caller may say what may be spent.
        sets_retention: Whether the caller may put sessions under legal hold, and lift that.
    """

    tenant_id: str = DEFAULT_TENANT
    owner: str | None = None
    sees_all: bool = True
    key_id: str | None = None
    sets_budgets: bool = True
    sets_retention: bool = True

    def __post_init__(self) -> None:
        check_id(self.tenant_id, "tenant")
        if self.owner is None and not self.sees_all:
            raise InvalidInput("an actor without a name must see all", code="invalid_actor")

    def may_see(self, owner: str | None) -> bool:
        """Tell whether a session of ``owner`` is within reach."""
        return self.sees_all or owner == self.owner
