"""Histories: how the messages that a client sent relate to those that are stored.

    stored            sent                     the client          new          goes to the model
    (none)            M                        begins              M            M
    H                 H + N                    keeps the history   N            M
    P + X + S         P + S + N                keeps a part        N            M
    P + X             P + N                    went another way    N            M
    H                 N                        sends what is new   N            H + N

P is the beginning that both share, S the longest end of what is stored that follows it in
what was sent. Messages are compared in a form in which clients do not differ: ``null`` and
nothing are the same, and so are a text and its only part. Decision record 16 has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hansard.core import strict_json
from hansard.core.digest import GENESIS, chain
from hansard.core.errors import InvalidInput

WAYS: Final = ("auto", "full", "new")
"""What is sent: the whole history, what is new, or whatever it looks like."""

_INSTRUCTIONS: Final = frozenset({"system", "developer"})
_COMPARED: Final = ("role", "name", "content", "refusal", "tool_call_id", "function_call")
_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})
_NOT_SAID: Final = frozenset({"cache_control", "index"})  # marks of transport inside of parts

Body = Mapping[str, Any]


class Relation(NamedTuple):
    """How a sent list relates to the stored one.

    Attributes:
        keeps_history: The client sent what the model should see; otherwise the stored
            messages go before what is new.
        new_from: Where in the sent list the new messages begin.
    """

    keeps_history: bool
    new_from: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What of a session's messages is needed to relate a sent list to them.

    Attributes:
        count: How many there are.
        first: As many of the first as were sent, or more.
        last: As many of the last as were sent, or more.
    """

    count: int
    first: Sequence[Body]
    last: Sequence[Body]

    @classmethod
    def whole(cls, messages: Sequence[Body]) -> Stored:
        """All of them."""
        return cls(len(messages), messages, messages)


def continues(sent: Sequence[Body], count: int, digest: str) -> bool:
    """Tell by the digest chain whether a list begins with a history, without reading that.

    Args:
        sent: What a client sent.
        count: How many messages are stored.
        digest: The digest of the last of them, as hex.
    """
    if len(sent) < count:
        return False
    head = bytes.fromhex(digest) if count else GENESIS
    return _last_digest(sent[:count]) == head or _last_digest(map(plain, sent[:count])) == head


def relate(stored: Stored, sent: Sequence[Body], way: str = "auto") -> Relation:
    """Find out what of a sent list is new, and whether it is the whole history.

    Args:
        stored: The session's messages.
        sent: What a client sent.
        way: ``full`` or ``new`` where the client says which it is.

    Raises:
        InvalidInput: ``invalid_history``, if the way is none of ``WAYS``.
    """
    check_way(way)
    if not stored.count:
        return Relation(keeps_history=True, new_from=0)
    given = list(map(_form, sent))
    first = list(map(_form, stored.first))
    last = first if stored.last is stored.first else list(map(_form, stored.last))
    shared = _shared(first, given)
    if way == "new" or (
        way == "auto" and shared < stored.count and not _is_kept(first, last, given, shared)
    ):
        return Relation(keeps_history=False, new_from=_first_new(first, last, given))
    rest = last[-(stored.count - shared) :] if shared < stored.count else []
    return Relation(keeps_history=True, new_from=shared + _overlap(rest, given[shared:]))


def is_whole(sent: Sequence[Body], way: str = "auto") -> bool:
    """Tell whether a client surely keeps the history, where what is stored cannot be read."""
    return check_way(way) == "full" or (
        way == "auto" and any(message.get("role") == "assistant" for message in sent)
    )


def check_way(way: str) -> str:
    """Return a way of sending, if it is one.

    Raises:
        InvalidInput: ``invalid_history``.
    """
    if way not in WAYS:
        raise InvalidInput(f"the history must be one of {', '.join(WAYS)}", code="invalid_history")
    return way


