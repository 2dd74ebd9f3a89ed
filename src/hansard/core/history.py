"""Histories: how the messages that a client sent relate to those that are stored.

    stored            sent                     the client          new          goes to the model
    (none)            M                        begins              M            M
    H                 H + N                    keeps the history   N            M
    X + A             Y + A + N                has edited it       N            M
    P + X             P + N                    went another way    N            M
    H                 N                        sends what is new   N            H + N

A is an answer, which a client seldom changes; P is the beginning that both share, whatever
their instructions. Messages are compared in a form in which clients do not differ: ``null`` and
nothing are the same, and so are a text, that text trimmed, and a message's only part. Decision
record 16 has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hansard.core import strict_json
from hansard.core.digest import GENESIS, advance
from hansard.core.errors import InvalidInput

WAYS: Final = ("auto", "full", "new", "retry")
"""What is sent: the whole history, what is new, or whatever it looks like; or that once more."""

_INSTRUCTIONS: Final = frozenset({"system", "developer"})
_ANSWERING: Final = frozenset({"assistant", "tool"})
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
        held: How many of the stored messages go before what is new; None: all of them.
    """

    keeps_history: bool
    new_from: int
    held: int | None = None


def continues(sent: Sequence[Body], count: int, digest: str) -> bool:
    """Tell by the digest chain whether a list begins with a history, without reading that.

    Args:
        sent: What a client sent.
        count: How many messages are stored.
        digest: The digest of the last of them, as hex.
    """
    if len(sent) < count:
        return False
    as_sent = plainly = GENESIS
    for message in sent[:count]:
        text, said = strict_json.canonicalize(message), plain(message)
        as_sent = advance(as_sent, text)
        same = len(said) == len(message)
        plainly = advance(plainly, text if same else strict_json.canonicalize(said))
    return bytes.fromhex(digest) in {as_sent, plainly} if count else True


def find_new(end: Sequence[Body], count: int, sent: Sequence[Body]) -> int | None:
    """Find where the new messages begin in a list that holds the last stored answer.

    What a client has changed before that does not count: the date in its instructions, what it
    had looked up for a question. What stands after that answer in both is not new either: a
    question that has had no answer yet.

    Args:
        end: The last of the stored messages, as many as there are at hand.
        count: How many are stored.
        sent: What a client sent.

    Returns:
        None if the answer is not among ``end``, or was not sent back.
    """
    held, given = list(map(_form, end)), list(map(_form, sent))
    return _after_answer(held, given, before=count - len(end), last_only=True)


def relate(held: Sequence[Body], sent: Sequence[Body], way: str = "auto") -> Relation:
    """Find out what of a sent list is new, and whether it is the whole history.

    Args:
        held: The session's messages, all of them.
        sent: What a client sent.
        way: ``full`` or ``new`` where the client says which it is. With ``retry`` the last
            question may come again that has been answered, in vain: that is not new.

    Raises:
        InvalidInput: ``invalid_history``, if the way is none of ``WAYS``.
    """
    check_way(way)
    if not held:
        return Relation(keeps_history=True, new_from=0)
    ours, theirs = list(map(_form, held)), list(map(_form, sent))
    if way != "new":
        new_from = _after_answer(ours, theirs, last_only=True)
        shared = _shared_beginning(ours, theirs)
        if new_from is None and (way == "full" or _is_kept(ours, theirs, shared)):
            # the same answer may have been given twice: it is not gone back to the earlier one
            new_from = max(shared.sent, _after_answer(ours, theirs) or 0)
        if new_from is not None:
            return Relation(keeps_history=True, new_from=new_from)
    new_from = _first_new(ours, theirs)
    if way == "retry" and new_from < len(theirs):
        asked = _without_answer(ours)
        if _is_repeated(asked, theirs[new_from:]):
            return Relation(keeps_history=False, new_from=len(theirs), held=len(asked))
    return Relation(keeps_history=False, new_from=new_from)


