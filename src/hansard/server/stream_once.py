"""One turn and its stream in one request: `POST /v1/stream`.

    prompt -> an archived thread of its own -> its log -> simpler events -> done, and the end

The turn goes on without its client. Each event is told once: the log has no gaps, and this
reads it from the thread's beginning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hansard.core.errors import NotFound
from hansard.core.sessions import SYSTEM_PROMPT_LENGTH_MAX
from hansard.core.thread_settings import ThreadSettings, change_settings
from hansard.core.threads import check_prompt
from hansard.runtime.operations import SendMessage
from hansard.server.bodies import NoQuery
from hansard.server.calls import Call, Stream, to_json
from hansard.server.endpoint import Body, Endpoint
from hansard.server.sse import Reader, Source, Wake, write_stream
from hansard.server.thread_shapes import SettingsBody, asked_settings
from hansard.server.threads import agent_of, runtime_of, threads_of
from hansard.service.threads import ThreadService

Told = dict[str, Any]
Frames = list[tuple[str, Told]]

_PASSED_ON: Final = {
    "approval.required": ("id", "tool_name", "arguments", "tool_call_id"),
    "approval.decided": ("id", "decision", "remember", "auto", "timeout", "canceled"),
    "user_input.required": ("id", "tool_name", "arguments", "tool_call_id"),
    "user_input.answered": ("id", "timeout", "canceled"),
    "tool_call.requested": ("id", "turn_id", "tool_name", "arguments", "tool_call_id"),
    "tool_call.resolved": ("id", "success", "timeout", "canceled"),
}
"""Events that keep their names, and what of them is told."""


class StreamBody(SettingsBody, forbid_unknown_fields=True, kw_only=True):
    """What is asked, and of whom; without ``agent`` it is the server's first."""

    prompt: str
    agent: str | None = None
    model: str | None = None
    system_prompt: str | None = None


async def stream_once(call: Call[NoQuery, StreamBody]) -> Stream:
    """Ask once, and stream the answer; the thread is found among those that are archived."""
    runtime, body, actor = runtime_of(call), call.body, call.record.actor
    check_prompt(body.prompt, SYSTEM_PROMPT_LENGTH_MAX)
    settings = change_settings(ThreadSettings(), asked_settings(body))
    agent = agent_of(runtime, body.agent)
    call.context.streams.check(actor.tenant_id)
    runtime.check_room(actor)
    thread = await threads_of(call).create(
        agent,
        model=body.model,
        system_prompt=body.system_prompt,
        settings=settings,
        archived=True,
    )
    engine = await runtime.engine(actor, thread.id)
    turn_id = await engine.ask(SendMessage(prompt=body.prompt, key_id=actor.key_id))
    log = runtime.source(actor, thread, after=thread.seq)
    source = _simplified(log, Simplifier(thread.id, turn_id), threads_of(call))
    stream = write_stream(source, call.context.streams, actor.tenant_id)
    return Stream(stream, b"text/event-stream")


class Simplifier:
    """Makes the events of one turn simpler, one after another."""

    def __init__(self, thread_id: str, turn_id: str) -> None:
        self._thread_id = thread_id
        self._turn_id = turn_id
        self._lengths: dict[str, int] = {}

    def tell(self, kind: str, item_id: str | None, payload: Told) -> Frames:
        """What is told of an event; nothing of one that is the thread's own affair."""
        told: Frames = []
        match kind:
            case "turn.started":
                told = [(kind, {"thread_id": self._thread_id, "turn_id": self._turn_id})]
            case "turn.interrupt_requested":
                told = [("status", {"status": "interrupt_requested"})]
            case "item.delta" if payload["kind"] == "agent_message":
                assert item_id is not None
                told = self._grow(item_id, payload["delta"])
            case "item.started" if payload["item"]["kind"] == "tool_call":
                told = [("tool.started", payload["item"]["tool"])]
            case "item.completed" | "item.failed" | "item.interrupted":
                told = self._end(payload["item"])
            case kind if kind in _PASSED_ON:
                names = [name for name in _PASSED_ON[kind] if name in payload]
                told = [(kind, {name: payload[name] for name in names})]
            case _:
                pass
        return told

    def end(self, turn: Told, usage: Told | None) -> Frames:
        """What is told of the turn's end."""
        error = turn["error"]
        ended = {"turn_id": self._turn_id, "status": turn["status"], "usage": usage}
        failed: Frames = [] if error is None else [("error", error)]
        return [*failed, ("turn.completed", ended), ("done", {})]

    def _grow(self, item_id: str, text: str) -> Frames:
        self._lengths[item_id] = self._lengths.get(item_id, 0) + len(text)
        return [("message.delta", {"content": text})]

    def _end(self, item: Told) -> Frames:
        """The end of an item: a tool's, or of a text that was not told in pieces."""
        if item["kind"] == "tool_call":
            tool = item["tool"]
            told = {
                "id": tool["id"],
                "name": tool["name"],
                "success": item["status"] == "completed",
                "output": item.get("result"),
            }
            return [("tool.completed", told)]
        rest = ""
        if item["kind"] == "agent_message":
            rest = item["text"][self._lengths.get(item["id"], 0) :]
        return self._grow(item["id"], rest) if rest else []


class _Reader:
    """Reads a log until its turn is over."""

    def __init__(self, log: Reader, simplifier: Simplifier, threads: ThreadService) -> None:
        self._log = log
        self._simplifier = simplifier
        self._threads = threads
        self._is_over = False

    async def read(self) -> bytes:
        """Return what is new in simpler words.

        Raises:
            NotFound: After the end.
        """
        if self._is_over:
            raise NotFound("the turn is over", code="turn_over")
        told: Frames = []
        while not told:
            frames = await self._log.read()
            if not frames:
                break
            for frame in frames.split(b"\n\n")[:-1]:
                told += await self._tell(json.loads(frame.split(b"data: ", 1)[1]))
                if self._is_over:
                    break
        return b"".join(
            [b"event: %s\ndata: %s\n\n" % (name.encode(), to_json(data)) for name, data in told]
        )

    async def _tell(self, event: Told) -> Frames:
        kind, payload = event["event"], event["payload"]
        if kind != "turn.completed":
            return self._simplifier.tell(kind, event["item_id"], payload)
        self._is_over = True
        turn = await self._threads.get_turn(event["thread_id"], event["turn_id"])
        assert turn is not None
        usage = None if turn.usage is None else json.loads(turn.usage)
        return self._simplifier.end(payload["turn"], usage)


def _simplified(log: Source, simplifier: Simplifier, threads: ThreadService) -> Source:
    @contextmanager
    def reading(wake: Wake) -> Iterator[Reader]:
        with log(wake) as reader:
            yield _Reader(reader, simplifier, threads)

    return reading


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/stream",
        name="stream_once",
        summary="Ask once, and stream the answer; the thread is archived.",
        handler=stream_once,
        body=Body(shape=StreamBody),
        media_type="text/event-stream",
        errors=(400, 404, 429),
    ),
)
