"""Saving a whole list: writes only the difference, and keeps everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansard import Conflict, InvalidInput, NotFound, SessionService
from hansard.core.sessions import SaveReceipt
from tests.places import Place
from tests.samples import bodies, call, collect, compete, dialogue, snapshot, together, user


async def test_list_that_extends_the_history_writes_only_the_difference(
    record: SessionService,
) -> None:
    version = (await record.create(session_id="s", messages=dialogue(3))).version
    before = await collect(record.messages("s"))
    receipt = await record.save_messages("s", dialogue(5))
    assert receipt == SaveReceipt(version=version + 1, message_count=5, appended=2, replaced=0)
    after = await collect(record.messages("s"))
    assert after[:3] == before
    assert [message.body for message in after] == dialogue(5)


async def test_equal_list_changes_nothing(record: SessionService, place: Place) -> None:
    version = (await record.create(session_id="s", messages=dialogue(3))).version
    before = place.dump()
    reordered = [dict(reversed(message.items())) for message in dialogue(3)]
    for messages in (dialogue(3), reordered):
        receipt = await record.save_messages("s", messages)
        assert receipt == SaveReceipt(version=version, message_count=3, appended=0, replaced=0)
    assert place.dump() == before


async def test_list_that_departs_keeps_the_common_prefix(record: SessionService) -> None:
    version = (await record.create(session_id="s", messages=dialogue(5))).version
    before = await collect(record.messages("s"))
    wanted = [*dialogue(2), user("another"), *dialogue(3, "way")]
    receipt = await record.save_messages("s", wanted)
    assert receipt == SaveReceipt(version=version + 1, message_count=6, appended=4, replaced=3)
    after = await collect(record.messages("s"))
    assert after[:2] == before[:2]
    assert [message.body for message in after] == wanted
    ids = {message.message_id for message in before}
    assert not ids & {message.message_id for message in after[2:]}


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_shorter_list_cuts_the_history(record: SessionService, count: int) -> None:
    version = (await record.create(session_id="s", messages=dialogue(4))).version
    receipt = await record.save_messages("s", dialogue(count))
    assert receipt == SaveReceipt(
        version=version + 1, message_count=count, appended=0, replaced=4 - count
    )
    assert await bodies(record, "s") == dialogue(count)
    assert (await record.verify("s")).ok


async def test_unknown_session_is_made(record: SessionService) -> None:
    receipt = await record.save_messages("event:hook", dialogue(2))
    assert (receipt.message_count, receipt.appended, receipt.replaced) == (2, 2, 0)
    assert (await record.get("event:hook")).version == receipt.version


async def test_everything_else_survives(record: SessionService) -> None:
    fields: dict[str, Any] = {"title": "T", "metadata": {"a": 1}, "cost_data": {"tokens": 5}}
    await record.create(session_id="s", messages=dialogue(2), **fields)
    await record.append_turn("s", [user("x")], usage=[call("c", 5)], turn_id="t")
    before = await record.get("s")
    await record.save_messages("s", dialogue(9, "other"))
    after = await record.get("s")
    for name in ("title", "metadata", "cost_data", "usage", "turn_count", "created_at_us"):
        assert getattr(after, name) == getattr(before, name)


async def test_turns_keep_the_messages_that_stay(record: SessionService) -> None:
    await record.create(session_id="s")
    await record.append_turn("s", dialogue(2), turn_id="t1")
    await record.append_turn("s", dialogue(3), turn_id="t2")
    await record.save_messages("s", [*dialogue(2), *dialogue(1), user("new")])
    found = await collect(record.messages("s"))
    assert [message.turn_id for message in found] == ["t1", "t1", "t2", None]
    spans = [(turn.first_seq, turn.last_seq) for turn in (await record.list_turns("s")).items]
    assert spans == [(0, 1), (2, 2)]


async def test_any_object_may_be_saved(record: SessionService) -> None:
    strange: list[dict[str, Any]] = [{}, {"role": "wizard"}, {"role": 5}, {"type": "reasoning"}]
    await record.save_messages("s", strange)
    found = await collect(record.messages("s"))
    assert [message.body for message in found] == strange
    assert {message.role for message in found} == {None}


async def test_stale_version_is_a_conflict_and_changes_nothing(
    record: SessionService, place: Place
) -> None:
    version = (await record.create(session_id="s", messages=dialogue(2))).version
    await record.save_messages("s", dialogue(3), expected_version=version)
    before = place.dump()
    for messages in (dialogue(4), dialogue(3), []):
        with pytest.raises(Conflict) as caught:
            await record.save_messages("s", messages, expected_version=version)
        assert caught.value.code == "version_mismatch"
    with pytest.raises(NotFound):
        await record.save_messages("absent", dialogue(1), expected_version=1)
    assert place.dump() == before


async def test_one_of_many_conditional_saves_wins(record: SessionService) -> None:
    await record.create(session_id="s")
    winners, errors = await compete(
        [record.save_messages("s", dialogue(n + 1), expected_version=1) for n in range(20)]
    )
    assert len(winners) == 1
    assert {error.code for error in errors} == {"version_mismatch"}
    assert (await record.get("s")).message_count == winners[0].message_count


async def test_concurrent_first_saves_end_with_one_of_the_lists(record: SessionService) -> None:
    lists = [dialogue(3, f"writer {n}") for n in range(10)]
    await together([record.save_messages("s", messages) for messages in lists])
    assert await bodies(record, "s") in lists
    assert (await record.verify("s")).ok


async def test_saves_and_appends_at_once_leave_no_gap(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(3))

    async def save(n: int) -> object:
        return await record.save_messages("s", dialogue(n))

    async def append(n: int) -> object:
        return await record.append_messages("s", [user(f"{n}")])

    await together([(save, append)[n % 2](n) for n in range(20)])
    found = await collect(record.messages("s"))
    assert [message.seq for message in found] == list(range(len(found)))
    assert (await record.get("s")).message_count == len(found)
    assert (await record.verify("s")).ok


words = st.lists(st.sampled_from([user("a"), user("b")]), max_size=6)


@given(first=words, second=words)
@settings(max_examples=25)
async def test_receipt_names_exactly_the_difference(
    record: SessionService, first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    session = await record.create(messages=first)
    receipt = await record.save_messages(session.id, second)
    pairs = zip(first, second, strict=False)
    common = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    assert (receipt.appended, receipt.replaced) == (len(second) - common, len(first) - common)
    assert receipt.version == session.version + (first != second)
    whole = await record.create(messages=second)
    assert (await record.get(session.id)).digest == whole.digest


async def test_saved_history_may_be_appended_to(record: SessionService) -> None:
    await record.save_messages("s", dialogue(3))
    receipt = await record.append_turn("s", dialogue(2), expected_seq=3)
    assert receipt.last_seq == 4
    before = await snapshot(record, "s")
    await record.save_messages("s", [*dialogue(3), *dialogue(2)])
    assert await snapshot(record, "s") == before


class Watched(dict[str, Any]):
    """A message that asks, when it is checked, how often the loop has gone round."""

    def __init__(self, body: dict[str, Any], rounds: Callable[[], int]) -> None:
        super().__init__(body)
        self.rounds = rounds
        self.checked_at = 0

    def items(self) -> Any:
        self.checked_at = self.rounds()
        return super().items()


@pytest.mark.parametrize("way", ["save_messages", "create"])
async def test_others_go_on_while_a_long_list_is_checked(record: SessionService, way: str) -> None:
    rounds = 0
    first, last = (Watched(user("watched"), lambda: rounds) for _ in range(2))
    history = [first, *dialogue(50_000), last, user("\0")]  # and refused, which saves the writing
    act: dict[str, Callable[[], Awaitable[object]]] = {
        "save_messages": lambda: record.save_messages("s", history),
        "create": lambda: record.create(messages=history),
    }
    saving = asyncio.ensure_future(act[way]())
    while not saving.done():
        rounds += 1
        await asyncio.sleep(0)
    with pytest.raises(InvalidInput):
        await saving
    assert first.checked_at < last.checked_at


class Growing(dict[str, Any]):
    """A message that somebody adds to whenever it is looked at."""

    def items(self) -> Any:
        self["content"] += "."
        return super().items()


async def test_message_that_changes_while_it_is_checked_is_kept_in_one_piece(
    record: SessionService,
) -> None:
    await record.save_messages("s", [Growing(user("wait")) for _ in range(300)])
    assert (await record.verify("s")).ok


async def test_long_list_is_taken_as_it_was(record: SessionService) -> None:
    history = dialogue(1_000)
    saving = asyncio.ensure_future(record.save_messages("s", history))
    while not saving.done():
        history.append(user("later"))
        await asyncio.sleep(0)
    assert (await saving).message_count == 1_001  # with what was there when its task began
