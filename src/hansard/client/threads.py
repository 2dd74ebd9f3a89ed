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
    """The threads of a server."""

    async def create(self, **fields: Any) -> Json:
        """Make a thread; fields are those of ``POST /v1/threads``."""
        return await self._ask(paths.CREATE_THREAD, body=_given(fields))

    async def list(self, **query: str) -> list[Json]:
        """List threads, the latest changed first."""
        answer = await self._transport.call(paths.LIST_THREADS, query=query)
        return wire.read(answer.body, _objects)

    async def get(self, thread_id: str) -> Json:
        """Return a thread with its latest turns."""
        return await self._ask(paths.GET_THREAD, thread_id)

    async def send(self, thread_id: str, prompt: str, **fields: Any) -> Json:
        """Begin a turn; fields are those of ``POST /v1/threads/{id}/turns``."""
        body = {"prompt": prompt, **_given(fields)}
        return await self._ask(paths.START_TURN, thread_id, body=body)

    async def steer(self, thread_id: str, turn_id: str, prompt: str) -> Json:
        """Say something to a running turn."""
        return await self._ask(paths.STEER_TURN, thread_id, turn_id, body={"prompt": prompt})

    async def interrupt(self, thread_id: str, turn_id: str) -> Json:
        """End a running turn."""
        return await self._ask(paths.INTERRUPT_TURN, thread_id, turn_id)

    async def decide(
        self, thread_id: str, approval_id: str, decision: str, *, remember: bool = False
    ) -> Json:
        """Say whether a tool may be called."""
        body = {"decision": decision, "remember": remember}
        return await self._ask(paths.DECIDE, thread_id, approval_id, body=body)

    async def answer(self, thread_id: str, input_id: str, value: str) -> Json:
        """Answer an agent's question."""
        body = {"answers": [{"id": input_id, "value": value}]}
        return await self._ask(paths.ANSWER_INPUT, thread_id, input_id, body=body)

    async def fork(self, thread_id: str) -> Json:
        """Make a thread that begins as this one stands."""
        return await self._ask(paths.FORK_THREAD, thread_id)

    async def undo(self, thread_id: str, depth: int = 0) -> Json:
        """Make a thread without the last turns of this one."""
        return await self._ask(paths.UNDO_TURNS, thread_id, body={"depth": depth})

    async def compact(self, thread_id: str) -> Json:
        """Sum up what was said."""
        return await self._ask(paths.COMPACT_THREAD, thread_id, body={})

    async def save(self, thread_id: str, session_id: str | None = None) -> Json:
        """Save what the engine of a thread holds as a session."""
        body = _given({"thread_id": thread_id, "session_id": session_id})
        return await self._ask(paths.SAVE_THREAD, body=body)

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

    async def _ask(self, route: Route, *names: str, body: Mapping[str, Any] | None = None) -> Json:
        written = None if body is None else json.dumps(body).encode()
        answer = await self._transport.call(route, *names, body=written)
        said: Json = wire.read(answer.body, dict)
        return said


def _given(fields: Mapping[str, Any]) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _objects(listed: Any) -> list[Json]:
    return [dict(each) for each in listed]
