"""Messages: what a window may begin with."""

from __future__ import annotations

from typing import Any

import pytest

from hansard.core.errors import InvalidInput
from hansard.core.messages import MESSAGES_MAX, StoredMessage, check_any_messages, is_safe_start
from hansard.core.strict_json import loads


def stored(body: dict[str, Any]) -> StoredMessage:
    [message] = check_any_messages([body], lambda: 0)
    return StoredMessage(
        seq=0,
        message_id=message.message_id,
        turn_id=None,
        role=message.role,
        text=message.text,
        created_at_us=0,
        digest=bytes(32),
    )


@pytest.mark.parametrize(
    "body",
    [
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ],
)
def test_answer_of_a_tool_starts_no_window(body: dict[str, Any]) -> None:
    assert not is_safe_start(stored(body))


@pytest.mark.parametrize(
    "body",
    [
        {"role": "user", "content": 'what is a "tool_result"?'},
        {"role": "assistant", "tool_calls": [{"id": "c1"}], "content": None},
        {"type": "function_call", "call_id": "c1"},
        {},
    ],
)
def test_anything_else_does(body: dict[str, Any]) -> None:
    assert is_safe_start(stored(body))


def test_unknown_role_is_kept_in_the_body_only() -> None:
    message = stored({"role": "wizard", "content": 1.0})
    assert message.role is None
    assert message.parsed().body == loads('{"role":"wizard","content":1.0}')


def test_more_messages_than_can_be_counted_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_any_messages([{}] * (MESSAGES_MAX + 1), lambda: 0)
    assert caught.value.code == "invalid_messages"
