"""Chat completions as OpenAI's API writes them, whole or in chunks, read into one answer.

Every chunk is decoded once. What it holds is merged as OpenAI's own client merges it: texts
grow, lists grow by ``index``, anything else is replaced. Fields that nobody has heard of
are kept in the message like all others, and what is of another type than it should be is passed
over: an answer is broken only where it is no JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from hansard.core.errors import UpstreamFailed
from hansard.runtime.agents.event_stream import find_data

T = TypeVar("T")

MESSAGE_LENGTH_MAX: Final = 500  # of an upstream's message that is repeated in ours

_NULL: Final = Raw(b"null")
_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r){2}")
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ERROR_STATUSES: Final = frozenset(map(str, range(400, 600)))
_OF_OUR_KEY: Final = frozenset({"invalid_api_key", "authentication_error"})
_REPLACED: Final = frozenset({"id", "index", "name", "object", "role", "type"})
"""Texts that are repeated, not continued."""
_NOT_WRITTEN: Final = _REPLACED | {"finish_reason"}


class Part(Enum):
    """What a piece of an answer turned out to be."""

    ANSWER = auto()  # or a comment, or what else is neither of the others
    USAGE = auto()  # nothing but usage, which the client may not have asked for
    DONE = auto()
    ERROR = auto()


class _Choice(Struct, gc=False):
    index: int | None = None
    delta: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    finish_reason: str | None = None


class _Piece(Struct, gc=False):
    """A chunk, or a whole completion."""

    choices: list[_Choice] | None = None
    model: str | None = None
    service_tier: str | None = None
    usage: Raw = _NULL
    error: Raw = _NULL


_DECODER: Final = msgspec.json.Decoder(_Piece)


class _Growing(list[str]):
    """A text that comes in pieces; joined once, at the end."""


class _Message:
    """The message of one choice, as far as it has come."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.finish_reason: str | None = None

    def add(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            known = self.fields.get(name)
            if type(known) is _Growing and type(value) is str:
                known.append(value)
            elif value is not None:
                self.fields[name] = _merge(name, known, value)

    def finished(self) -> dict[str, Any]:
        fields = {name: _settle(value) for name, value in self.fields.items()}
        calls = fields.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict):
                    call.pop("index", None)  # of the stream, not of the message
        role = fields.pop("role", "assistant")
        return {"role": role, "content": fields.pop("content", None), **fields}


class AnswerReader:
    """Reads one answer, piece by piece.

    Attributes:
        model: The model that answered; empty if it was not said.
        usage: The usage object as JSON text; the last one counts, as they are cumulative.
        error: What came instead of an answer: a body with an ``error`` in it.
        chunks: How many pieces carried a part of the answer.
    """

    def __init__(self) -> None:
        self.model = ""
        self.service_tier = ""
        self.usage: bytes | None = None
        self.error: bytes | None = None
        self.chunks = 0
        self.is_done = False
        self._messages: dict[int, _Message] = {}

    def read(self, event: bytes) -> Part:
        """Read one event of a stream, as ``take`` does its data."""
        if event.startswith(_DATA):
            data = event[len(_DATA) :]
            try:
                piece = _DECODER.decode(data)
            except _UNREADABLE:
                pass  # the end, or an event of several lines
            else:
                return self._note(piece, data)
        found = (find_data(event) or b"").strip()
        return self.take(found) if found else Part.ANSWER

    def take(self, data: bytes) -> Part:
        """Read the data of one event, or a whole completion.

        Raises:
            UpstreamFailed: If it is no JSON.
        """
        try:
            piece = _DECODER.decode(data)
        except _UNREADABLE:
            if data.strip() == _DONE:
                self.is_done = True
                return Part.DONE
            piece = _read_loosely(data)
        return self._note(piece, data)

    def _note(self, piece: _Piece, data: bytes) -> Part:
        if piece.model:
            self.model = piece.model
        if piece.service_tier:
            self.service_tier = piece.service_tier
        has_usage = piece.usage != _NULL
        if has_usage:
            self.usage = bytes(piece.usage)
        if piece.choices:
            self.chunks += 1
            for choice in piece.choices:
                self._add(choice)
            return Part.ANSWER
        if piece.error != _NULL:
            self.error = data
            return Part.ERROR
        return Part.USAGE if has_usage else Part.ANSWER

    def _add(self, choice: _Choice) -> None:
        index = choice.index or 0
        message = self._messages.get(index)
        if message is None:
            message = self._messages[index] = _Message()
        delta = choice.delta or choice.message
        if delta:
            message.add(delta)
        if choice.finish_reason:
            message.finish_reason = choice.finish_reason

    @property
    def is_finished(self) -> bool:
        """Whether the answer is whole: it said so, or every choice has its reason to end."""
        reasons = [message.finish_reason for message in self._messages.values()]
        return self.is_done or (bool(reasons) and all(reasons))

    @property
    def finish_reason(self) -> str:
        """Why the first choice ended; empty if that was not said."""
        first = self._messages.get(min(self._messages, default=0))
        return (first and first.finish_reason) or ""

    def messages(self) -> list[dict[str, Any]]:
        """The first choice as a message; if there are more, they stand in ``other_choices``."""
        if not self._messages:
            return []
        (_, first), *others = sorted(self._messages.items())
        message = first.finished()
        if others:
            message["other_choices"] = [
                {
                    "index": index,
                    "message": other.finished(),
                    "finish_reason": other.finish_reason,
                }
                for index, other in others
            ]
        return [message]


