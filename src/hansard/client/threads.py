"""Threads over HTTP: for whoever talks to an agent that lives in a server.

Answers are what the server says, as JSON objects.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hansard.client import paths, wire
from hansard.client.bound import Bound
from hansard.client.paths import Route
from hansard.client.streams import follow_route

Json = dict[str, Any]


class RemoteThreads(Bound):
    """The threads of a server.

    Every call raises ``NotFound`` for a thread that is not there, or not the caller's, and
    ``Unavailable`` where the server, or the one that holds the thread, does not answer.
    """

    async def create(self, **fields: Any) -> Json:
        """Make a thread; fields are those of ``POST /v1/threads``.

        Raises:
            InvalidInput: If any part cannot be recorded, or no such agent is there.
        """
        return await self._ask(paths.CREATE_THREAD, body=_given(fields))

    async def list(self, **query: str) -> list[Json]:
        """List threads, the latest changed first."""
        answer = await self._transport.call(paths.LIST_THREADS, query=query)
        return wire.read(answer.body, _objects)

    async def get(self, thread_id: str) -> Json:
        """Return a thread with its latest turns, their items, and what waits for people."""
        return await self._ask(paths.GET_THREAD, thread_id)

    async def change(self, thread_id: str, **fields: Any) -> Json:
        """Change what a thread says of itself; fields are those of ``PATCH``, "" is none."""
        return await self._ask(paths.CHANGE_THREAD, thread_id, body=fields)

    async def archive(self, thread_id: str) -> Json:
        """Leave a thread out of lists; ``change(thread_id, archived=False)`` takes it back in."""
        return await self.change(thread_id, archived=True)

    async def load(self, thread_id: str) -> Json:
        """Load a thread's engine, so that its next turn begins at once; return the thread."""
        return await self._ask(paths.LOAD_THREAD, thread_id)

    async def send(self, thread_id: str, prompt: str, **fields: Any) -> Json:
        """Begin a turn, which goes on whoever listens; fields hold for this turn alone.

        Raises:
            Conflict: ``turn_active``.
        """
        body = {"prompt": prompt, **_given(fields)}
        return await self._ask(paths.START_TURN, thread_id, body=body)

    async def steer(self, thread_id: str, turn_id: str, prompt: str) -> Json:
        """Say something to a running turn, which the agent hears with its next model call.

        Raises:
            Conflict: ``turn_not_active``.
        """
        return await self._ask(paths.STEER_TURN, thread_id, turn_id, body={"prompt": prompt})

    async def interrupt(self, thread_id: str, turn_id: str) -> Json:
        """End a running turn; how it ended is told by its last event.

        Raises:
            Conflict: ``turn_not_active``.
        """
        return await self._ask(paths.INTERRUPT_TURN, thread_id, turn_id)

    async def approve(self, thread_id: str, approval_id: str, *, remember: bool = False) -> Json:
        """Let a tool be called; ``remember`` lets all that the thread will ask for."""
        return await self.decide(thread_id, approval_id, "allow", remember=remember)

    async def deny(self, thread_id: str, approval_id: str) -> Json:
        """Do not let a tool be called."""
        return await self.decide(thread_id, approval_id, "deny")

    async def decide(
        self, thread_id: str, approval_id: str, decision: str, *, remember: bool = False
    ) -> Json:
        """Say whether a tool may be called: ``allow``, or ``deny``.

        Raises:
            NotFound: ``approval_not_found``, if nobody waits for that any more.
        """
        body = {"decision": decision, "remember": remember}
        return await self._ask(paths.DECIDE, thread_id, approval_id, body=body)

    async def answer(self, thread_id: str, input_id: str, value: str) -> Json:
        """Answer an agent's question; the answer is written nowhere.

        Raises:
            NotFound: ``user_input_not_found``, if nobody waits for that any more.
        """
        body = {"answers": [{"id": input_id, "value": value}]}
        return await self._ask(paths.ANSWER_INPUT, thread_id, input_id, body=body)

    async def resolve(
        self, thread_id: str, turn_id: str, call_id: str, result: str, *, success: bool = True
    ) -> None:
        """Give the result of a tool that the caller ran.

        Raises:
            NotFound: ``tool_call_not_found``, if nobody waits for that any more.
        """
        body = {"success": success, "content": [{"type": "input_text", "text": result}]}
        await self._ask(paths.RESOLVE_TOOL_CALL, thread_id, turn_id, call_id, body=body)

    async def fork(self, thread_id: str) -> Json:
        """Make a thread that begins as this one stands."""
        return await self._ask(paths.FORK_THREAD, thread_id)

    async def undo(self, thread_id: str, depth: int = 0) -> Json:
        """Make a thread without the last turn of this one, or ``depth`` more.

        Raises:
            Conflict: ``turn_active``.
            InvalidInput: ``too_few_turns``.
        """
        return await self._ask(paths.UNDO_TURNS, thread_id, body={"depth": depth})

    async def retry(self, thread_id: str, prompt: str | None = None, depth: int = 0) -> Json:
        """Do the same, and begin a turn there: with another prompt, or what was asked before.

        Raises:
            Conflict: ``turn_active``.
            InvalidInput: ``too_few_turns``.
        """
        body = _given({"depth": depth, "prompt": prompt})
        return await self._ask(paths.RETRY_TURN, thread_id, body=body)

    async def compact(self, thread_id: str) -> Json:
        """Sum up what was said, in a turn of its own, for the agent to go on with.

        Raises:
            Conflict: ``turn_active``, or ``empty_thread``.
        """
        return await self._ask(paths.COMPACT_THREAD, thread_id, body={})

    async def save(
        self, thread_id: str, session_id: str | None = None, *, wait_s: float | None = None
    ) -> Json:
        """Save what the engine of a thread holds as a session, also while a turn runs.

        Args:
            thread_id: Of the thread.
            session_id: As which session; the one it was saved as before, or a new one.
            wait_s: For the end of a turn, a minute at most; None does not wait.

        Raises:
            Unavailable: ``turn_runs``, if a turn does not end in time.
        """
        body = _given({"thread_id": thread_id, "session_id": session_id})
        query = {"wait": "turn", "timeout_ms": str(int((wait_s or 0) * 1000))}
        return await self._ask(
            paths.SAVE_THREAD, body=body, query=None if wait_s is None else query
        )

    async def resume(self, session_id: str, agent: str | None = None) -> Json:
        """Make a thread that goes on where a session stands."""
        return await self._ask(paths.RESUME_SESSION, session_id, body=_given({"agent": agent}))

    def follow(self, thread_id: str, since: int = 0) -> AsyncIterator[Json]:
        """Iterate over what happens in a thread after an event, without end.

        Raises:
            Unavailable: When the server has said nothing until the deadline of retries.
        """
        return follow_route(
            self._transport,
            self._retries,
            paths.FOLLOW_THREAD,
            thread_id,
            since,
            parameter="since_seq",
            reader=dict,
            number=lambda event: int(event["seq"]),
        )

    async def _ask(
        self,
        route: Route,
        *names: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        written = None if body is None else json.dumps(body).encode()
        answer = await self._transport.call(route, *names, query=query, body=written)
        said: Json = wire.read(answer.body, dict)
        return said


def _given(fields: Mapping[str, Any]) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _objects(listed: Any) -> list[Json]:
    return [dict(each) for each in listed]
