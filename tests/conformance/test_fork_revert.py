"""Fork and revert: a branch that shares a history, and a step back in one."""

from __future__ import annotations

from typing import Any

import pytest

from hansard import InvalidInput, SessionService, UsageTotals
from tests.places import Place
from tests.samples import bodies, call, collect, dialogue, snapshot, user


async def make(record: SessionService) -> None:
    await record.create(
        session_id="s", messages=dialogue(4), title="T", agent="a", metadata={"k": 1}
    )
    await record.append_turn("s", dialogue(2, "turn"), usage=[call("c", 5)], turn_id="t1")


@pytest.mark.parametrize(("index", "count"), [(None, 6), (0, 0), (1, 1), (5, 5), (6, 6)])
async def test_fork_shares_the_first_messages(
    record: SessionService, index: int | None, count: int
) -> None:
    await make(record)
    before = await snapshot(record, "s")
    fork = await record.fork("s", index)
    assert await snapshot(record, "s") == before
    assert (fork.parent_session_id, fork.forked_at_seq, fork.message_count) == ("s", count, count)
    assert (fork.agent, fork.metadata, fork.usage) == ("a", {"k": 1}, UsageTotals())
    parent = (await collect(record.messages("s")))[:count]
    child = await collect(record.messages(fork.id))
    assert [message.body for message in child] == [message.body for message in parent]
    assert [message.digest for message in child] == [message.digest for message in parent]
    assert fork == await record.get(fork.id)
    assert (await record.verify(fork.id)).ok


async def test_branches_go_their_own_ways(record: SessionService) -> None:
    await make(record)
    fork = await record.fork("s", 2)
    await record.append_messages(fork.id, [user("branch")], expected_seq=2)
    await record.revert("s", 1)
    assert await bodies(record, fork.id) == [*dialogue(2), user("branch")]
    assert await bodies(record, "s") == dialogue(1)


async def test_fork_of_a_fork_names_its_own_parent(record: SessionService) -> None:
    await make(record)
    child = await record.fork("s", 3)
    grandchild = await record.fork(child.id)
    assert (grandchild.parent_session_id, grandchild.forked_at_seq) == (child.id, 3)


async def test_fork_outlives_its_parent(record: SessionService) -> None:
    await make(record)
    fork = await record.fork("s")
    await record.delete("s")
    assert (await record.get(fork.id)).message_count == 6
    assert (await record.verify(fork.id)).ok


async def test_turn_of_the_parent_may_be_recorded_in_the_fork(record: SessionService) -> None:
    await make(record)
    fork = await record.fork("s")
    receipt = await record.append_turn(fork.id, dialogue(1), usage=[call("c", 9)], turn_id="t1")
    assert (receipt.first_seq, receipt.usage.input_tokens, receipt.replayed) == (6, 9, False)


@pytest.mark.parametrize("count", [0, 1, 4, 5])
async def test_revert_cuts_back(record: SessionService, count: int) -> None:
    await make(record)
    kept = (await collect(record.messages("s")))[:count]
    version = (await record.get("s")).version
    session = await record.revert("s", count)
    assert await collect(record.messages("s")) == kept
    assert (session.message_count, session.version) == (count, version + 1)
    assert session.digest == (kept[-1].digest if kept else "00" * 32)
    assert session.usage.input_tokens == 5
    assert session == await record.get("s")
    assert (await record.verify("s")).ok


async def test_revert_to_the_present_changes_nothing(record: SessionService, place: Place) -> None:
    await make(record)
    before = place.dump()
    await record.revert("s", 6)
    assert place.dump() == before


async def test_history_goes_on_after_a_revert(record: SessionService) -> None:
    await make(record)
    await record.revert("s", 3)
    receipt = await record.append_turn("s", [user("again")], turn_id="t2")
    assert receipt.first_seq == 3
    assert await bodies(record, "s") == [*dialogue(3), user("again")]
    spans = {
        turn.turn_id: (turn.first_seq, turn.last_seq)
        for turn in (await record.list_turns("s")).items
    }
    assert spans == {"t1": (None, None), "t2": (3, 3)}
    assert (await record.verify("s")).ok


@pytest.mark.parametrize("index", [-1, 7, 10**30])
async def test_index_out_of_range_is_refused(
    record: SessionService, place: Place, index: int
) -> None:
    await make(record)
    before = place.dump()
    for act in (record.fork, record.revert):
        with pytest.raises(InvalidInput) as caught:
            await act("s", index)
        assert caught.value.code == "index_out_of_range"
    assert place.dump() == before


@pytest.mark.parametrize("index", [1.0, "1", True])
async def test_index_that_is_no_whole_number_is_refused(
    record: SessionService, place: Place, index: Any
) -> None:
    await make(record)
    before = place.dump()
    for act in (record.fork, record.revert):
        with pytest.raises(InvalidInput):
            await act("s", index)
    assert place.dump() == before
