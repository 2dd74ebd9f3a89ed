"""Operations: what an engine can be asked to do, each with a private way for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hansard.core.thread_edits import Editor
from hansard.core.threads import Thread
from hansard.core.usage import UsageTotals

T = TypeVar("T")
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an engine holds, between two events of its log.

    Attributes:
        messages: Those that are whole, the running turn's included.
        usage: Of all that was counted, the running turn's calls included.
        seq: Number of the last event that it corresponds to.
        turn_id: Of the turn that runs.
    """

    thread: Thread
    messages: list[Body]
    usage: UsageTotals
    seq: int
    turn_id: str | None


@dataclass(slots=True, kw_only=True)
class Operation(Generic[T]):
    """Something to be done by an engine, with a private way for the answer."""

    answer: asyncio.Future[T] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(slots=True, kw_only=True)
class SendMessage(Operation[str]):
    """Begin a turn; answers with its id.

    Attributes:
        summary: What is told of the prompt; its beginning, if not given.
        settings: What is asked for this turn, as ``change_settings`` takes it.
    """

    prompt: str
    summary: str | None = None
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    key_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Steer(Operation[int]):
    """Say something in the turn that runs; answers how often that was done."""

    turn_id: str
    prompt: str


@dataclass(slots=True, kw_only=True)
class Interrupt(Operation[None]):
    """End the turn that runs."""

    turn_id: str


@dataclass(slots=True, kw_only=True)
class Compact(Operation[str]):
    """Begin a turn that sums up what was said, for the agent to go on with; its id."""

    model: None = None
    key_id: str | None = None


@dataclass(slots=True, kw_only=True)
class GetSnapshot(Operation[Snapshot]):
    """Show what the engine holds."""


@dataclass(slots=True, kw_only=True)
class Change(Operation[Thread]):
    """Change what the thread says of itself."""

    edit: Editor


@dataclass(slots=True, kw_only=True)
class Shutdown(Operation[None]):
    """Let the turn that runs end, and stop."""
