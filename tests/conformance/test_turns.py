"""Turns: recorded whole, once, in order."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

import hansard
from hansard import (
    Conflict,
    InvalidInput,
    NewUsage,
    NotFound,
    Session,
    SessionService,
    TurnReceipt,
    UsageTotals,
)
from hansard.core.turns import STATUSES, make_chat_turn_id
from hansard.core.usage import UsageEntry
from tests.places import Place
from tests.samples import call, collect, compete, dialogue, snapshot, together, user

USAGE = call("c1", 10, output_tokens=4, cached_tokens=3, provider="openai", model="gpt-4o")


async def test_turn_is_recorded_with_all_its_parts(record: SessionService) -> None:
    version = (await record.create(session_id="s", messages=dialogue(1))).version + 1
    receipt = await record.append_turn("s", dialogue(2), usage=[USAGE], turn_id="t1")
    totals = UsageTotals(
        calls=1, input_tokens=10, output_tokens=4, cached_tokens=3, cost_nanousd=61_250
    )
    assert receipt == TurnReceipt(
        turn_id="t1", first_seq=1, last_seq=2, version=version, usage=totals, replayed=False
    )
    session = await record.get("s")
    assert (session.message_count, session.turn_count, session.usage) == (3, 1, totals)
    found = await collect(record.messages("s"))
    assert [message.turn_id for message in found] == [None, "t1", "t1"]
    (turn,) = (await record.list_turns("s")).items
    assert (turn.turn_id, turn.first_seq, turn.last_seq) == ("t1", 1, 2)
    assert (turn.status, turn.version, turn.usage) == ("completed", version, totals)


async def test_turn_without_id_gets_one(record: SessionService) -> None:
    await record.create(session_id="s")
    receipts = [await record.append_turn("s", [user("hi")]) for _ in range(3)]
    assert len({receipt.turn_id for receipt in receipts}) == 3
    assert (await record.get("s")).message_count == 3


async def test_turns_of_the_chat_server_are_nobody_elses(record: SessionService) -> None:
    """Their ids are told while they are under way."""
    await record.create(session_id="s")
    with pytest.raises(InvalidInput) as caught:
        await record.append_turn("s", [user("hi")], turn_id=make_chat_turn_id(1))
    assert caught.value.code == "invalid_turn_id"


@pytest.mark.parametrize("status", STATUSES)
async def test_status_is_kept(record: SessionService, status: str) -> None:
    await record.create(session_id="s")
    await record.append_turn("s", dialogue(1), status=status)
    assert [turn.status for turn in (await record.list_turns("s")).items] == [status]


async def test_turn_may_bring_usage_alone(record: SessionService) -> None:
    await record.create(session_id="s")
    receipt = await record.append_turn("s", [], usage=[NewUsage(event_id="e", input_tokens=5)])
    assert (receipt.first_seq, receipt.last_seq, receipt.usage.input_tokens) == (None, None, 5)


async def test_turn_sent_again_changes_nothing_and_gets_the_first_answer(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s")
    turn: dict[str, Any] = {"messages": dialogue(2), "usage": [USAGE], "turn_id": "t1"}
    first = await record.append_turn("s", **turn, expected_seq=0)
    await record.append_turn("s", dialogue(2), usage=[call("later", 99)])
    before = place.dump()
    again = await record.append_turn("s", **turn, expected_seq=0)
    reordered = [dict(reversed(message.items())) for message in dialogue(2)]
    once_more = await record.append_turn("s", **{**turn, "messages": reordered})
    assert again == once_more == replace(first, replayed=True)
    assert place.dump() == before


@pytest.mark.parametrize(
    "other",
    [
        {"messages": dialogue(1)},
        {"messages": dialogue(2, "other")},
        {"usage": []},
        {"usage": [{**USAGE, "output_tokens": 5}]},
        {"status": "failed"},
    ],
)
async def test_same_id_with_other_content_is_a_conflict(
    record: SessionService, place: Place, other: dict[str, Any]
) -> None:
    await record.create(session_id="s")
    turn: dict[str, Any] = {"messages": dialogue(2), "usage": [USAGE], "turn_id": "t1"}
    await record.append_turn("s", **turn)
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await record.append_turn("s", **{**turn, **other})
    assert caught.value.code == "turn_conflict"
    assert caught.value.details["turn_id"] == "t1"
    assert place.dump() == before


async def test_turn_ids_belong_to_their_session(record: SessionService) -> None:
    for session_id in ("a", "b"):
        await record.create(session_id=session_id)
        receipt = await record.append_turn(session_id, dialogue(2), usage=[USAGE], turn_id="t1")
        assert not receipt.replayed


async def test_refused_turn_leaves_no_part_behind(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")
    await record.update_token_usage("s", event_id="c2", input_tokens=1)
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await record.append_turn("s", dialogue(2), usage=[USAGE, call("c2", 2)], turn_id="t1")
    assert caught.value.code == "usage_conflict"
    assert caught.value.details["event_id"] == "c2"
    with pytest.raises(Conflict):
        await record.append_turn("s", dialogue(2), usage=[USAGE], expected_seq=1)
    assert place.dump() == before


async def test_concurrent_copies_of_one_turn_are_recorded_once(record: SessionService) -> None:
    await record.create(session_id="s")
    receipts = await together(
        [record.append_turn("s", dialogue(2), usage=[USAGE], turn_id="t1") for _ in range(20)]
    )
    assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 19
    assert len({replace(receipt, replayed=True) for receipt in receipts}) == 1
    session = await record.get("s")
    assert (session.message_count, session.turn_count, session.version) == (2, 1, 2)
    assert session.usage.input_tokens == 10


async def test_concurrent_rivals_for_one_id_leave_one_winner(record: SessionService) -> None:
    await record.create(session_id="s")
    receipts, errors = await compete(
        [record.append_turn("s", [user(f"{n}")], turn_id="t1") for n in range(20)]
    )
    assert len(receipts) == 1
    assert [error.code for error in errors] == ["turn_conflict"] * 19
    assert (await record.get("s")).message_count == 1


async def test_one_of_many_conditional_turns_wins(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(3))
    receipts, errors = await compete(
        [record.append_turn("s", dialogue(2), expected_seq=3) for _ in range(20)]
    )
    assert [receipt.first_seq for receipt in receipts] == [3]
    assert len(errors) == 19
    assert {(error.code, error.details["next_seq"]) for error in errors} == {("seq_conflict", 5)}


async def test_missing_session_is_made_on_request(record: SessionService) -> None:
    receipt = await record.append_turn("s", dialogue(2), turn_id="t1", create=True)
    again = await record.append_turn("s", dialogue(2), turn_id="t1", create=True)
    assert (receipt.first_seq, again) == (0, replace(receipt, replayed=True))
    assert (await record.get("s")).message_count == 2


async def test_concurrent_first_turns_share_one_new_session(record: SessionService) -> None:
    receipts = await together(
        [record.append_turn("s", [user(f"{n}")], turn_id=f"t{n}", create=True) for n in range(20)]
    )
    assert {receipt.first_seq for receipt in receipts} == set(range(20))


async def test_refused_first_turn_makes_no_session(record: SessionService) -> None:
    with pytest.raises(NotFound):
        await record.append_turn("s", dialogue(2), expected_seq=5, create=True)
    assert not await record.exists("s")


async def test_turns_are_listed_in_order_whatever_the_page(record: SessionService) -> None:
    await record.create(session_id="s")
    for n in range(7):
        await record.append_turn("s", dialogue(1), turn_id=f"t{n * 5 % 7}")
        await record.update("s", title=f"{n}")
    expected = [f"t{n * 5 % 7}" for n in range(7)]
    for limit in (1, 2, 3, 7, 100):
        found: list[str] = []
        cursor = None
        while True:
            page = await record.list_turns("s", limit=limit, cursor=cursor)
            found += [turn.turn_id for turn in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == expected


async def test_running_totals_stay_with_their_turn(record: SessionService) -> None:
    await record.create(session_id="s")
    for n in range(3):
        await record.append_turn("s", dialogue(1), usage=[call(f"c{n}", 10)])
    turns = (await record.list_turns("s")).items
    assert [turn.usage.input_tokens for turn in turns] == [10, 20, 30]


async def test_turn_appears_to_other_readers_whole(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")
    async with hansard.open(place.url) as reader:
        seen: list[Session] = []

        async def watch() -> None:
            while not seen or seen[-1].turn_count < 30:
                seen.append(await reader.get("s"))

        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            for n in range(30):
                group.create_task(record.append_turn("s", dialogue(3), usage=[call(f"c{n}", 1)]))
    for session in seen:
        assert session.message_count == 3 * session.turn_count
        assert session.usage.input_tokens == session.usage.calls == session.turn_count


async def test_replay_needs_no_reachable_seq(record: SessionService) -> None:
    await record.create(session_id="s")
    first = await record.append_turn("s", dialogue(2), turn_id="t1")
    await record.revert("s", 0)
    before = await snapshot(record, "s")
    assert await record.append_turn("s", dialogue(2), turn_id="t1") == replace(first, replayed=True)
    assert await snapshot(record, "s") == before


async def test_event_named_like_that_of_a_later_turn_is_a_conflict(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s")
    await record.append_turn("s", dialogue(2), usage=[call("later.0", 5)], turn_id="first")
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await record.append_turn("s", dialogue(2), usage=[{"input_tokens": 7}], turn_id="later")
    assert (caught.value.code, caught.value.details) == ("usage_conflict", {"event_id": "later.0"})
    assert place.dump() == before


class Kind(str, enum.Enum):  # noqa: UP042 - whose str() is its name
    """Texts that are more than texts, and whose names are others."""

    TOOL = "tool"
    DONE = "completed"
    NAME = "a,b"
    NULL = "NULL"


async def test_texts_of_enumerations_are_kept_as_texts(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s")
    entry = {"provider": Kind.NAME, "model": Kind.NULL, "event_id": Kind.TOOL}
    await record.append_turn(
        "s",
        [{"role": Kind.TOOL, "content": Kind.NAME}, {"role": "user", "content": ""}],
        usage=[entry],
        turn_id=Kind.DONE,
        status=Kind.DONE,
    )
    assert place.execute("SELECT role, body, turn_id FROM messages ORDER BY seq") == [
        ("tool", '{"role":"tool","content":"a,b"}', "completed"),
        ("user", '{"role":"user","content":""}', "completed"),
    ]
    told = place.execute("SELECT event_id, provider, model FROM usage_entries")
    assert told == [("tool", "a,b", "NULL")]
    assert place.execute("SELECT turn_id, status FROM turns") == [("completed", "completed")]


async def test_recorded_call_counts_as_the_call_that_it_is(record: SessionService) -> None:
    await record.create(session_id="s")
    new = NewUsage(event_id="e", model="m", input_tokens=3)
    recorded = UsageEntry(**structs.asdict(new), turn_id="of another", recorded_at_us=7)
    first = await record.append_turn("s", dialogue(2), usage=[recorded], turn_id="t")
    again = await record.append_turn("s", dialogue(2), usage=[new], turn_id="t")
    assert again == replace(first, replayed=True)
    later = await record.append_turn("s", dialogue(2), usage=[recorded], turn_id="u")
    assert later.usage == first.usage
