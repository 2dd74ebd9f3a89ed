"""Threads as JSON: what is asked of them, and what is told."""

from __future__ import annotations

import json
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from hansard.core.shapes import Time
from hansard.core.threads import REPLAY_MAX, Thread, ThreadTurn
from hansard.core.times import format_us
from hansard.server.answers import Totals
from hansard.server.bodies import Index, Limit


class ThreadBody(Struct, forbid_unknown_fields=True):
    """A thread to be made; without ``agent`` it is the server's first."""

    agent: str | None = None
    title: str | None = None
    model: str | None = None
    system_prompt: str | None = None


class ThreadChangesBody(Struct, forbid_unknown_fields=True):
    """Changes to a thread; what is absent stays as it is, an empty text is none."""

    title: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    system_prompt: str | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET


class ThreadsQuery(Struct, frozen=True):
    """Which threads to list."""

    limit: Limit = 50
    cursor: str | None = None
    search: str | None = None
    include_archived: bool = False
    archived_only: bool = False


class ThreadEventsQuery(Struct, frozen=True):
    """Where to begin: after an event, or as many events before the present."""

    since_seq: Index = 0
    replay_limit: (
        Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": REPLAY_MAX})] | None
    ) = None


class ThreadAnswer(Struct, kw_only=True):
    """A thread without its turns."""

    id: str
    agent: str
    owner: str | None
    title: str | None
    model: str | None
    system_prompt: str | None
    archived: bool
    session_id: str | None
    parent_thread_id: str | None
    latest_turn_id: str | None
    latest_turn_status: str | None
    active_turn_id: str | None
    latest_seq: int
    turn_count: int
    message_count: int
    usage: Totals
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, thread: Thread) -> ThreadAnswer:
        """Write a thread."""
        return cls(
            id=thread.id,
            agent=thread.agent,
            owner=thread.owner,
            title=thread.title,
            model=thread.model,
            system_prompt=thread.system_prompt,
            archived=thread.archived,
            session_id=thread.session_id,
            parent_thread_id=thread.parent_id,
            latest_turn_id=thread.latest_turn_id,
            latest_turn_status=thread.latest_status,
            active_turn_id=thread.turn_id,
            latest_seq=thread.seq,
            turn_count=thread.turn_count,
            message_count=thread.message_count,
            usage=Totals.of(thread.total_usage),
            created_at=format_us(thread.created_at_us),
            updated_at=format_us(thread.updated_at_us),
        )


class ThreadSummary(Struct, kw_only=True):
    """A row of a list of threads."""

    id: str
    title: str | None
    preview: str | None
    model: str | None
    agent: str
    archived: bool
    updated_at: Time
    latest_turn_id: str | None
    latest_turn_status: str | None


class ThreadTurnRow(Struct, kw_only=True):
    """One turn of a thread; ``usage`` is null while it runs."""

    id: str
    thread_id: str
    kind: str
    status: str
    input_summary: str
    steer_count: int
    started_at: Time
    ended_at: Time | None
    duration_ms: int | None
    usage: dict[str, int] | None
    error: dict[str, str] | None

    @classmethod
    def of(cls, thread_id: str, turn: ThreadTurn) -> ThreadTurnRow:
        """Write a turn."""
        ended_us = turn.ended_at_us
        return cls(
            id=turn.turn_id,
            thread_id=thread_id,
            kind=turn.kind,
            status=turn.status,
            input_summary=turn.prompt,
            steer_count=turn.steer_count,
            started_at=format_us(turn.started_at_us),
            ended_at=None if ended_us is None else format_us(ended_us),
            duration_ms=None if ended_us is None else (ended_us - turn.started_at_us) // 1000,
            usage=None if turn.usage is None else json.loads(turn.usage),
            error=None if turn.error is None else json.loads(turn.error),
        )


class ThreadDetail(Struct, kw_only=True):
    """A thread with its latest turns and what they consist of, as of the event ``latest_seq``."""

    thread: ThreadAnswer
    turns: list[ThreadTurnRow]
    items: list[dict[str, Any]]
    latest_seq: int
    pending_approvals: list[dict[str, Any]]
    pending_user_inputs: list[dict[str, Any]]
    pending_dynamic_tool_calls: list[dict[str, Any]]
