"""Recording turns, and what they cost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from behave import given, then, when

from features.conversations import conversation, exchange
from features.steps.messages import FLAWS

if TYPE_CHECKING:
    from behave.runner import Context

DOLLAR_NANOUSD = 1_000_000_000


@when('an agent records turn "{turn_id}" in session "{session_id}"')
def record_turn(context: Context, turn_id: str, session_id: str) -> None:
    turn = context.record.append_turn(session_id, conversation(context), turn_id=turn_id)
    context.receipt = context.call(turn)


@given(
    'session "{session_id}" has recorded turn "{turn_id}" with {input:d} input and {output:d} '
    "output tokens"
)
def has_recorded(context: Context, session_id: str, turn_id: str, input: int, output: int) -> None:
    usage = {"model": "gpt-4o", "input_tokens": input, "output_tokens": output}

    def send() -> Any:
        return context.record.append_turn(session_id, exchange(2), usage=[usage], turn_id=turn_id)

    context.send = send
    context.receipt = context.call(send())


@when("the same turn is sent again, since its answer was lost")
def send_again(context: Context) -> None:
    context.second_receipt = context.call(context.send())


@then("the answer is the first one, marked as replayed")
def is_replayed(context: Context) -> None:
    first, second = context.receipt, context.second_receipt
    assert (first.first_seq, first.last_seq) == (second.first_seq, second.last_seq)
    assert (first.version, first.usage) == (second.version, second.usage)
    assert not first.replayed
    assert second.replayed


@when('an agent tries to record turn "{turn_id}" in session "{session_id}" with other words')
def try_other_words(context: Context, turn_id: str, session_id: str) -> None:
    turn = context.record.append_turn(session_id, exchange(2, "other"), turn_id=turn_id)
    context.attempt(turn)


@when("an agent tries to record a turn whose second message {flaw}")
def try_flawed(context: Context, flaw: str) -> None:
    messages = [*exchange(1), FLAWS[flaw]]
    context.attempt(context.record.append_turn("lisbon", messages))


@then("the turn has messages {first:d} to {last:d}")
def turn_has(context: Context, first: int, last: int) -> None:
    assert (context.receipt.first_seq, context.receipt.last_seq) == (first, last)


@then('session "{session_id}" has {count:d} turn')
def has_turns(context: Context, session_id: str, count: int) -> None:
    page = context.call(context.record.list_turns(session_id))
    assert len(page.items) == count


@when('an agent records a turn in session "{session_id}" with these model calls')
def record_calls(context: Context, session_id: str) -> None:
    usage = [
        {
            "model": row["model"],
            "input_tokens": int(row["input_tokens"]),
            "output_tokens": int(row["output_tokens"]),
        }
        for row in context.table
    ]
    context.call(context.record.append_turn(session_id, exchange(2), usage=usage))


@then('session "{session_id}" has used {input:d} input and {output:d} output tokens')
def has_used(context: Context, session_id: str, input: int, output: int) -> None:
    totals = context.call(context.record.usage(session_id)).totals
    assert (totals.input_tokens, totals.output_tokens) == (input, output)
    context.session_id = session_id


@then('of these model "{model}" used {input:d} input and {output:d} output tokens')
def model_used(context: Context, model: str, input: int, output: int) -> None:
    parts = context.call(context.record.usage(context.session_id)).models
    (found,) = [part.totals for part in parts if part.model == model]
    assert (found.input_tokens, found.output_tokens) == (input, output)


@when(
    'a model call "{event_id}" of {input:d} input and {output:d} output tokens is counted in '
    'session "{session_id}"'
)
def count_call(context: Context, event_id: str, input: int, output: int, session_id: str) -> None:
    context.call(
        context.record.update_token_usage(
            session_id, event_id=event_id, input_tokens=input, output_tokens=output
        )
    )


@when(
    "{helpers:d} helpers each report {input:d} input and {output:d} output tokens in session "
    '"{session_id}" at the same time'
)
def count_at_once(context: Context, helpers: int, input: int, output: int, session_id: str) -> None:
    async def report() -> None:
        calls = (
            context.record.update_token_usage(
                session_id, event_id=f"helper-{n}", input_tokens=input, output_tokens=output
            )
            for n in range(helpers)
        )
        await asyncio.gather(*calls)

    context.call(report())


@when('{count:d} model calls of 0.1 dollars each are counted in session "{session_id}"')
def count_dimes(context: Context, count: int, session_id: str) -> None:
    for number in range(count):
        context.call(
            context.record.update_token_usage(
                session_id, event_id=f"dime-{number}", cost_nanousd=DOLLAR_NANOUSD // 10
            )
        )


@then('session "{session_id}" has cost exactly 1 dollar')
def has_cost(context: Context, session_id: str) -> None:
    totals = context.call(context.record.usage(session_id)).totals
    assert totals.cost_nanousd == DOLLAR_NANOUSD


@when('somebody tries to count {tokens:g} input tokens in session "{session_id}"')
def try_to_count(context: Context, tokens: float, session_id: str) -> None:
    count = int(tokens) if tokens.is_integer() and abs(tokens) < 1e15 else tokens
    context.attempt(
        context.record.update_token_usage(session_id, event_id="odd", input_tokens=count)
    )
