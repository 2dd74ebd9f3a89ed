"""Items: what the messages of a turn consist of, as a reader of a thread sees it.

    message m of a turn  ->  item_<turn>_<m>_<part>     part: said, text, reasoning or c<k>

The id of an item follows from its place, so what is told live and what is read from the record
later are the same item. A running turn is what its events say: ``fold`` makes its items and its
messages of them, also of one that was left in the middle of a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hansard.core.threads import REQUESTED, SETTLED, ThreadEvent

NO_RESULT: Final = "the tool gave no result"

_SETTLES: Final = frozenset(SETTLED.values())
_ASKS: Final = {event: kind for kind, event in REQUESTED.items()}

Item = dict[str, Any]
Body = Mapping[str, Any]


def item_id(turn_id: str, message: int, part: str) -> str:
    """Name an item by its place.

    >>> item_id("turn_01J", 1, "text")
    'item_01J_1_text'
    """
    return f"item_{turn_id.removeprefix('turn_')}_{message}_{part}"


def list_items(turn_id: str, messages: Sequence[Body], status: str = "completed") -> list[Item]:
    """Return the items of the messages of a turn that ended in some way.

    A tool's result belongs to the item of its call.
    """
    items: list[Item] = []
    calls: dict[str, Item] = {}
    for number, message in enumerate(messages):
        if message.get("role") == "tool":
            call = calls.get(str(message.get("tool_call_id")))
            if call is not None:
                call["result"] = message.get("content")
                call["status"] = result_status(message, status)
            continue
        for item in _items_of(turn_id, number, message):
            items.append(item)
            if item["kind"] == "tool_call":
                calls[item["tool"]["id"]] = item
    return items


def _items_of(turn_id: str, number: int, message: Body) -> Iterable[Item]:
    if message.get("role") != "assistant":
        part = {"kind": "user_message", "content": message.get("content")}
        yield _item(turn_id, number, "said", part)
        return
    if message.get("reasoning_content"):
        part = {"kind": "agent_reasoning", "text": message["reasoning_content"]}
        yield _item(turn_id, number, "reasoning", part)
    if message.get("content"):
        yield _item(turn_id, number, "text", {"kind": "agent_message", "text": message["content"]})
    calls = message.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        yield _item(turn_id, number, f"c{place}", {"kind": "tool_call", "tool": tool_of(call)})


def result_status(result: Body, status: str) -> str:
    """How the item of a call ended, of a turn that ended in some way.

    >>> result_status({"content": "free"}, "interrupted")
    'completed'
    >>> result_status({"content": NO_RESULT, "is_error": True}, "interrupted")
    'interrupted'
    """
    if not result.get("is_error"):
        return "completed"
    return "failed" if status == "completed" else status


def answered(
    said: Sequence[Body],
    rest: Sequence[dict[str, Any]],
    reason: str,
    results: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return the rest of a turn with a result for each call of a tool that has got none.

    Models demand one. It says why there is none, and is marked as an error; ``results`` are what
    calls gave that no message tells of.
    """
    told = {each.get("tool_call_id") for each in (*said, *rest) if each.get("role") == "tool"}

    def missing(message: Body) -> list[dict[str, Any]]:
        calls = [call_id for call_id in _calls_of(message) if call_id not in told]
        return [_result(call_id, reason, results or {}) for call_id in dict.fromkeys(calls)]

    whole = [result for message in said for result in missing(message)]
    for message in rest:
        whole += [message, *missing(message)]
    return whole


def with_answers(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a history as models take it: each call has a result, and none has a mark of ours.

    Turns of threads record results for all calls; histories from elsewhere may lack some.
    """
    if not any("tool_calls" in each or "is_error" in each for each in messages):
        return list(messages)  # most histories, and however long
    whole = answered((), messages, "interrupted")
    return [
        {name: value for name, value in each.items() if name != "is_error"}
        if "is_error" in each
        else each
        for each in whole
    ]


def _calls_of(message: Body) -> list[str]:
    calls = message.get("tool_calls") if message.get("role") == "assistant" else None
    return [tool_of(call)["id"] for call in calls] if isinstance(calls, list) else []


def _result(call_id: str, reason: str, results: Mapping[str, str]) -> dict[str, Any]:
    message = {"role": "tool", "tool_call_id": call_id}
    if call_id in results:
        return {**message, "content": results[call_id]}
    return {**message, "content": f"{reason}: {NO_RESULT}", "is_error": True}


def tool_of(call: Body) -> dict[str, Any]:
    """What is told of a tool's call, from one in a message of OpenAI's shape."""
    function = call.get("function") or {}
    return {
        "id": str(call.get("id", "")),
        "name": str(function.get("name", "")),
        "arguments": str(function.get("arguments", "")),
    }


def _item(turn_id: str, number: int, part: str, fields: Item) -> Item:
    return {
        "id": item_id(turn_id, number, part),
        "turn_id": turn_id,
        "status": "completed",
        **fields,
    }


@dataclass(slots=True)
class Folded:
    """A running turn, as its events tell it.

    Attributes:
        items: By id, in the order in which they began.
        messages: Those that are whole.
        usage: Of the model calls that were answered.
        waits: What nobody has answered yet, with its kind, by id.
        steer_count: How often something was said in it.
    """

    items: dict[str, Item] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)
    waits: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    steer_count: int = 0

    def open_waits(self, kind: str) -> list[dict[str, Any]]:
        """What readers were told of the approvals, questions or calls that are open."""
        return [told for each, told in self.waits.values() if each == kind]

    @property
    def results(self) -> dict[str, str]:
        """What calls of tools gave, also such as no message tells of yet."""
        calls = [item for item in self.items.values() if "result" in item]
        return {item["tool"]["id"]: item["result"] for item in calls}

    def unfinished(self) -> dict[str, Any] | None:
        """The message that was being said when the events end; None if none was."""
        open_ones = [item for item in self.items.values() if item["status"] == "in_progress"]
        texts = [item["text"] for item in open_ones if item["kind"] == "agent_message"]
        thoughts = [item["text"] for item in open_ones if item["kind"] == "agent_reasoning"]
        if not any([*texts, *thoughts]):
            return None
        message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
        return message


def fold(events: Iterable[ThreadEvent], into: Folded | None = None) -> Folded:
    """Make of the events of a turn what they say; ``into`` goes on from earlier ones."""
    folded = into or Folded()
    grown: dict[str, list[str]] = {}  # a long text is copied once for all of its pieces
    for event in events:
        payload = json.loads(event.payload)
        match event.kind:
            case "item.started" | "item.completed" | "item.failed" | "item.interrupted":
                item = payload["item"]
                known = folded.items.get(item["id"], {})
                grown.pop(item["id"], None)  # it tells the whole text
                folded.items[item["id"]] = {**known, **item}
            case "item.delta":
                assert event.item_id is not None
                grown.setdefault(event.item_id, []).append(payload["delta"])
            case "message.completed":
                folded.messages.append(payload["message"])
            case "usage.recorded":
                folded.usage.append(payload["call"])
            case "turn.steered":
                folded.steer_count += 1
            case kind if kind in _ASKS:
                folded.waits[payload["id"]] = (_ASKS[kind], payload)
            case kind if kind in _SETTLES:
                folded.waits.pop(payload["id"], None)
            case _:
                pass
    for name, pieces in grown.items():
        folded.items[name]["text"] += "".join(pieces)
    return folded
