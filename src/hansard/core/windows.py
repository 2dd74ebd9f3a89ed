"""Windows: the last messages, turns or tokens of a history, cut where a model can begin.

A result is never in a window without its call. A call is known by its id, wherever the
provider puts it, so that it is found also when others spoke in between; where there is no
id, a window does not begin with a result (``is_safe_start``). To avoid it, a window by
messages or turns reaches further back than it was asked to, and one by tokens, which is a
bound, less far. A window on the whole history is always one.

A turn begins where ``turn_id`` changes. Messages outside of turns, as whole-list saves
leave them, count by what users say: each message of a user begins a turn of its own, and
what follows belongs to it.

The search costs time in proportion to the bytes shown, however many calls are sought: each
message is scanned once for all of them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hansard.core.errors import InvalidInput
from hansard.core.messages import StoredMessage
from hansard.core.paging import LIMIT_MAX

UNITS: Final = ("messages", "turns", "tokens")
COUNT_MAX: Final = 9_999_999  # tokens; more than any model takes
BYTES_PER_TOKEN: Final = 4  # of JSON, about; there is no tokenizer for every model
STEP: Final = 64  # messages looked at in one go where it is open how many there will be
REACH: Final = 256  # messages before a result among which its call is looked for

_TOOL_ANSWERS: Final = ('"tool_result"', '"function_call_output"')  # types of parts, of items
_RESULT = re.compile(r'"(?:tool_call_id|tool_use_id)":"([^"\\]+)"')
_CALL = re.compile(r'"id":"([^"\\]+)"')
_CALL_OR_OUTPUT = re.compile(r'"call_id":"([^"\\]+)"')


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a history is asked for: so many of a unit."""

    count: int
    unit: str = "messages"


def check_window(count: int, unit: str) -> Window:
    """Return a window that the face takes: whole ``messages`` and ``turns`` make one answer.

    Raises:
        InvalidInput: ``invalid_unit``, or ``invalid_limit`` if the count is not from 1 to
            ``LIMIT_MAX`` (tokens: to ``COUNT_MAX``).
    """
    if unit not in UNITS:
        raise InvalidInput(f"unit must be one of {', '.join(UNITS)}", code="invalid_unit")
    most = COUNT_MAX if unit == "tokens" else LIMIT_MAX
    if type(count) is not int or not 1 <= count <= most:
        raise InvalidInput(
            f"a number of {unit} must be a whole number from 1 to {most}", code="invalid_limit"
        )
    return Window(count, unit)


def is_safe_start(message: StoredMessage) -> bool:
    """Tell whether a window may begin here: not with a tool's answer to an earlier call."""
    return message.role != "tool" and not any(mark in message.text for mark in _TOOL_ANSWERS)


def estimate_tokens(text: str) -> int:
    """Estimate a message's tokens: a quarter of the bytes of its JSON text, rounded up.

    >>> estimate_tokens('{"role":"user","content":"Hi"}')
    8
    """
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


class Cut:
    """Finds where a window begins, shown a history from its last message back.

    Attributes:
        length: How many of the messages shown make the window, once it is found.
        found: Whether it is; no more messages are needed then.
    """

    def __init__(self, window: Window) -> None:
        self.length = 0
        self.found = False
        self._window = window
        self._shown = 0
        self._measured = 0
        self._later: StoredMessage | None = None
        # Calls whose results were shown, and where; the last shown is last. No plain dict:
        # removing its first entry again and again takes quadratic time.
        self._sought: OrderedDict[str, int] = OrderedDict()

    @property
    def step(self) -> int:
        """How many messages to look at next; one more than are missing tells that they suffice."""
        if self._window.unit != "messages" or self._shown > self._window.count:
            return STEP
        return min(self._window.count + 1 - self._shown, LIMIT_MAX)

    def show(self, messages: Iterable[StoredMessage], *, first: bool) -> None:
        """Look at the messages before; ``first`` tells that none are before these."""
        for message in messages:
            if not self._takes(message):
                self.found = True
                return
        if first:
            self.length = self._shown
            self.found = True

    def _takes(self, message: StoredMessage) -> bool:
        """Go on to a message, unless the window is complete without it."""
        measured = self._measured + self._measure(message)
        is_whole = self.length == self._shown or self._window.unit == "tokens"
        if measured > self._window.count and is_whole:
            return False
        self._measured = measured
        self._shown += 1
        self._later = message
        self._seek(message)
        if not self._sought and is_safe_start(message):
            self.length = self._shown
        return True

    def _measure(self, message: StoredMessage) -> int:
        match self._window.unit:
            case "tokens":
                return estimate_tokens(message.text)
            case "turns":
                return self._later is None or _begins_turn(self._later, message)
            case _:
                return 1

    def _seek(self, message: StoredMessage) -> None:
        """Add the calls that a message answers; remove those it makes, and those out of reach."""
        for call_id in _results(message.text):
            self._sought[call_id] = self._shown
            self._sought.move_to_end(call_id)
        while self._sought and self._shown - next(iter(self._sought.values())) >= REACH:
            self._sought.popitem(last=False)
        if self._sought:
            for call_id in _calls(message):
                self._sought.pop(call_id, None)


def _begins_turn(message: StoredMessage, before: StoredMessage) -> bool:
    if message.turn_id is not None:
        return message.turn_id != before.turn_id
    return message.role == "user" and is_safe_start(message)


def _results(text: str) -> list[str]:
    """Ids of the calls that a message holds results of."""
    outputs = _CALL_OR_OUTPUT.findall(text) if '"function_call_output"' in text else []
    return [*_RESULT.findall(text), *outputs]


def _calls(message: StoredMessage) -> list[str]:
    """Ids of the calls that a message makes, among other ids."""
    if message.role == "tool":
        return []
    text = message.text
    named = _CALL_OR_OUTPUT.findall(text) if '"function_call"' in text else []
    return [*_CALL.findall(text), *named]
