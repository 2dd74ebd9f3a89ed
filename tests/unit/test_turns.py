"""Turns: what makes two turns the same turn."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from hansard.core.errors import InvalidInput
from hansard.core.ids import ID_MAX
from hansard.core.turns import SEQ_MAX, NewTurn, check_append, check_turn
from hansard.core.usage import NewUsage

MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
USAGE = [{"event_id": "call-1", "model": "m", "input_tokens": 3}]


def check(**changes: Any) -> NewTurn:
    given: dict[str, Any] = {
        "messages": MESSAGES,
        "usage": USAGE,
        "turn_id": "turn-1",
        "status": "completed",
        "expected_seq": None,
        "clock": lambda: 1_700_000_000_000_000,
        **changes,
    }
    return check_turn(given.pop("messages"), **given)


def test_same_content_is_the_same_turn() -> None:
    reordered = [dict(reversed(message.items())) for message in MESSAGES]
    later = check(messages=reordered, expected_seq=7, clock=lambda: 1)
    assert later.content_hash == check().content_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"messages": MESSAGES[:1]},
        {"messages": MESSAGES[::-1]},
        {"messages": [*MESSAGES, {"role": "user", "content": "", "name": None}]},
        {"messages": [{**MESSAGES[0], "name": "Ann"}, MESSAGES[1]]},
        {"messages": [MESSAGES[0], {**MESSAGES[1], "content": ["ho"]}]},
        {"usage": []},
        {"usage": [*USAGE, {"event_id": "call-2"}]},
        {"usage": [{**USAGE[0], "input_tokens": 4}]},
        {"usage": [{**USAGE[0], "event_id": "call-2"}]},
        {"usage": [{**USAGE[0], "cost_nanousd": 1}]},
    ],
)
def test_other_content_is_another_turn(changes: dict[str, Any]) -> None:
    assert check(**changes).content_hash != check().content_hash


CALL = NewUsage(
    event_id="e",
    input_tokens=9,
    cached_tokens=3,
    cache_write_tokens=3,
    output_tokens=9,
    input_audio_tokens=3,
)


@pytest.mark.parametrize("field", NewUsage.__struct_fields__)
def test_another_call_makes_another_turn(field: str) -> None:
    value: object = "x"
    if field.endswith(("tokens", "usd", "searches")):
        value = 10 if field == "input_tokens" else 2
    if field == "confidence":
        value = "estimated"
    changed = structs.replace(CALL, **{field: value})
    assert check(usage=[changed]).content_hash != check(usage=[CALL]).content_hash


def test_price_is_no_part_of_the_turn() -> None:
    prices = [check(pricing=lambda _call, _at_us, cost=cost: (cost, "v")) for cost in (1, 2)]
    assert prices[0].content_hash == prices[1].content_hash == check().content_hash
    assert [turn.usage[0].cost_nanousd for turn in prices] == [1, 2]


def test_call_of_before_there_were_prices_is_hashed_as_it_was() -> None:
    """A turn that was recorded then, and is sent again now, is the same."""
    known = "6383f558421c9b99cde36afc8380c006c5de8ac6b356f94cc0aea944d2200d9b"
    assert check().content_hash.hex() == known


def test_calls_without_an_id_get_one_from_the_turn() -> None:
    turn = check(usage=[{"model": "m"}, {"model": "m"}])
    assert turn.event_ids == ["turn-1.0", "turn-1.1"]


def test_calls_of_turns_with_long_ids_get_distinct_ids() -> None:
    turns = [check(turn_id="t" * (ID_MAX - 1) + end, usage=[{}]) for end in "ab"]
    event_ids = {event_id for turn in turns for event_id in turn.event_ids}
    assert len(event_ids) == 2
    assert max(map(len, event_ids)) <= ID_MAX


def test_turn_without_an_id_gets_one() -> None:
    made = {check(turn_id=None).turn_id for _ in range(10)}
    assert len(made) == 10
    assert all(turn_id and turn_id.startswith("turn_") for turn_id in made)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"turn_id": "a/b"}, "invalid_id"),
        ({"turn_id": ""}, "invalid_id"),
        ({"status": "done"}, "invalid_status"),
        ({"status": None}, "invalid_status"),
        ({"status": []}, "invalid_status"),
        ({"usage": {"model": "m"}}, "invalid_usage"),
        ({"usage": "m"}, "invalid_usage"),
        ({"usage": [{}] * 1_001}, "invalid_usage"),
        ({"usage": USAGE * 2}, "invalid_usage"),
        ({"messages": [], "usage": []}, "invalid_messages"),
        ({"messages": "hi"}, "invalid_messages"),
        ({"messages": {"role": "user"}}, "invalid_messages"),
        ({"messages": ["hi"]}, "invalid_messages"),
        ({"messages": [{"content": "hi"}]}, "invalid_role"),
        ({"messages": [{"role": "wizard"}]}, "invalid_role"),
        ({"messages": [{"role": ["user"]}]}, "invalid_role"),
        ({"messages": [{"role": "user", "content": float("nan")}]}, "invalid_json"),
        ({"expected_seq": -1}, "invalid_seq"),
        ({"expected_seq": 1.0}, "invalid_seq"),
        ({"expected_seq": True}, "invalid_seq"),
        ({"expected_seq": SEQ_MAX + 1}, "invalid_seq"),
    ],
)
def test_impossible_turn_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(**changes)
    assert caught.value.code == code


def test_refusal_names_the_message() -> None:
    with pytest.raises(InvalidInput) as caught:
        check(messages=[*MESSAGES, {"role": "wizard"}])
    assert caught.value.details == {"index": 2}


def test_appended_messages_belong_to_no_turn() -> None:
    turn = check_append(MESSAGES, expected_seq=2, clock=lambda: 5)
    assert (turn.turn_id, turn.usage, turn.expected_seq) == (None, [], 2)
    assert [message.created_at_us for message in turn.messages] == [5, 5]
