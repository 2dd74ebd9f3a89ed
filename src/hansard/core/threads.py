"""Threads: conversations that are alive, their turns, and the log of what happened.

A thread's messages and usage are those of its journal, the session of the same id. Its events
are numbered from 1 without gaps; ``previous_seq`` of one is the number before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from hansard.core.errors import Conflict, InvalidInput, NotFound
from hansard.core.goals import Goal
from hansard.core.ids import NOISE, check_id, make_ulid
from hansard.core.paging import check_limit
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.strict_json import check_optional_text
from hansard.core.thread_settings import ThreadSettings
from hansard.core.usage import UsageTotals

LEASE_US: Final = 15_000_000  # after which a server that renews nothing has lost its threads
REPLAY_MAX: Final = 4_096  # events before the present that a reader may ask for by their number
PROMPT_SHOWN: Final = 280  # characters of a prompt that a turn tells of itself
EVENT_KINDS: Final = (
    "thread.started",
    "thread.updated",
    "thread.forked",
    "turn.started",
    "turn.steered",
    "turn.interrupt_requested",
    "turn.completed",
    "item.started",
    "item.delta",
    "item.completed",
    "item.failed",
    "item.interrupted",
    "message.completed",
    "approval.required",
    "approval.decided",
    "user_input.required",
    "user_input.answered",
    "tool_call.requested",
    "tool_call.resolved",
    "usage.recorded",
    "thread_goal_updated",
    "thread_goal_cleared",
)
REQUESTED: Final = {
    "approval": "approval.required",
    "user_input": "user_input.required",
    "tool_call": "tool_call.requested",
}
"""What an agent may wait for, and the event that tells of it."""
SETTLED: Final = {
    "approval": "approval.decided",
    "user_input": "user_input.answered",
    "tool_call": "tool_call.resolved",
}

_THREAD_ID: Final = re.compile("thr_[0-9A-Z]{26}")
_APPROVAL_ID: Final = re.compile("appr_([0-9A-Z]{26})_[0-9A-Z]{26}")


class NewEvent(Struct, frozen=True):
    """An event on its way into the log; ``payload`` is JSON."""

    kind: str
    payload: str
    turn_id: str | None = None
    item_id: str | None = None


class TurnEnd(Struct, frozen=True, kw_only=True):
    """How a turn of a thread ended; ``error`` and ``usage`` are JSON.

    Attributes:
        context: What stands for the beginning of the history from now on, if that changed.
    """

    turn_id: str
    status: str
    error: str | None
    usage: str
    steer_count: int
    context: str | None = None


class ThreadStep(Struct, frozen=True, kw_only=True):
    """What the holder of a thread writes at once.

    Attributes:
        fence: That of the lease under which it is written.
        after: Number of the event that it follows, so that it is written once.
        end: Of the turn that is under way, if it ends.
    """

    fence: int
    after: int
    events: tuple[NewEvent, ...]
    at_us: int
    end: TurnEnd | None = None

    @property
    def size_bytes(self) -> int:
        """About what it adds to a batch."""
        return sum([len(event.payload) for event in self.events])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may write to a thread.

    Attributes:
        holder: Names a running server.
        url: Where that answers; None if it does not say.
        fence: Grows whenever the holder changes.
    """

    holder: str
    url: str | None
    fence: int
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """The head of a thread, and what its journal says of it.

    Attributes:
        session_id: The session that it was saved as, or began with.
        seq: Number of the last event.
        turn_id: Of the turn that is under way.
        context: What stands for the beginning of the history, as JSON; None: all of it counts.
        carried: What the session had used that it goes on with, as JSON.
        settings: How its agent is to work.
        lease: None if nobody holds it.
        message_count: Of the journal, as ``usage`` is.
    """

    id: str
    owner: str | None
    agent: str
    title: str | None
    model: str | None
    system_prompt: str | None
    archived: bool
    session_id: str | None
    parent_id: str | None
    seq: int
    turn_count: int
    turn_id: str | None
    latest_turn_id: str | None
    latest_status: str | None
    context: str | None
    carried: str | None
    settings: ThreadSettings
    goal: Goal | None
    lease: Lease | None
    message_count: int
    usage: UsageTotals
    created_at_us: int
    updated_at_us: int

    def context_of(self, count: int) -> str | None:
        """What stands for the beginning of the first messages; a summary of more does not."""
        if self.context is None or json.loads(self.context)["message_index"] > count:
            return None
        return self.context

    def shorten(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What an agent gets of a history: all, or a summary and what came after it."""
        if self.context is None:
            return list(messages)
        context = json.loads(self.context)
        summary = {"role": "system", "content": context["summary"]}
        return [summary, *messages[context["message_index"] :]]

    @property
    def total_usage(self) -> UsageTotals:
        """What the thread used, and what was used before in what it goes on with."""
        if self.carried is None:
            return self.usage
        return self.usage.plus(UsageTotals(**json.loads(self.carried)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadTurn:
    """One turn of a thread, running or over.

    Attributes:
        number: From 1, in the order of their beginnings.
        kind: ``message`` or ``compaction``.
        status: ``in_progress``, ``completed``, ``failed`` or ``interrupted``.
        prompt: How it begins.
        settings: How its agent was to work, as JSON.
        error: A code and a message, as JSON.
        usage: Sums of its model calls, as JSON; None while it runs.
        started_seq: Number of its first event; 0 if that is another thread's.
        message_index: Where its messages begin in the journal.
    """

    number: int
    turn_id: str
    kind: str
    status: str
    prompt: str
    settings: str
    error: str | None
    usage: str | None
    steer_count: int
    started_seq: int
    message_index: int
    started_at_us: int
    ended_at_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadEvent:
    """One event; ``payload`` is JSON."""

    seq: int
    kind: str
    turn_id: str | None
    item_id: str | None
    payload: str
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadQuery:
    """Which threads to list, the latest changed first.

    Attributes:
        archived: None lists both.
        search: Text that the title, the agent or the id contains, in any case (ASCII).
    """

    limit: int = 50
    cursor: str | None = None
    archived: bool | None = False
    search: str | None = None

    def __post_init__(self) -> None:
        check_limit(self.limit)
        check_optional_text(self.search, "search", length_max=NAME_LENGTH_MAX)


def make_thread_id(now_us: int) -> str:
    """Make the id of a thread and of its journal."""
    return "thr_" + make_ulid(now_us, NOISE)


def make_approval_id(thread_id: str, now_us: int) -> str:
    """Make the id of an approval, which names its thread: whoever has it finds that."""
    return f"appr_{thread_id.removeprefix('thr_')}_{make_ulid(now_us, NOISE)}"


def thread_of_approval(approval_id: str) -> str | None:
    """Return the thread that an approval is of; None if that is no approval's id.

    >>> thread_of_approval(make_approval_id("thr_01J00000000000000000000000", 0))
    'thr_01J00000000000000000000000'
    """
    match = _APPROVAL_ID.fullmatch(approval_id)
    return None if match is None else f"thr_{match[1]}"


def is_thread_id(value: object) -> bool:
    """Tell whether a session of that id is a journal.

    >>> is_thread_id(make_thread_id(0)), is_thread_id("thr_mine")
    (True, False)
    """
    return isinstance(value, str) and _THREAD_ID.fullmatch(value) is not None


def check_thread_id(value: object) -> str:
    """Return a value if it can name a thread.

    Raises:
        InvalidInput: ``invalid_thread_id``.
        NotFound: ``thread_not_found``, if no thread can have it.
    """
    try:
        thread_id = check_id(value, "thread_id")
    except InvalidInput as exc:
        raise InvalidInput(exc.message, code="invalid_thread_id", field="thread_id") from exc
    if not is_thread_id(thread_id):
        raise thread_not_found(thread_id)
    return thread_id


def check_no_journal(session_id: str) -> None:
    """Check that a session is none that a thread writes.

    Raises:
        Conflict: ``session_is_thread``.
    """
    if is_thread_id(session_id):
        raise Conflict(
            "the session is the journal of a thread, which alone may change it",
            code="session_is_thread",
            thread_id=session_id,
        )


def check_prompt(value: Any, length_max: int) -> str:
    """Return a prompt that says something.

    Raises:
        InvalidInput: ``blank_prompt``, or ``prompt_too_long``.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("the prompt is blank", code="blank_prompt", field="prompt")
    if len(value) > length_max:
        raise InvalidInput(
            f"the prompt has more than {length_max} characters",
            code="prompt_too_long",
            field="prompt",
        )
    return value


def thread_not_found(thread_id: str) -> NotFound:
    """The error for a thread that is not there, or not the caller's."""
    return NotFound(f"no thread {thread_id!r}", code="thread_not_found", thread_id=thread_id)


LEASE_LOST: Final = "lease_lost"
STEP_WRITTEN: Final = "step_written"


def lease_lost(thread_id: str) -> Conflict:
    """The error for a server that writes to a thread which is another's by now."""
    return Conflict("another server holds the thread by now", code=LEASE_LOST, thread_id=thread_id)


def step_written(thread_id: str) -> Conflict:
    """The error for a step that does not follow the last event: it is written already."""
    return Conflict("the log has gone on", code=STEP_WRITTEN, thread_id=thread_id)


def turn_active(thread_id: str, turn_id: str) -> Conflict:
    """The error for who begins a turn while another is under way."""
    return Conflict(
        "a turn of the thread is under way",
        code="turn_active",
        thread_id=thread_id,
        turn_id=turn_id,
    )