def plain(message: Body) -> dict[str, Any]:
    """A message without the fields that say nothing.

    >>> plain({"role": "assistant", "content": "Hi", "refusal": None, "annotations": []})
    {'role': 'assistant', 'content': 'Hi'}
    """
    return {key: value for key, value in message.items() if value is not None and value != []}


class _Form(NamedTuple):
    """What is compared of a message."""

    role: str
    text: bytes


def _form(message: Body) -> _Form:
    said = {key: _said(message[key]) for key in _COMPARED if key in message}
    said["content"] = _content(message.get("content"))
    calls = message.get("tool_calls")
    said["tool_calls"] = [_call(call) for call in calls] if isinstance(calls, list) else calls
    compared = {key: value for key, value in said.items() if value not in _EMPTY}
    return _Form(str(message.get("role")), strict_json.canonicalize(compared))


def _content(content: Any) -> Any:
    """Content with its parts as they are compared; one text alone is that text."""
    if not isinstance(content, list):
        return content
    parts = [_said(part) for part in content]
    match parts:
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text
    return parts


def _call(call: Any) -> Any:
    """A tool call, with arguments of the same meaning written in one way."""
    said = _said(call)
    match said:
        case {"function": {"arguments": str(arguments)} as function}:
            said["function"] = {**function, "arguments": _arguments(arguments)}
    return said


def _arguments(text: str) -> Any:
    try:
        return strict_json.loads(text, depth_max=strict_json.DEPTH_MAX // 2)
    except InvalidInput:
        return text


def _said(value: Any) -> Any:
    """An object without what says nothing; anything else as it is."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in _NOT_SAID and item not in _EMPTY}


def _last_digest(messages: Any) -> bytes:
    digests = chain(GENESIS, map(strict_json.canonicalize, messages))
    return digests[-1] if digests else GENESIS


def _shared(held: Sequence[_Form], given: Sequence[_Form]) -> int:
    """How many messages both begin with."""
    count = 0
    for ours, theirs in zip(held, given, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _is_kept(
    first: Sequence[_Form], last: Sequence[_Form], given: Sequence[_Form], shared: int
) -> bool:
    """Tell whether a list that goes another way is a history all the same.

    It holds an answer, and one that was given here, or comes after what was said here.
    """
    answers = {form for form in given if form.role == "assistant"}
    if not answers:
        return False
    has_begun = any(form.role not in _INSTRUCTIONS for form in given[:shared])
    return has_begun or not answers.isdisjoint(first) or not answers.isdisjoint(last)


def _first_new(first: Sequence[_Form], last: Sequence[_Form], given: Sequence[_Form]) -> int:
    """Where the new messages begin in a list that holds nothing else.

    Instructions are not repeated that the history begins with, nor is a question that has
    had no answer yet: a client that tries again sends it again.
    """
    start = _shared(_instructions(first), _instructions(given))
    asked = given[start:]
    is_repeated = last[-len(asked) :] == asked and all(form.role != "assistant" for form in asked)
    return len(given) if is_repeated else start


def _instructions(forms: Sequence[_Form]) -> Sequence[_Form]:
    """The instructions that a list begins with."""
    count = 0
    while count < len(forms) and forms[count].role in _INSTRUCTIONS:
        count += 1
    return forms[:count]


def _overlap(held: Sequence[_Form], given: Sequence[_Form]) -> int:
    """Length of the longest end of ``held`` that ``given`` begins with (Knuth-Morris-Pratt)."""
    if not given:
        return 0
    borders = [0] * len(given)
    matched = 0
    for position in range(1, len(given)):
        matched = _advance(borders, given, matched, given[position])
        borders[position] = matched
    matched = 0
    for form in held:
        if matched == len(given):
            matched = borders[-1]
        matched = _advance(borders, given, matched, form)
    return matched


def _advance(borders: Sequence[int], pattern: Sequence[_Form], matched: int, form: _Form) -> int:
    """How much of the pattern ends with one form more."""
    while matched and pattern[matched] != form:
        matched = borders[matched - 1]
    return matched + 1 if pattern[matched] == form else 0
