"""Gates: what is known of a call that was let through, or was not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from hansard.compose import open_database
from hansard.core.errors import LimitReached, Unavailable
from hansard.core.prices import PriceBook
from hansard.runtime.agents.protocol import CallPlan
from hansard.runtime.gates import GRACE_S, GateKeeper, Prices, TurnGate
from hansard.runtime.observers import TurnStart, Watches
from hansard.runtime.patience import Patience
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import SILENT, record_prices

PLAN = CallPlan(provider="", model="m", input_tokens_bound=1)


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


def gate_of(
    record: DatabaseSessions, prices: Prices = record_prices, *, is_clamped: bool = False
) -> tuple[TurnGate, Patience]:
    """A gate, and what it waits with."""
    patience = Patience(60.0, record.check)
    keeper = GateKeeper(
        prices=prices,
        patience=patience,
        output_tokens=1,
        turn_s=1.0,
        is_record_required=False,
    )
    start = TurnStart(
        turn_id="t",
        tenant_id="default",
        session_id="s",
        agent="a",
        model=None,
        is_stream=False,
        at_us=0,
        headers=(),
    )
    gate = TurnGate(
        keeper,
        record,
        session_id="s",
        turn_id="t",
        agent="a",
        is_clamped=is_clamped,
        watch=Watches((), start, SILENT),
    )
    return gate, patience


async def test_stop_while_a_hold_is_taken_leaves_it_in_doubt(record: DatabaseSessions) -> None:
    asked = asyncio.Event()

    async def prices(_record: DatabaseSessions) -> PriceBook:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    gate, _ = gate_of(record, prices)
    taking = asyncio.ensure_future(gate(PLAN))
    await asked.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert (len(gate.doubtful), gate.granted) == (1, [])


async def test_each_choice_of_a_clamped_call_has_room(record: DatabaseSessions) -> None:
    await record.put_budget("b", scope="tenant", unit="tokens", limit_amount=127)
    gate, _ = gate_of(record, is_clamped=True)
    eight = replace(PLAN, choices=8, output_tokens=1_000)
    with pytest.raises(LimitReached) as refused:
        await gate(eight)
    assert refused.value.details["required"] == "129"
    assert (await gate(replace(eight, output_tokens=100))).output_tokens == 100


async def test_limit_of_ours_gives_each_choice_a_token(record: DatabaseSessions) -> None:
    await record.put_budget("b", scope="tenant", unit="tokens", limit_amount=1_000)
    gate, _ = gate_of(record)
    assert (await gate(replace(PLAN, choices=8))).output_tokens == 8


async def test_dearest_model_that_may_answer_is_held(record: DatabaseSessions) -> None:
    cheap, dear = (
        CallPlan(provider="openai", model=model, input_tokens_bound=1_000_000)
        for model in ("gpt-4o-mini", "gpt-4o")
    )
    either = replace(cheap, fallback_models=(dear.model,))
    await record.put_budget("b", scope="tenant", limit_amount=10_000_000_000)
    gate, _ = gate_of(record)
    for plan in (dear, either):
        await gate(plan)
    first, second = (await record.list_holds(state="open")).items
    assert first.amount_nanousd == second.amount_nanousd
    for unbounded in (
        replace(either, fallback_models=(dear.model, "nobody-knows")),
        replace(cheap, is_priced_by_tokens=False),
    ):
        with pytest.raises(LimitReached) as refused:
            await gate(unbounded)
        assert refused.value.code == "unpriced_model"


async def test_tenant_whose_calls_are_all_refused_is_known_to_have_a_budget(
    record: DatabaseSessions,
) -> None:
    await record.put_budget("b", scope="tenant", unit="tokens", limit_amount=1)
    gate, patience = gate_of(record)
    with pytest.raises(LimitReached):
        await gate(PLAN)

    async def is_gone() -> None:
        raise Unavailable("gone")

    with pytest.raises(Unavailable):
        await patience.wait(is_gone)
    with pytest.raises(Unavailable) as refused:
        await gate(PLAN)
    assert refused.value.code == "budget_unavailable"


async def test_hold_that_was_asked_for_without_an_answer_is_in_doubt(
    record: DatabaseSessions,
) -> None:
    await record.put_budget("b", scope="tenant", unit="tokens", limit_amount=1)
    gone = asyncio.Event()

    async def prices(record: DatabaseSessions) -> PriceBook:
        if gone.is_set():
            raise Unavailable("gone")
        return await record_prices(record)

    gate, _ = gate_of(record, prices)
    with pytest.raises(LimitReached):
        await gate(PLAN)
    gone.set()
    for _ in range(2):  # the second time, nobody asks
        with pytest.raises(Unavailable):
            await gate(PLAN)
    assert (len(gate.doubtful), gate.granted) == (1, [])


async def test_hold_is_no_less_than_the_call_may_cost_and_outlives_its_turn(
    record: DatabaseSessions,
) -> None:
    rates = (
        b'input_per_million = "0.0005"\noutput_per_million = "0.001"\nper_request = "0.000000003"'
    )
    await record.shelf.import_document("default", b'[[price]]\nmodel = "m"\n' + rates)
    gate, _ = gate_of(record)
    await gate(PLAN)
    (hold,) = (await record.list_holds(state="open")).items
    assert hold.amount_nanousd == 5  # 0.5 + 1 for tokens and 3 for the request
    assert hold.expires_at_us - hold.created_at_us > GRACE_S * 1_000_000
