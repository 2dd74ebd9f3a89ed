"""Messages: what is kept of any JSON object."""

from __future__ import annotations

from typing import Any

import pytest

from hansard.core.errors import InvalidInput
from hansard.core.messages import MESSAGES_MAX, StoredMessage, check_any_messages
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


def test_unknown_role_is_kept_in_the_body_only() -> None:
    message = stored({"role": "wizard", "content": 1.0})
    assert message.role is None
    assert message.parsed().body == loads('{"role":"wizard","content":1.0}')


def test_message_is_stored_as_it_was_parsed() -> None:
    message = stored({"role": "user", "content": ["é", 1.0, None]})
    assert message.parsed().stored() == message


def test_more_messages_than_can_be_counted_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_any_messages([{}] * (MESSAGES_MAX + 1), lambda: 0)
    assert caught.value.code == "invalid_messages"
