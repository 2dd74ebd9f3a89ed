"""Usage: every model call counted once, totals exact to the token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hansard
from hansard import Conflict, LimitReached, SessionService, UsageTotals
from hansard.core.usage import TOKENS_MAX, TOTAL_MAX, ModelUsage
from tests.places import Place
from tests.samples import call, compete, dialogue, snapshot, together

SUMS = """SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0),
    coalesce(sum(cache_write_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_nanousd), 0),
    count(*) - count(cost_nanousd) FROM usage_entries"""


async def test_deltas_add_up(record: SessionService) -> None:
    await record.create(session_id="s")
    first = await record.update_token_usage(
        "s", event_id="e1", input_tokens=10, cached_tokens=4, output_tokens=3, cost_nanousd=5
    )
    second = await record.update_token_usage(
        "s",
        event_id="e2",
        input_tokens=1,
        cache_write_tokens=1,
        output_tokens=9,
        reasoning_tokens=9,
    )
    assert first == UsageTotals(
        calls=1, input_tokens=10, cached_tokens=4, output_tokens=3, cost_nanousd=5
    )
    assert second == UsageTotals(
        calls=2,
        input_tokens=11,
        cached_tokens=4,
        cache_write_tokens=1,
        output_tokens=12,
        reasoning_tokens=9,
        cost_nanousd=5,
        unpriced_calls=1,
    )
    assert (await record.get("s")).usage == (await record.usage("s")).totals == second


async def test_event_counts_once(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")
    entry: dict[str, Any] = {"event_id": "e", "input_tokens": 7, "model": "m", "provider": "p"}
    first = await record.update_token_usage("s", **entry)
    await record.update_token_usage("s", event_id="later", input_tokens=5)
    before = place.dump()
    again = await record.update_token_usage("s", **entry)
    assert again == first
    assert place.dump() == before


async def test_event_of_a_turn_counts_once(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")
    entry = call("e", 7)
    receipt = await record.append_turn("s", dialogue(2), usage=[entry], turn_id="t")
    before = place.dump()
    assert await record.update_token_usage("s", event_id="e", input_tokens=7) == receipt.usage
    assert place.dump() == before


@pytest.mark.parametrize(
    "other", [{"input_tokens": 8}, {"model": "n"}, {"provider": "q"}, {"cost_nanousd": 1}]
)
async def test_event_with_other_content_is_a_conflict(
    record: SessionService, place: Place, other: dict[str, Any]
) -> None:
    await record.create(session_id="s")
    entry: dict[str, Any] = {"event_id": "e", "input_tokens": 7, "model": "m", "provider": "p"}
    await record.update_token_usage("s", **entry)
    before = place.dump()
    with pytest.raises(Conflict) as caught:
        await record.update_token_usage("s", **{**entry, **other})
    assert caught.value.code == "usage_conflict"
    assert place.dump() == before


async def test_call_counted_by_itself_is_not_counted_again_with_its_turn(
    record: SessionService,
) -> None:
    await record.create(session_id="s")
    await record.update_token_usage("s", event_id="e", input_tokens=7)
    receipt = await record.append_turn("s", dialogue(2), usage=[call("e", 7), call("f", 1)])
    assert (receipt.usage.calls, receipt.usage.input_tokens) == (2, 8)


async def test_concurrent_counts_are_exact(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")
    async with hansard.open(place.url) as other:
        await together(
            [
                (record, other)[n % 2].update_token_usage(
                    "s", event_id=f"e{n}", input_tokens=100, output_tokens=n, cost_nanousd=10**9
                )
                for n in range(50)
            ]
        )
    usage = (await record.usage("s")).totals
    assert usage == UsageTotals(
        calls=50, input_tokens=5_000, output_tokens=sum(range(50)), cost_nanousd=50 * 10**9
    )


async def test_concurrent_copies_of_one_event_count_once(record: SessionService) -> None:
    await record.create(session_id="s")
    await together(
        [record.update_token_usage("s", event_id="e", input_tokens=7) for _ in range(20)]
    )
    assert (await record.usage("s")).totals == UsageTotals(
        calls=1, input_tokens=7, unpriced_calls=1
    )


async def test_rivals_for_one_event_leave_one_winner(record: SessionService) -> None:
    await record.create(session_id="s")
    winners, errors = await compete(
        [record.update_token_usage("s", event_id="e", input_tokens=n) for n in range(10)]
    )
    assert (await record.usage("s")).totals == winners[0]
    assert [error.code for error in errors] == ["usage_conflict"] * 9


async def test_usage_is_told_apart_by_model(record: SessionService) -> None:
    await record.create(session_id="s")
    calls = [
        call("a", 1, provider="openai", model="gpt-4o"),
        call("b", 10, provider="azure", model="gpt-4o"),
        call("c", 100, provider="openai", model="gpt-4o", output_tokens=5),
        call("d", 1_000),
    ]
    await record.append_turn("s", dialogue(2), usage=calls[:2])
    await record.append_turn("s", dialogue(2), usage=calls[2:])
    usage = await record.usage("s")
    assert (usage.session_id, usage.turns) == ("s", 2)
    assert set(usage.models) == {
        ModelUsage(
            provider="", model="", totals=UsageTotals(1, input_tokens=1_000, unpriced_calls=1)
        ),
        ModelUsage(
            provider="azure",
            model="gpt-4o",
            totals=UsageTotals(1, input_tokens=10, cost_nanousd=25_000),
        ),
        ModelUsage(
            provider="openai",
            model="gpt-4o",
            totals=UsageTotals(2, input_tokens=101, output_tokens=5, cost_nanousd=302_500),
        ),
    }


counts = st.integers(0, TOKENS_MAX)
calls = st.fixed_dictionaries(
    {
        "input_tokens": counts,
        "output_tokens": counts,
        "cost_nanousd": st.none() | st.integers(0, 10**12),
    },
    optional={"model": st.sampled_from(["m", "n"]), "provider": st.sampled_from(["p", "q"])},
)


@given(turns=st.lists(st.lists(calls, min_size=1, max_size=4), max_size=4))
@settings(max_examples=20)
async def test_every_total_is_the_sum_of_the_entries(
    record: SessionService, place: Place, turns: list[list[dict[str, Any]]]
) -> None:
    session = await record.create()
    for entries in turns:
        await record.append_turn(session.id, [], usage=entries)
    usage = await record.usage(session.id)
    ((calls, *sums),) = place.execute(f"{SUMS} WHERE session_id = '{session.id}'")
    assert usage.totals == UsageTotals(calls, *map(int, sums))
    by_model = [model.totals for model in usage.models]
    for field in UsageTotals._fields:
        assert getattr(usage.totals, field) == sum(getattr(part, field) for part in by_model)


async def test_sum_that_no_counter_can_hold_is_refused(
    record: SessionService, place: Place
) -> None:
    await record.create(session_id="s")
    place.execute(f"UPDATE sessions SET cost_nanousd = {TOTAL_MAX}")
    before = place.dump()
    with pytest.raises(LimitReached):
        await record.append_turn("s", dialogue(1), usage=[call("large", 1, cost_nanousd=1)])
    assert place.dump() == before
    assert (await record.append_turn("s", dialogue(1), usage=[call("small", 1)])).usage.calls == 1


async def test_usage_survives_save_and_revert(record: SessionService) -> None:
    await record.create(session_id="s")
    await record.append_turn("s", dialogue(4), usage=[call("c", 5, model="m")])
    before = await record.usage("s")
    await record.save_messages("s", dialogue(2, "other"))
    await record.revert("s", 0)
    assert await record.usage("s") == before


async def test_reading_usage_changes_nothing(record: SessionService, place: Place) -> None:
    await record.create(session_id="s", messages=dialogue(2))
    before = place.dump()
    await snapshot(record, "s")
    assert place.dump() == before
