"""Threads as JSON: what is asked of them, and what is told."""

from __future__ import annotations

import json
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins
from msgspec.structs import replace

from hansard.core.shapes import Time
from hansard.core.thread_settings import ThreadSettings, read_settings
from hansard.core.threads import REPLAY_MAX, Thread, ThreadTurn
from hansard.core.times import format_us
from hansard.server.answers import Totals
from hansard.server.bodies import Index, Limit

Objects = list[dict[str, Any]]


class TurnSettingsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """How the agent is to work; what is absent stays as it is."""

    mode: str | None = None
    permission_posture: str | None = None
    allow_shell: bool | None = None
    trust_mode: bool | None = None
    auto_approve: bool | None = None
    dynamic_tools: Objects | None = None


class SettingsBody(TurnSettingsBody, forbid_unknown_fields=True, kw_only=True):
    """The same, and what is the whole thread's."""

    workspace: str | None = None
    task_id: str | None = None
    environments: Objects | None = None


class ThreadBody(SettingsBody, forbid_unknown_fields=True, kw_only=True):
    """A thread to be made; without ``agent`` it is the server's first."""

    agent: str | None = None
    title: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    archived: bool = False


class ThreadChangesBody(SettingsBody, forbid_unknown_fields=True, kw_only=True):
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


class SettingsAnswer(Struct, kw_only=True):
    """How an agent is to work; ``auto_approve`` repeats whether tools need no approvals."""

    workspace: str | None
    mode: str
    permission_posture: str
    allow_shell: bool
    trust_mode: bool
    auto_approve: bool


class ThreadAnswer(SettingsAnswer, kw_only=True):
    """A thread without its turns; its tools and environments stand in no list."""

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
    task_id: str | None
    dynamic_tools: Objects | UnsetType = UNSET
    environments: Objects | UnsetType = UNSET
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
            task_id=thread.settings.task_id,
            dynamic_tools=to_builtins(thread.settings.dynamic_tools),
            environments=list(thread.settings.environments),
            created_at=format_us(thread.created_at_us),
            updated_at=format_us(thread.updated_at_us),
            **shown(thread.settings),
        )

    @classmethod
    def row(cls, thread: Thread) -> ThreadAnswer:
        """Write a thread as one of many."""
        return replace(cls.of(thread), dynamic_tools=UNSET, environments=UNSET)


class ThreadSummary(Struct, kw_only=True):
    """A row of a list of threads."""

    id: str
    title: str | None
    preview: str | None
    model: str | None
    mode: str
    workspace: str | None
    agent: str
    archived: bool
    updated_at: Time
    latest_turn_id: str | None
    latest_turn_status: str | None


class ThreadTurnRow(SettingsAnswer, kw_only=True):
    """One turn of a thread, with what was in force for it; ``usage`` is null while it runs."""

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
    environment_id: str | None

    @classmethod
    def of(cls, thread_id: str, turn: ThreadTurn) -> ThreadTurnRow:
        """Write a turn."""
        ended_us, settings = turn.ended_at_us, read_settings(turn.settings)
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
            environment_id=settings.environment_id,
            **shown(settings),
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


def asked_settings(body: TurnSettingsBody, *more: str) -> dict[str, Any]:
    """What a body asks for of the settings, and of ``more`` that are its own."""
    kind = SettingsBody if isinstance(body, SettingsBody) else TurnSettingsBody
    return {name: getattr(body, name) for name in (*kind.__struct_fields__, *more)}


def shown(settings: ThreadSettings) -> dict[str, Any]:
    """The fields of ``SettingsAnswer``."""
    return {
        "workspace": settings.workspace,
        "mode": settings.mode,
        "permission_posture": settings.permission_posture,
        "allow_shell": settings.allow_shell,
        "trust_mode": settings.trust_mode,
        "auto_approve": settings.allows_all,
    }
