"""Events: what changed in a session, one per version, in order.

An event's number is the session's version after the change, so a reader that has seen
event n resumes with "after n" and misses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KINDS: Final = (
    "session.created",
    "session.updated",
    "messages.appended",
    "messages.replaced",
    "turn.recorded",
    "usage.recorded",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change.

    Attributes:
        number: The session's version with this change in it.
        first_seq: First message that the change added; None if it added none.
        last_seq: Last message that the change added.
        message_count: Messages held after the change; lower than before after a revert.
    """

    number: int
    kind: str
    turn_id: str | None
    first_seq: int | None
    last_seq: int | None
    message_count: int
    created_at_us: int
