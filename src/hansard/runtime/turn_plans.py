"""Plans of turns of threads: what one is to do, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from structlog.typing import FilteringBoundLogger

from hansard.core.thread_settings import ThreadSettings
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.gates import GateKeeper
from hansard.runtime.observers import Observer
from hansard.runtime.recorder import Recorder
from hansard.runtime.room import Room
from hansard.runtime.stops import HEED_S

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnParts:
    """What the turns of all threads share.

    Attributes:
        places: For turns under way.
        turn_s: How long an agent may take.
        wait_s: How long it waits for people.
        heed_s: How long it may go on once it was stopped.
    """

    keeper: GateKeeper
    recorder: Recorder
    observers: Sequence[Observer]
    log: FilteringBoundLogger
    places: Room
    turn_s: float
    wait_s: float
    heed_s: float = HEED_S


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPlan:
    """What a turn is to do.

    Attributes:
        context: The messages before it, as the agent gets them.
        prompt: What the user says.
        message_index: Where its messages begin in the journal.
        kind: A ``compaction`` is recorded by what it cost; what is said is its summary.
        key_id: The API key on whose account it goes.
        settings: How the agent is to work.
    """

    turn_id: str
    agent: Agent
    model: str | None
    context: list[Body]
    prompt: Body
    kind: str
    key_id: str | None
    message_index: int
    settings: ThreadSettings
    at_us: int
