"""Saves: what the engine of a thread holds, written as a session while a turn may run.

thread -> engine -> snapshot, between two events -> session, of which only the difference
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from hansard.core.actors import Actor
from hansard.core.errors import InvalidInput
from hansard.core.sessions import SaveReceipt, Session
from hansard.core.thread_edits import update
from hansard.core.threads import ThreadQuery
from hansard.runtime.operations import Change, GetSessionSnapshot, Snapshot
from hansard.runtime.threads import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a save of a thread did."""

    snapshot: Snapshot
    receipt: SaveReceipt
    session: Session
    is_new: bool


async def save(
    runtime: Runtime,
    actor: Actor,
    thread_id: str | None,
    session_id: str | None,
    *,
    wait_s: float | None = None,
    allow_empty: bool = False,
    expected_version: int | None = None,
) -> Saved:
    """Save what a thread holds as a session.

    Without ``thread_id`` that is the one that changed last and is not archived; without
    ``session_id`` the session it was saved as before, or a new one.

    Args:
        runtime: Where the thread lives.
        actor: On whose behalf.
        thread_id: Of the thread.
        session_id: Of the session.
        wait_s: How long to wait for the end of a turn; None does not.
        allow_empty: Save also a thread in which nothing was said.
        expected_version: Of the session.

    Raises:
        InvalidInput: ``no_threads``, or ``empty_thread``.
        TimeoutError: If the turn does not end in time.
    """
    if thread_id is None:
        thread_id = await _find_latest(runtime, actor)
    engine = await runtime.engine(actor, thread_id)
    async with AsyncExitStack() as stack:
        stack.enter_context(engine.kept())
        if wait_s is not None:
            async with asyncio.timeout(wait_s):
                await engine.wait_for_turn()
        await stack.enter_async_context(engine.saving)
        snapshot = await engine.ask(GetSessionSnapshot())
        runtime.counts["snapshots"] += 1
        if not snapshot.messages and not allow_empty:
            raise InvalidInput("the thread has no messages to save", code="empty_thread")
        thread, turn = snapshot.thread, snapshot.turn
        linked = (await runtime.threads(actor).get(thread.id)).session_id  # null once that is gone
        receipt, session, is_new = await runtime.threads(actor).save(
            thread,
            snapshot.messages[thread.message_count :],
            snapshot.usage,
            turn_id=None if turn is None else turn.id,
            session_id=session_id or linked,
            expected_version=expected_version,
        )
        if linked != session.id:
            await engine.ask(Change(edit=update({"session_id": session.id})))
        return Saved(snapshot=snapshot, receipt=receipt, session=session, is_new=is_new)


async def _find_latest(runtime: Runtime, actor: Actor) -> str:
    latest = await runtime.threads(actor).list(ThreadQuery(limit=1))
    if not latest.items:
        raise InvalidInput("there is no thread to save", code="no_threads")
    return latest.items[0].id
