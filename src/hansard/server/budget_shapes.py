"""Shapes of what a caller may say of holds, and of what it is told."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hansard.core.budgets import HOLD_STATES
from hansard.server.bodies import Limit, UsageBody


class ResolveBody(Struct, forbid_unknown_fields=True):
    """What became of a call: its usage, or nothing that is billed; one of the two."""

    usage: UsageBody | None = None
    written_off: bool = False


class HoldsQuery(Struct, frozen=True):
    """Which holds to list."""

    state: Annotated[str, Meta(extra_json_schema={"enum": list(HOLD_STATES)})] = "unknown"
    limit: Limit = 100
    cursor: str | None = None


class Resolved(Struct):
    """The hold has ended."""

    call_id: str
    state: str
