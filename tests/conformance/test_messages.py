"""Messages: kept as given, numbered without gaps, read in windows."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansard import Conflict, SessionService
from tests import json_values
from tests.places import Place
from tests.samples import assistant, bodies, collect, dialogue, user

UNUSUAL: list[dict[str, Any]] = [
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"arguments": '{"a": 1}'}}]},
    {"zebra": 1, "role": "user", "apple": {"y": 1, "x": 2}, "content": ""},
    {"role": "tool", "content": [1, 1.0, -0.0, 1e300, 5e-324, 2**53 + 1, -(10**40), True, None]},
    {"role": "developer", "content": 'é 😀 \u2028 \ufeff \x7f \t\r\n " \\ </script> \\u0000'},
    {"role": "system", "content": None, "": {"": []}, "provider": {"blob": "x" * 100_000}},
]


async def test_messages_come_back_verbatim(record: SessionService) -> None:
    await record.create(session_id="s", messages=UNUSUAL[:1])
    await record.append_messages("s", UNUSUAL[1:2])
    await record.append_turn("s", UNUSUAL[2:4])
    await record.save_messages("s", UNUSUAL)
    found = await bodies(record, "s")
    assert [json.dumps(body) for body in found] == [json.dumps(body) for body in UNUSUAL]


@given(body=json_values.objects)
@settings(max_examples=25)
async def test_whatever_is_accepted_can_be_read_back(
    record: SessionService, body: dict[str, Any]
) -> None:
    session = await record.create(metadata=body, cost_data={"given": body})
    await record.append_messages(session.id, [{**body, "role": "user"}])
    await record.save_messages(session.id, [{**body, "role": "user"}, body])
    given = json.dumps([{**body, "role": "user"}, body])
    assert json.dumps(await bodies(record, session.id)) == given
    found = await record.get(session.id)
    assert json.dumps([found.metadata, found.cost_data]) == json.dumps([body, {"given": body}])
    assert (await record.verify(session.id)).ok


async def test_appended_messages_are_numbered_from_where_the_history_ends(
    record: SessionService,
) -> None:
    await record.create(session_id="s", messages=dialogue(2))
    receipt = await record.append_messages("s", dialogue(3))
    assert (receipt.first_seq, receipt.last_seq) == (2, 4)
    assert receipt.version == (await record.get("s")).version
    found = await collect(record.messages("s"))
    assert [message.seq for message in found] == [0, 1, 2, 3, 4]
    assert len({message.message_id for message in found}) == 5
    assert {message.turn_id for message in found} == {None}


async def test_appended_message_is_returned_as_recorded(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(1))
    message = await record.append_message("s", "tool", [{"type": "text"}], tool_call_id="c1")
    assert message.body == {"role": "tool", "content": [{"type": "text"}], "tool_call_id": "c1"}
    assert (message.seq, message.role) == (1, "tool")
    assert (await collect(record.messages("s")))[1] == message
    assert (await record.get("s")).digest == message.digest


async def test_wrong_expected_seq_says_where_the_winner_stands(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s", messages=dialogue(3))
    await record.append_messages("s", [user("fourth")], expected_seq=3)
    before = place.dump()
    for wrong in (0, 3, 5, 2**53 - 1):
        with pytest.raises(Conflict) as caught:
            await record.append_messages("s", [user("lost")], expected_seq=wrong)
        assert caught.value.code == "seq_conflict"
        assert caught.value.details["next_seq"] == 4
    assert place.dump() == before


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, range(7)),
        ({"after": 2}, range(3, 7)),
        ({"before": 2}, range(2)),
        ({"after": 1, "before": 5}, range(2, 5)),
        ({"after": 6}, range(0)),
        ({"after": 100}, range(0)),
        ({"before": 0}, range(0)),
        ({"before": 100}, range(7)),
        ({"after": 4, "before": 3}, range(0)),
    ],
)
async def test_bounds_are_exclusive(
    record: SessionService, bounds: dict[str, Any], expected: range
) -> None:
    await record.create(session_id="s", messages=dialogue(7))
    found = await collect(record.messages("s", **bounds))
    assert [message.seq for message in found] == list(expected)
    page = await record.list_messages("s", **bounds)
    assert page.items == tuple(found)
    backwards = await record.list_messages("s", **bounds, order="desc")
    assert backwards.items == tuple(reversed(found))


async def test_pages_of_any_size_make_the_same_whole(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(11))
    whole = tuple(await collect(record.messages("s")))
    for limit, order in itertools.product((1, 2, 3, 5, 10, 11, 12, 1_000), ("asc", "desc")):
        found: list[Any] = []
        bound: dict[str, int] = {}
        while True:
            page = await record.list_messages("s", limit=limit, order=order, **bound)
            assert len(page.items) <= limit
            found += page.items
            if page.next_cursor is None:
                break
            bound = {"after" if order == "asc" else "before": int(page.next_cursor)}
        assert tuple(found) == (whole if order == "asc" else whole[::-1])


async def test_pages_do_not_shift_when_messages_arrive(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(4))
    first = await record.list_messages("s", limit=2, order="desc")
    await record.append_messages("s", dialogue(3))
    assert first.next_cursor
    second = await record.list_messages("s", limit=2, order="desc", before=int(first.next_cursor))
    assert [message.seq for message in (*first.items, *second.items)] == [3, 2, 1, 0]


async def test_long_history_is_iterated_whole(record: SessionService) -> None:
    history = dialogue(2_345)
    await record.create(session_id="s", messages=history)
    found = await collect(record.messages("s"))
    assert [message.seq for message in found] == list(range(2_345))
    assert [message.body for message in found] == history


@given(split=st.lists(st.integers(1, 4), max_size=6))
@settings(max_examples=15)
async def test_digest_depends_on_the_history_alone(
    record: SessionService, split: list[int]
) -> None:
    history = dialogue(sum(split))
    whole = await record.create(messages=history)
    parts = await record.create()
    for count in split:
        done = (await record.get(parts.id)).message_count
        await record.append_messages(parts.id, history[done : done + count])
    assert (await record.get(parts.id)).digest == whole.digest


async def test_digest_tells_histories_apart(record: SessionService) -> None:
    histories = [[], [user("a")], [user("b")], [assistant("a")], [user("a"), user("b")]]
    digests = {(await record.create(messages=history)).digest for history in histories}
    assert len(digests) == len(histories)
