"""Saying things, and reading what was said."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from behave import given, then, when

from features.conversations import conversation, exchange

if TYPE_CHECKING:
    from behave.runner import Context

    from hansard import Message, SessionService

FLAWS: dict[str, Any] = {
    "has an unknown role": {"role": "pilot", "content": "Cabin crew, please"},
    "holds half an emoji": {"role": "assistant", "content": "Have a nice flight \ud83d"},
    "holds a number that is no number": {"role": "assistant", "content": float("nan")},
}


async def read(record: SessionService, session_id: str) -> list[Message]:
    return [message async for message in record.messages(session_id)]


def bodies(context: Context, session_id: str) -> list[dict[str, Any]]:
    return [message.body for message in context.call(read(context.record, session_id))]


@then('the conversation of session "{session_id}" is')
def conversation_is(context: Context, session_id: str) -> None:
    assert bodies(context, session_id) == conversation(context)


@then('session "{session_id}" has {count:d} messages')
@then('session "{session_id}" has {count:d} message')
def has_messages(context: Context, session_id: str, count: int) -> None:
    session = context.call(context.record.get(session_id))
    assert session.message_count == len(bodies(context, session_id)) == count


@given('session "{session_id}" goes on with {count:d} messages')
def goes_on(context: Context, session_id: str, count: int) -> None:
    context.call(context.record.append_messages(session_id, exchange(count)))


@given('session "{session_id}" goes on with a tool call and its result')
def goes_on_with_tool(context: Context, session_id: str) -> None:
    call = {
        "id": "call-1",
        "type": "function",
        "function": {"name": "seats", "arguments": '{"row": 12}'},
    }
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "tool_call_id": "call-1", "content": '["A", "C"]'}
    context.call(context.record.append_messages(session_id, [asked, told]))


@when('an agent asks for the last {count:d} message of session "{session_id}"')
def ask_for_tail(context: Context, count: int, session_id: str) -> None:
    context.window = context.call(context.record.tail(session_id, count))


@then("the window begins with the tool call")
def window_begins_with_call(context: Context) -> None:
    assert [message.role for message in context.window] == ["assistant", "tool"]
    assert "tool_calls" in context.window[0].body


@when('{agents:d} agents each append {count:d} messages to session "{session_id}" at the same time')
def append_at_once(context: Context, agents: int, count: int, session_id: str) -> None:
    async def speak(agent: int) -> None:
        for body in exchange(count, f"agent {agent}:"):
            await context.record.append_messages(session_id, [body])

    async def all_speak() -> None:
        await asyncio.gather(*(speak(agent) for agent in range(agents)))

    context.call(all_speak())
    context.said = context.call(read(context.record, session_id))


@then("they are numbered from 0 without gaps")
def numbered(context: Context) -> None:
    assert [message.seq for message in context.said] == list(range(len(context.said)))


@then("the messages of each agent stand in the order in which it sent them")
def in_order(context: Context) -> None:
    heard = defaultdict(list)
    for message in context.said:
        agent, _, number = message.body["content"].partition(":")
        heard[agent].append(int(number))
    assert all(numbers == sorted(numbers) for numbers in heard.values())


@when('an agent tries to append to session "{session_id}" as message number {number:d}')
def try_to_append(context: Context, session_id: str, number: int) -> None:
    context.attempt(context.record.append_messages(session_id, exchange(1), expected_seq=number))


@when(
    'an agent saves the whole conversation of session "{session_id}" with {count:d} messages more'
)
def save_whole(context: Context, session_id: str, count: int) -> None:
    whole = [*bodies(context, session_id), *exchange(count, "more")]
    context.saved = context.call(context.record.save_messages(session_id, whole))


@then("{appended:d} messages were appended and {replaced:d} replaced")
def saved(context: Context, appended: int, replaced: int) -> None:
    assert (context.saved.appended, context.saved.replaced) == (appended, replaced)


@when('an agent appends this message to session "{session_id}"')
def append_this(context: Context, session_id: str) -> None:
    context.message = json.loads(context.text)
    context.call(context.record.append_messages(session_id, [context.message]))


@then('the last message of session "{session_id}" is the same, key for key')
def same_key_for_key(context: Context, session_id: str) -> None:
    (last,) = context.call(context.record.tail(session_id, 1))
    assert json.dumps(last.body) == json.dumps(context.message)