def is_whole(sent: Sequence[Body], way: str = "auto") -> bool:
    """Tell whether a client surely keeps the history, where what is stored cannot be read."""
    return check_way(way) == "full" or (
        way != "new" and any(message.get("role") == "assistant" for message in sent)
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
    """Content with its parts as they are compared; one text alone is that text, trimmed."""
    parts = [_said(part) for part in content] if isinstance(content, list) else content
    match parts:
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text.strip()
    return parts.strip() if isinstance(parts, str) else parts


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


def _shared(held: Sequence[_Form], given: Sequence[_Form]) -> int:
    """How many messages both begin with."""
    count = 0
    for ours, theirs in zip(held, given, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


class _Shared(NamedTuple):
    """How far a beginning reaches that both lists share."""

    held: int
    sent: int
    has_talk: bool  # more than instructions


def _shared_beginning(held: Sequence[_Form], sent: Sequence[_Form]) -> _Shared:
    """Compare two beginnings; instructions that differ do not count where talk follows."""
    ours, theirs = len(_instructions(held)), len(_instructions(sent))
    talk = _shared(held[ours:], sent[theirs:])
    if talk:
        return _Shared(ours + talk, theirs + talk, has_talk=True)
    instructions = _shared(held, sent)
    return _Shared(instructions, instructions, has_talk=False)


def _is_kept(held: Sequence[_Form], sent: Sequence[_Form], shared: _Shared) -> bool:
    """Tell whether a list is the history, or one that went another way.

    That holds an answer, and one that was given here, or comes after what was said here.
    """
    answers = {form for form in sent if form.role == "assistant"}
    return shared.held == len(held) or (
        bool(answers) and (shared.has_talk or not answers.isdisjoint(held))
    )


def _after_answer(
    held: Sequence[_Form], sent: Sequence[_Form], *, before: int = 0, last_only: bool = False
) -> int | None:
    """Where what is new begins after the latest answer that was sent back; None if none was.

    Of an answer that was sent twice, the one counts that stands where it is stored, or else the
    later one. ``before`` messages are stored before ``held``.
    """
    places = {form: place for place, form in enumerate(sent) if form.role == "assistant"}
    answers = [place for place, form in enumerate(held) if form.role == "assistant"]
    for place in answers[-1:] if last_only else reversed(answers):
        stands_at = before + place
        is_in_place = sent[stands_at : stands_at + 1] == [held[place]]
        found = stands_at if is_in_place else places.get(held[place])
        if found is not None:
            return found + 1 + _already_asked(held[place + 1 :], sent[found + 1 :])
    return None


def _already_asked(held: Sequence[_Form], sent: Sequence[_Form]) -> int:
    """How much of what follows an answer is stored."""
    return len(sent) if _is_repeated(held, sent) else _shared(held, sent)


def _first_new(held: Sequence[_Form], sent: Sequence[_Form]) -> int:
    """Where the new messages begin in a list that holds nothing else.

    Instructions are not repeated that the history begins with, nor is a question that has
    had no answer yet: a client that tries again sends it again.
    """
    start = _shared(_instructions(held), _instructions(sent))
    return len(sent) if _is_repeated(held, sent[start:]) else start


def _is_repeated(held: Sequence[_Form], asked: Sequence[_Form]) -> bool:
    """Tell whether a history ends with this question."""
    return held[-len(asked) :] == asked and all(form.role != "assistant" for form in asked)


def _without_answer(held: Sequence[_Form]) -> Sequence[_Form]:
    """A history without what followed its last question."""
    count = len(held)
    while count and held[count - 1].role in _ANSWERING:
        count -= 1
    return held[:count]


def _instructions(forms: Sequence[_Form]) -> Sequence[_Form]:
    """The instructions that a list begins with."""
    count = 0
    while count < len(forms) and forms[count].role in _INSTRUCTIONS:
        count += 1
    return forms[:count]