def read_pieces(events: bytes) -> Iterator[tuple[str, str]]:
    """Return the pieces of the first choice's text and thinking in whole events of a stream.

    >>> list(read_pieces(b'data: {"choices":[{"delta":{"content":"Hi"}}]}'))
    [('content', 'Hi')]
    """
    for event in _BOUNDARY.split(events):
        data = (find_data(event) or b"").strip()
        if not data or data == _DONE:
            continue
        try:
            piece = _DECODER.decode(data)
        except _UNREADABLE:
            piece = _read_loosely(data)
        for choice in piece.choices or ():
            said = (choice.delta or choice.message or {}) if not choice.index else {}
            for name in ("reasoning_content", "content"):
                if isinstance(text := said.get(name), str) and text:
                    yield name, text


class ErrorBody(NamedTuple):
    """What an upstream's error says.

    Attributes:
        message: For people; empty if there is none.
        status: The HTTP status it names itself, or 0.
        is_openai_shaped: Whether OpenAI's clients understand it: an ``error`` with a message.
    """

    message: str = ""
    status: int = 0
    is_openai_shaped: bool = False


def read_error(body: bytes) -> ErrorBody:
    """Read an error body: OpenAI's, or one with ``error``, ``message`` or ``detail`` as text."""
    try:
        told = msgspec.json.decode(body)
    except _UNREADABLE:
        return ErrorBody()
    match told:
        case {"error": {"message": str(message)} as error}:
            return ErrorBody(message[:MESSAGE_LENGTH_MAX], _status(error), is_openai_shaped=True)
        case {"error": str(message)} | {"message": str(message)} | {"detail": str(message)}:
            return ErrorBody(message[:MESSAGE_LENGTH_MAX])
        case _:
            return ErrorBody()


def _status(error: dict[str, Any]) -> int:
    """The status that an error names: as its code, a number or a text, or in words; or 0."""
    code = str(error.get("code"))
    if not _OF_OUR_KEY.isdisjoint({code, str(error.get("type"))}):
        return HTTPStatus.UNAUTHORIZED
    return int(code) if code in _ERROR_STATUSES else 0


def text_bytes(written: Any) -> int:
    """Return the size of all that a model wrote, in messages or parts of them."""
    if isinstance(written, str):
        return len(written.encode(errors="replace"))
    if isinstance(written, dict):
        return sum(text_bytes(item) for key, item in written.items() if key not in _NOT_WRITTEN)
    if isinstance(written, list):
        return sum(map(text_bytes, written))
    return 0


def _merge(name: str, known: Any, new: Any) -> Any:
    """Continue a field with what came next; ``known`` is None at first."""
    if isinstance(new, str):
        if name in _REPLACED:
            return new or known
        if isinstance(known, _Growing):
            known.append(new)
            return known
        return _Growing([new])
    if isinstance(new, dict):
        known = known if isinstance(known, dict) else {}
        for key, value in new.items():
            if value is not None:
                known[key] = _merge(key, known.get(key), value)
        return known
    if isinstance(new, list):
        known = known if type(known) is list else []
        for item in new:
            _merge_item(known, item)
        return known
    return new


def _merge_item(items: list[Any], new: Any) -> None:
    """Continue the item that has the same ``index``, or begin another.

    Some upstreams give every tool call the index 0: another id is another call.
    """
    if isinstance(new, dict):
        index, id = new.get("index"), new.get("id")
        for item in reversed(items) if index is not None else ():
            if isinstance(item, dict) and item.get("index") == index:
                if id and item.get("id", id) != id:
                    break
                _merge("", item, new)
                return
        new = _merge("", None, new)
    items.append(new)


def _settle(value: Any) -> Any:
    """Join what has grown, at any depth."""
    if isinstance(value, _Growing):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _settle(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_settle(item) for item in value]
    return value


def _read_loosely(data: bytes) -> _Piece:
    """Read what the strict decoder does not: half of a surrogate pair, a field of another type.

    Raises:
        UpstreamFailed: ``upstream_malformed``, if it is no JSON.
    """
    try:
        told = json.loads(data.decode(errors="replace"))
    except (ValueError, RecursionError) as exc:
        raise UpstreamFailed(
            "the upstream's answer is no chat completion", code="upstream_malformed"
        ) from exc
    if not isinstance(told, dict):
        return _Piece()
    choices = told.get("choices")
    return _Piece(
        choices=list(map(_loose_choice, choices)) if isinstance(choices, list) else None,
        model=_as(str, told.get("model")),
        service_tier=_as(str, told.get("service_tier")),
        usage=_raw(told.get("usage")),
        error=_raw(told.get("error")),
    )


def _loose_choice(told: Any) -> _Choice:
    fields = told if isinstance(told, dict) else {}
    return _Choice(
        index=_as(int, fields.get("index")),
        delta=_as(dict, fields.get("delta")),
        message=_as(dict, fields.get("message")),
        finish_reason=_as(str, fields.get("finish_reason")),
    )


def _as(kind: type[T], value: Any) -> T | None:
    return value if isinstance(value, kind) else None


def _raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())
