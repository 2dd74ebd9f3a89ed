"""Telling: what an agent does, written into the log as items and messages.

    pieces of text  -> item.started, item.delta ...
    a whole message -> its items end, its tools begin; message.completed
    a tool's result -> the item of its call ends

What is on disk of it is what a snapshot shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from msgspec import to_builtins

from hansard.core.items import item_id, result_status, tool_of
from hansard.core.threads import NewEvent
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallDone,
    Completed,
    Event,
    MessageDone,
    Reasoning,
    Text,
    ToolReturned,
)
from hansard.runtime.log import Log, write_payload
from hansard.runtime.turn_records import clean_text, recordable

Body = dict[str, Any]

PRIVATE: Final = "[told to the agent alone]"
"""What the record holds in place of a person's answer."""

Told = tuple[str, str, Body]
"""The kind of an event of an item, that item's id, and what it carries."""

_PARTS: Final = {"text": "agent_message", "reasoning": "agent_reasoning"}


def _begun(item: Body) -> Told:
    return "item.started", item["id"], {"item": {**item, "status": "in_progress"}}


def _ended(item: Body, status: str = "completed") -> Told:
    return f"item.{status}", item["id"], {"item": {**item, "status": status}}


class Teller:
    """Tells of one turn.

    Args:
        private: Calls of tools whose results are not to be recorded.

    Attributes:
        messages: The turn's, as far as they are whole.
        said: Those of them that are on disk.
        saying: Pieces of the next one that are, by its parts.
        calls: The model calls that are; ``made`` are all that were told.
    """

    def __init__(self, log: Log, turn_id: str, said: list[Body], private: Collection[str]) -> None:
        self.messages = list(said)
        self.said = said
        self.calls: list[NewUsage] = []
        self.saying: dict[str, list[str]] = {part: [] for part in _PARTS}
        self.made: list[NewUsage] = []
        self._log = log
        self._turn_id = turn_id
        self._private = private
        self._open: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._tools: dict[str, Body] = {}

    def tell(self, event: Event) -> None:
        """Write into the log what happened."""
        match event:
            case Text(text):
                self._grow("text", text)
            case Reasoning(text):
                self._grow("reasoning", text)
            case ToolReturned(call_id, content):
                content = PRIVATE if call_id in self._private else clean_text(content)
                for kind, item, payload in self._end_tool(call_id, content, "completed"):
                    self._put(kind, payload, item_id=item)
            case MessageDone(message):
                self._end_message(self.to_record(message))
            case CallDone(call):
                self.made.append(call)
                told = {"call": to_builtins(call)}
                self._put("usage.recorded", told, then=lambda: self.calls.append(call))
            case _:
                pass

    @property
    def last_call(self) -> NewUsage | None:
        """The last model call that is on disk."""
        return self.calls[-1] if self.calls else None

    def unfinished(self) -> Body | None:
        """The message that is being said; None if there is none."""
        said = {part: "".join(texts) for part, texts in self._texts.items()}
        if not any(said.values()):
            return None
        message: Body = {"role": "assistant", "content": said.get("text", "")}
        if said.get("reasoning"):
            message["reasoning_content"] = said["reasoning"]
        return message

    def _grow(self, part: str, text: str) -> None:
        text = clean_text(text)
        item = self._open.get(part)
        if item is None:
            kind, item, payload = _begun(self._item(part, kind=_PARTS[part], text=""))
            self._put(kind, payload, item_id=item)
            self._open[part] = item
            self._texts[part] = []
        self._texts[part].append(text)
        self._log.put_delta(
            _PARTS[part],
            text,
            turn_id=self._turn_id,
            item_id=item,
            then=self.saying[part].append,
        )

    def _end_message(self, message: Body) -> None:
        """A message is whole: its items are, and its tools are being called."""
        for kind, item, payload in self._tell_message(message, "completed"):
            self._put(kind, payload, item_id=item)
        self._put("message.completed", {"message": message}, then=partial(self._land, message))

    def _tell_message(self, message: Body, status: str) -> list[Told]:
        """The events of its items, with which it is one of the turn's."""
        told = self._ends_of(message, status)
        calls = message.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            tool = tool_of(call)
            item = self._tools[tool["id"]] = self._item(f"c{place}", kind="tool_call", tool=tool)
            told.append(_begun(item))
        if message.get("role") == "user":
            told.append(
                _ended(self._item("said", kind="user_message", content=message.get("content")))
            )
        if message.get("role") == "tool":
            told += self._end_tool(
                str(message.get("tool_call_id")),
                str(message.get("content")),
                result_status(message, status),
            )
        self.messages.append(message)
        return told

    def _land(self, message: Body) -> None:
        """A message is on disk as a whole."""
        self.said.append(message)
        for pieces in self.saying.values():
            pieces.clear()

    def to_record(self, message: Body) -> Body:
        """A message as the record holds it: what a person told the agent alone is not in it."""
        message = recordable(message)
        is_private = message.get("tool_call_id") in self._private
        return {**message, "content": PRIVATE} if is_private else message

    def _end_tool(self, call_id: str, content: str, status: str) -> list[Told]:
        """End the item of a call, unless that has ended."""
        item = self._tools.pop(call_id, None)
        return [] if item is None else [_ended({**item, "result": content}, status)]

    def _ends_of(self, message: Body, status: str) -> list[Told]:
        """End the items that are open, with their whole texts."""
        if message.get("role") != "assistant":
            return []
        texts = {"reasoning": message.get("reasoning_content"), "text": message.get("content")}
        ends = [
            _ended(self._item(part, kind=_PARTS[part], text=text or ""), status)
            for part, text in texts.items()
            if text or part in self._open
        ]
        self._open.clear()
        self._texts.clear()
        return ends

    def last_events(
        self, end: Completed | AgentFailed, status: str, rest: list[Body], summary: str | None
    ) -> tuple[NewEvent, ...]:
        """The events of a turn's end, with which the rest of its messages are the turn's."""
        events: list[NewEvent] = []
        if summary is not None:
            item = self._item("summary", kind="context_compaction", text=summary)
            events.append(self._event(*_ended(item)))
        for message in rest:
            events += [self._event(*told) for told in self._tell_message(message, status)]
            events.append(self._event("message.completed", None, {"message": message}))
        turn: Body = {"id": self._turn_id, "status": status, "error": None}
        if isinstance(end, AgentFailed):
            turn["error"] = {"code": end.error.code, "message": end.error.message}
        return (*events, self._event("turn.completed", None, {"turn": turn}))

    def _event(self, kind: str, item: str | None, payload: Body) -> NewEvent:
        return NewEvent(kind, write_payload(payload), self._turn_id, item)

    def _item(self, part: str, **fields: Any) -> Body:
        """An item of the message that comes next."""
        name = item_id(self._turn_id, len(self.messages), part)
        return {"id": name, "turn_id": self._turn_id, **fields}

    def _put(
        self,
        kind: str,
        payload: Body,
        *,
        item_id: str | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        self._log.put(kind, payload, turn_id=self._turn_id, item_id=item_id, then=then)


def started(turn_id: str) -> tuple[NewEvent, ...]:
    """How a turn begins."""
    told = {"turn": {"id": turn_id, "status": "in_progress"}}
    return (NewEvent("turn.started", write_payload(told), turn_id),)


def first_events(turn_id: str, said: Body) -> tuple[NewEvent, ...]:
    """How a turn begins in which a user says something."""
    item = item_id(turn_id, 0, "said")
    told = {
        "id": item,
        "turn_id": turn_id,
        "kind": "user_message",
        "content": said["content"],
        "status": "completed",
    }
    return (
        *started(turn_id),
        NewEvent("item.completed", write_payload({"item": told}), turn_id, item),
        NewEvent("message.completed", write_payload({"message": said}), turn_id),
    )
