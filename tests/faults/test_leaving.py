"""Row 1, within one process: callers who go away, and a record that is closed under them."""

from __future__ import annotations

import asyncio
import random

from hansard import TurnReceipt, Unavailable
from hansard.compose import open_database
from tests.faults.harness import attempt, seed_told, send
from tests.faults.history import History, Sent, make_turn
from tests.faults.invariants import check_invariants

TURNS = 100
ROUNDS = 10


async def test_caller_who_goes_away_leaves_a_whole_turn_or_none(record_url: str) -> None:
    """Cancelled at any moment; then somebody sends the same turn again."""
    rng, history = random.Random(100), History()

    async def give_up(sent: Sent) -> None:
        task = asyncio.create_task(attempt(record, sent))
        for _ in range(rng.randint(0, 20)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await send(record, history, sent)

    async with open_database(record_url) as record:
        turns = [make_turn(rng, f"s{n % 3}", f"turn-{n}") for n in range(TURNS)]
        await asyncio.gather(*[give_up(sent) for sent in turns])
        await check_invariants(record, history)


async def test_closing_answers_every_caller(record_url: str) -> None:
    """With a receipt that holds, or with an error; nobody is left waiting."""
    history = History()
    for seed in range(ROUNDS):
        with seed_told(seed):
            rng = random.Random(seed)
            turns = [make_turn(rng, "s", f"{seed}.{n}") for n in range(30)]
            async with open_database(record_url) as record:
                calls = [asyncio.create_task(attempt(record, sent)) for sent in turns]
                for _ in range(rng.randint(1, 40)):
                    await asyncio.sleep(0)
            answers = await asyncio.gather(*calls, return_exceptions=True)
            async with open_database(record_url) as record:
                for sent, answer in zip(turns, answers, strict=True):
                    if isinstance(answer, TurnReceipt):
                        history.acknowledge(sent, answer)
                    else:
                        assert isinstance(answer, Unavailable)
                        await send(record, history, sent)
    async with open_database(record_url) as record:
        await check_invariants(record, history)
