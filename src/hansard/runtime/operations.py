"""Operations: what an engine can be asked to do, each with a private way for its answer.

They are done one after another, in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from hansard.core import strict_json
from hansard.core.sessions import NAME_LENGTH_MAX, SYSTEM_PROMPT_LENGTH_MAX, TITLE_LENGTH_MAX
from hansard.core.strict_json import check_optional_text
from hansard.core.thread_edits import Editor
from hansard.core.threads import Thread, check_prompt
from hansard.core.usage import UsageTotals

T = TypeVar("T")
Body = dict[str, Any]

SUM_UP: Final[Body] = {
    "role": "user",
    "content": (
        "Sum up this conversation for yourself, so that you can go on from the summary alone. "
        "Keep what was decided, what is still open, names, numbers and identifiers. "
        "Write nothing else."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnState:
    """A turn that runs, as far as its log is on disk.

    Attributes:
        number: Of the thread's turns, from 1.
        text: What is being said and is no whole message yet; ``reasoning`` likewise.
        waits: What readers were told of the questions that are open.
    """

    id: str
    number: int
    kind: str
    steer_count: int
    started_at_us: int
    text: str
    reasoning: str
    waits: tuple[Body, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an engine holds, between two events of its log.

    Attributes:
        thread: Its head, with agent and system prompt; ``message_count`` messages are recorded.
        messages: Those that are whole: the recorded ones, then the running turn's.
        usage: Of all that was counted, the running turn's calls included.
        model: That the thread asks for; else the one that answered last, if that is known.
        provider: Who answered last, if that is known.
        seq: Number of the last event that it corresponds to.
        turn: That runs.
    """

    thread: Thread
    messages: list[Body]
    usage: UsageTotals
    model: str | None
    provider: str | None
    seq: int
    turn: TurnState | None


@dataclass(slots=True, kw_only=True)
class Operation(Generic[T]):
    """Something to be done by an engine, with a private way for the answer."""

    answer: asyncio.Future[T] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(slots=True, kw_only=True)
class BeginTurn(Operation[str]):
    """Begin a turn; answers with its id.

    Attributes:
        summary: What is told of it; the beginning of its prompt, if not given.
        settings: What is asked for this turn, as ``change_settings`` takes it.
    """

    summary: str = ""
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    key_id: str | None = None


@dataclass(slots=True, kw_only=True)
class SendMessage(BeginTurn):
    """Say something."""

    prompt: str

    def message(self) -> Body:
        """What the user says.

        Raises:
            InvalidInput: If any part of it cannot be recorded.
        """
        said = {"role": "user", "content": check_prompt(self.prompt, SYSTEM_PROMPT_LENGTH_MAX)}
        strict_json.write(said)
        check_optional_text(self.model, "model", length_max=NAME_LENGTH_MAX)
        check_optional_text(self.summary, "input_summary", length_max=TITLE_LENGTH_MAX)
        return said


@dataclass(slots=True, kw_only=True)
class Compact(BeginTurn):
    """Sum up what was said, for the agent to go on with; no person is asked for that."""

    settings: Mapping[str, Any] = field(
        default_factory=lambda: {"mode": "plan", "dynamic_tools": []}
    )


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
class SyncSession(Operation[Thread]):
    """Take the history, and what the thread says of itself, from the record; no turn may run."""


@dataclass(slots=True, kw_only=True)
class GetSessionSnapshot(Operation[Snapshot]):
    """Show what the engine holds."""


@dataclass(slots=True, kw_only=True)
class Change(Operation[Thread]):
    """Change what the thread says of itself.

    The model is one thing of that, and has no operation of its own: a client changes it together
    with others, in one step, and is told of that in one event.
    """

    edit: Editor


@dataclass(slots=True, kw_only=True)
class Shutdown(Operation[None]):
    """Let the turn that runs end, and stop."""
