"""Order under concurrency: gapless, whoever writes, whatever the clock says."""

from __future__ import annotations

import itertools

import pytest

import hansard
from hansard import SessionService
from tests.places import Place
from tests.samples import call, collect, compete, dialogue, together, user


async def test_fifty_appenders_of_one_session_leave_no_gap(record: SessionService) -> None:
    await record.create(session_id="s")
    receipts = await together(
        [record.append_messages("s", dialogue(1 + n % 3, f"{n}")) for n in range(50)]
    )
    spans = sorted((receipt.first_seq or 0, receipt.last_seq or 0) for receipt in receipts)
    assert spans[0][0] == 0
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(spans))
    assert {receipt.version for receipt in receipts} == set(range(2, 52))
    found = await collect(record.messages("s"))
    assert [message.seq for message in found] == list(range(spans[-1][1] + 1))
    assert (await record.verify("s")).ok


async def test_two_records_on_one_database_share_one_order(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s")
    async with hansard.open(place.url) as other:
        receipts = await together(
            [
                (record, other)[n % 2].append_turn(
                    "s", dialogue(2, f"{n}"), usage=[call(f"c{n}", 1)]
                )
                for n in range(50)
            ]
        )
    assert {receipt.first_seq for receipt in receipts} == set(range(0, 100, 2))
    session = await record.get("s")
    assert (session.message_count, session.turn_count, session.version) == (100, 50, 51)
    assert session.usage.input_tokens == 50
    assert (await record.verify("s")).ok


async def test_every_receipt_names_its_own_messages(record: SessionService) -> None:
    await record.create(session_id="s")
    receipts = await together([record.append_messages("s", [user(n)]) for n in range(40)])
    found = await collect(record.messages("s"))
    for n, receipt in enumerate(receipts):
        assert receipt.first_seq is not None
        assert found[receipt.first_seq].body == user(n)


async def test_many_sessions_are_written_at_once(record: SessionService) -> None:
    await together(
        [
            record.append_turn(f"s{n % 10}", [user(n)], turn_id=f"t{n}", create=True)
            for n in range(100)
        ]
    )
    for n in range(10):
        session = await record.get(f"s{n}")
        assert (session.message_count, session.turn_count) == (10, 10)
        assert (await record.verify(f"s{n}")).ok


async def test_good_turns_are_recorded_beside_bad_ones(record: SessionService) -> None:
    """One transaction may carry many callers' turns; each gets its own answer."""
    await record.create(session_id="s")
    await record.append_turn("s", [user("first")], turn_id="taken")
    calls = [
        [
            record.append_turn("s", [user(n)], turn_id=f"t{n}"),
            record.append_turn("s", [user(n)], turn_id="taken"),
            record.append_turn("absent", [user(n)]),
            record.append_turn("s", [user(n)], expected_seq=10_000),
        ]
        for n in range(16)
    ]
    receipts, errors = await compete([one for four in calls for one in four])
    assert {receipt.first_seq for receipt in receipts} == set(range(1, 17))
    codes = [error.code for error in errors]
    assert {code: codes.count(code) for code in codes} == {
        "turn_conflict": 16,
        "session_not_found": 16,
        "seq_conflict": 16,
    }


async def test_reader_never_sees_a_gap(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")

    async def watch(reader: SessionService) -> None:
        seen = 0
        while seen < 60:
            page = await reader.list_messages("s", limit=1_000)
            assert [message.seq for message in page.items] == list(range(len(page.items)))
            assert len(page.items) >= seen
            seen = len(page.items)

    async def write(n: int) -> None:
        await record.append_messages("s", dialogue(2, f"{n}"))

    async with hansard.open(place.url) as other:
        await together([watch(record), watch(other), *[write(n) for n in range(30)]])


async def test_delete_and_append_at_once_end_cleanly(record: SessionService, place: Place) -> None:
    empty = place.dump_content()
    await record.create(session_id="s", messages=dialogue(3))

    async def append(n: int) -> None:
        await record.append_turn("s", [user(n)], usage=[call(f"c{n}", 1)])

    _, errors = await compete([*[append(n) for n in range(20)], record.delete("s")])
    assert {type(error) for error in errors} <= {hansard.NotFound}
    assert place.dump_content() == empty


@pytest.mark.parametrize("count", [1, 3])
async def test_record_may_be_opened_again_and_again(place: Place, count: int) -> None:
    for n in range(count):
        async with hansard.open(place.url) as record:
            await record.append_turn("s", [user(n)], create=True)
            assert (await record.get("s")).message_count == n + 1
