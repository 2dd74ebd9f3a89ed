"""Recovery: the end of a turn whose server is gone, by what its events say.

What a reader saw is recorded, the word that was being said included. What the provider may have
billed beside that stays held, until somebody says what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hansard.core.items import Folded, answered, fold
from hansard.core.threads import NewEvent, Thread, ThreadStep, TurnEnd
from hansard.core.usage import ENTRIES_MAX, NewUsage, total_of
from hansard.runtime.log import write_payload
from hansard.runtime.turn_records import recordable
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService

PAGE: Final = 256  # events that are read at once
LOST: Final = "the server that ran the turn was lost"

Body = dict[str, Any]


async def recover(record: DatabaseSessions, threads: ThreadService, thread: Thread) -> None:
    """End the turn that another server did not: what its events say is recorded."""
    assert thread.turn_id is not None
    assert thread.lease is not None
    turn = await threads.get_turn(thread.id, thread.turn_id)
    assert turn is not None
    folded = await read_turn(threads, thread.id, turn.started_seq, until=thread.seq)
    partial = folded.unfinished()
    unsaid = [recordable(partial)] if partial is not None else []
    rest = answered(folded.messages, unsaid, "interrupted", folded.results)
    messages = [*folded.messages, *rest]
    calls = msgspec.convert(folded.usage[:ENTRIES_MAX], list[NewUsage])  # others stay held
    used = total_of(calls, turn.started_at_us, await record.pricing())
    end = TurnEnd(
        turn_id=turn.turn_id,
        status="interrupted",
        error=write_payload({"code": "server_lost", "message": LOST}),
        usage=write_payload(used._asdict()),
        steer_count=folded.steer_count,
    )
    step = ThreadStep(
        fence=thread.lease.fence,
        after=thread.seq,
        events=_events_of_recovery(turn.turn_id, folded, rest),
        at_us=record.clock(),
        end=end,
    )
    if not (messages or calls):
        await threads.write(thread.id, step)
        return
    await record.settle_turn(
        thread.id,
        messages,
        usage=calls,
        turn_id=turn.turn_id,
        status="interrupted",
        holds=[call.event_id for call in calls],
        at_us=turn.started_at_us,
        agent=thread.agent,
        model=None,
        creates=False,
        step=step,
    )


async def read_turn(
    threads: ThreadService, thread_id: str, started_seq: int, *, until: int
) -> Folded:
    """Make of a turn's events what they say."""
    folded, after = Folded(), started_seq - 1
    while after < until:
        limit = min(PAGE, until - after)
        page = await threads.list_events(thread_id, after=after, limit=limit)
        if not page:
            break
        fold(page, folded)
        after = page[-1].seq
    return folded


def _events_of_recovery(turn_id: str, folded: Folded, rest: Sequence[Body]) -> tuple[NewEvent, ...]:
    results = {each["tool_call_id"]: each["content"] for each in rest if each["role"] == "tool"}
    events = []
    for item in folded.items.values():
        if item["status"] == "in_progress":
            ended = {**item, "status": "interrupted"}
            if item["kind"] == "tool_call":
                ended["result"] = results.get(item["tool"]["id"])
            payload = write_payload({"item": ended})
            events.append(NewEvent("item.interrupted", payload, turn_id, item["id"]))
    events += [
        NewEvent("message.completed", write_payload({"message": message}), turn_id)
        for message in rest
    ]
    error = {"code": "server_lost", "message": LOST}
    told = write_payload(
        {"turn": {"id": turn_id, "status": "interrupted", "error": error}, "recovered": True}
    )
    return (*events, NewEvent("turn.completed", told, turn_id))
