"""Sessions: made, changed and removed, the same in every place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import hansard
from hansard import Conflict, NotFound, Session, SessionService
from tests.places import Place
from tests.samples import bodies, call, compete, dialogue, snapshot, together

GENESIS = "00" * 32
FIELDS: dict[str, Any] = {
    "agent": "local/airline-agent",
    "title": "Rebooking ✈",
    "model": "gpt-4o",
    "system_prompt": "Be\nkind.",
    "metadata": {"b": 1, "a": {"deep": [None, 1.5, "é"]}},
    "cost_data": {"input_tokens": 7, "model": None},
}


async def test_created_session_reads_back(record: SessionService) -> None:
    made = await record.create(session_id="sess_1", messages=dialogue(3), **FIELDS)
    found = await record.get("sess_1")
    assert made == found
    assert {name: getattr(found, name) for name in FIELDS} == FIELDS
    assert list(found.metadata) == ["b", "a"]
    assert await bodies(record, "sess_1") == dialogue(3)


async def test_bare_session_is_empty(record: SessionService) -> None:
    session = await record.create()
    assert session.id.startswith("sess_")
    assert session == Session(
        id=session.id,
        owner=None,
        agent=None,
        title=None,
        model=None,
        system_prompt=None,
        metadata={},
        cost_data={},
        archived=False,
        legal_hold=False,
        parent_session_id=None,
        forked_at_seq=None,
        message_count=0,
        turn_count=0,
        version=1,
        usage=hansard.UsageTotals(),
        digest=GENESIS,
        created_at_us=session.created_at_us,
        updated_at_us=session.created_at_us,
    )
    assert await bodies(record, session.id) == []


async def test_ids_made_here_sort_by_time(record: SessionService) -> None:
    ids = [(await record.create()).id for _ in range(5)]
    assert len(set(ids)) == 5
    assert [id[:15] for id in ids] == sorted(id[:15] for id in ids)


async def test_taken_id_is_a_conflict_and_leaves_the_first_alone(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s", **FIELDS)
    before = place.dump()
    with pytest.raises(Conflict):
        await record.create(session_id="s", title="Another", messages=dialogue(2))
    assert place.dump() == before


@pytest.mark.parametrize("session_id", [".", "..", ":", "-", "import", "a:b.c_D-9", "x" * 128])
async def test_every_allowed_id_names_a_session(record: SessionService, session_id: str) -> None:
    await record.save_messages(session_id, dialogue(1))
    await record.append_turn(session_id, dialogue(1), turn_id=session_id)
    await record.update(session_id, title="T")
    session = await record.get(session_id)
    assert (session.id, session.title, session.message_count) == (session_id, "T", 2)
    assert (await record.list_turns(session_id)).items[0].turn_id == session_id
    assert (await record.verify(session_id)).ok
    await record.delete(session_id)
    assert not await record.exists(session_id)


async def test_concurrent_creates_of_one_id_make_one_session(record: SessionService) -> None:
    (made,), errors = await compete(
        [record.create(session_id="s", title=str(n)) for n in range(20)]
    )
    assert [type(error) for error in errors] == [Conflict] * 19
    assert await record.get("s") == made


async def test_exists_tells(record: SessionService) -> None:
    await record.create(session_id="s")
    assert await record.exists("s")
    assert not await record.exists("t")


async def test_ids_are_found_by_how_they_begin(record: SessionService) -> None:
    for session_id in ("ab", "abc", "abd", "a", "b", "AB", "ab_", "ab:1"):
        await record.append_turn(session_id, dialogue(1), create=True)
        await record.update(session_id, title="about ab")
    assert sorted(await record.find_ids("ab")) == sorted(["ab", "abc", "abd", "ab_", "ab:1"])
    assert await record.find_ids("abc") == ["abc"]
    assert await record.find_ids("x") == []
    assert len(await record.find_ids("a", limit=2)) == 2


UNKNOWN = {
    "get": lambda record: record.get("none"),
    "update": lambda record: record.update("none", title="x"),
    "update of nothing": lambda record: record.update("none"),
    "empty cost_data": lambda record: record.update("none", cost_data={}),
    "get_cost_data": lambda record: record.get_cost_data("none"),
    "delete": lambda record: record.delete("none"),
    "append_turn": lambda record: record.append_turn("none", dialogue(2)),
    "append_messages": lambda record: record.append_messages("none", dialogue(1)),
    "append_message": lambda record: record.append_message("none", "user", "hi"),
    "messages": lambda record: bodies(record, "none"),
    "list_messages": lambda record: record.list_messages("none"),
    "tail": lambda record: record.tail("none", 3),
    "list_turns": lambda record: record.list_turns("none"),
    "usage": lambda record: record.usage("none"),
    "update_token_usage": lambda record: record.update_token_usage("none", event_id="e"),
    "fork": lambda record: record.fork("none"),
    "revert": lambda record: record.revert("none", 0),
    "verify": lambda record: record.verify("none"),
    "export_session": lambda record: anext(record.export_session("none")),
    "events": lambda record: anext(record.events("none")),
}


@pytest.mark.parametrize("act", UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_unknown_session_is_not_found(record: SessionService, act: Any) -> None:
    await record.create(session_id="another")
    with pytest.raises(NotFound):
        await act(record)


async def test_update_changes_what_is_given(record: SessionService) -> None:
    before = await record.create(session_id="s", **FIELDS)
    receipt = await record.update("s", title="New", archived=True)
    after = receipt.session
    assert after == await record.get("s")
    assert set(receipt.changes) == {"title", "archived"}
    assert (after.title, after.archived, after.version) == ("New", True, before.version + 1)
    assert (after.metadata, after.cost_data) == (before.metadata, before.cost_data)
    assert after.updated_at_us >= before.updated_at_us
    assert after.created_at_us == before.created_at_us


async def test_update_of_nothing_changes_nothing(record: SessionService) -> None:
    before = await record.create(session_id="s", **FIELDS)
    receipt = await record.update("s")
    assert (receipt.session, receipt.changes) == (before, ())
    assert (await record.update("s", cost_data={})).session == before


async def test_none_clears_title_and_metadata(record: SessionService) -> None:
    await record.create(session_id="s", **FIELDS)
    after = (await record.update("s", title=None, metadata=None)).session
    assert (after.title, after.metadata) == (None, {})


async def test_metadata_is_replaced_whole(record: SessionService) -> None:
    await record.create(session_id="s", **FIELDS)
    await record.update("s", metadata={"c": 3})
    assert (await record.get("s")).metadata == {"c": 3}


async def test_cost_data_is_merged_per_top_level_key(record: SessionService) -> None:
    await record.create(session_id="s", cost_data={"a": {"x": 1}, "b": 1})
    await record.update("s", cost_data={"a": {"y": 2}, "c": None})
    await record.update("s", cost_data={"b": None})
    assert await record.get_cost_data("s") == {"a": {"y": 2}, "b": None, "c": None}


async def test_concurrent_updates_keep_every_key(record: SessionService) -> None:
    await record.create(session_id="s")
    await together([record.update("s", cost_data={f"key {n}": n}) for n in range(50)])
    assert await record.get_cost_data("s") == {f"key {n}": n for n in range(50)}
    assert (await record.get("s")).version == 51


async def test_stale_version_is_a_conflict_and_changes_nothing(
    record: SessionService, place: Place
) -> None:
    session = await record.create(session_id="s")
    await record.update("s", title="Mine", expected_version=session.version)
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await record.update("s", title="Yours", expected_version=session.version)
    assert caught.value.code == "version_mismatch"
    assert place.dump() == before


async def test_one_of_many_conditional_updates_wins(record: SessionService) -> None:
    await record.create(session_id="s")
    (winner,), errors = await compete(
        [record.update("s", title=f"{n}", expected_version=1) for n in range(20)]
    )
    assert [error.code for error in errors] == ["version_mismatch"] * 19
    assert await record.get("s") == winner.session


async def test_every_change_adds_one_to_the_version(record: SessionService) -> None:
    await record.create(session_id="s")
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: record.append_turn("s", dialogue(2), usage=[call("c", 1)], turn_id="t"),
        lambda: record.append_messages("s", dialogue(1)),
        lambda: record.append_message("s", "user", "hi"),
        lambda: record.update_token_usage("s", event_id="e", input_tokens=1),
        lambda: record.update("s", title="x"),
        lambda: record.update("s", cost_data={"a": 1}),
        lambda: record.save_messages("s", dialogue(6)),
        lambda: record.revert("s", 2),
    ]
    for number, change in enumerate(changes, 2):
        await change()
        assert (await record.get("s")).version == number


async def test_deleted_session_leaves_nothing_but_its_cost(
    record: SessionService, place: Place
) -> None:
    empty = place.dump_content()
    await record.create(session_id="s", messages=dialogue(4), **FIELDS)
    await record.append_turn("s", dialogue(2), usage=[call("c", 1, model="m")], turn_id="t")
    await record.update_token_usage("s", event_id="e", input_tokens=1)
    await record.delete("s")
    assert not await record.exists("s")
    assert place.dump_content() == empty
    with pytest.raises(NotFound):
        await record.delete("s")


async def test_deleting_leaves_other_sessions_alone(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(4), **FIELDS)
    await record.fork("s", 2)
    kept = (await record.fork("s", 3)).id
    before = await snapshot(record, kept)
    await record.delete("s")
    assert await snapshot(record, kept) == before


async def test_deleted_id_may_be_used_again(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(4))
    await record.append_turn("s", dialogue(2), usage=[call("c", 1)], turn_id="t")
    await record.delete("s")
    await record.create(session_id="s")
    receipt = await record.append_turn("s", dialogue(1), usage=[call("c", 5)], turn_id="t")
    assert (receipt.first_seq, receipt.usage.input_tokens, receipt.replayed) == (0, 5, False)


async def test_what_one_record_writes_another_reads(record: SessionService, place: Place) -> None:
    await record.create(session_id="s", messages=dialogue(2))
    async with hansard.open(place.url) as other:
        assert await snapshot(other, "s") == await snapshot(record, "s")
