"""The agent *scripted*: the same conversation always goes the same way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from hansard.core.errors import InvalidInput, LimitReached
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallPlan,
    Completed,
    Event,
    Grant,
    Reasoning,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
)
from hansard.runtime.agents.scripted import Scripted, read_script
from tests.runtime.upstreams import OpenGate, ask, collect, ending


def scripted(*lines: str) -> Scripted:
    return Scripted(read_script("\n".join(lines)))


def said(events: list[Event]) -> str:
    return "".join([event.text for event in events if isinstance(event, Text)])


def conversation(*said: str, **fields: Any) -> Request:
    messages = [
        {"role": "assistant" if number % 2 else "user", "content": text}
        for number, text in enumerate(said)
    ]
    return Request(body={"model": "m", "messages": messages, **fields}, gate=OpenGate())


async def test_echo_repeats_what_the_user_said_last() -> None:
    async with Scripted.open("echo") as agent:
        events = await collect(agent, conversation("Hi", "yes?", "Tell me  more "))
    assert said(events) == "Tell me  more "
    assert all(isinstance(event, Text | Completed) for event in events)
    completed = ending(events)
    assert completed.messages == [{"role": "assistant", "content": "Tell me  more "}]
    (call,) = completed.calls
    assert (call.event_id, call.model, call.confidence) == ("call-1", "scripted", "provider_usage")
    assert (call.input_tokens, call.output_tokens) == (6, 4)


async def test_parts_of_a_message_are_heard() -> None:
    parts = [{"type": "text", "text": "see "}, {"type": "image_url"}, {"type": "text", "text": "?"}]
    request = Request(
        body={"messages": [{"role": "user", "content": parts}]}, gate=OpenGate(), stream=True
    )
    assert said(await collect(Scripted(), request)) == "see ?"


async def test_place_in_the_conversation_chooses_the_line() -> None:
    agent = scripted("First.", "", "Second.")
    assert said(await collect(agent, conversation("a"))) == "First."
    assert said(await collect(agent, conversation("a"))) == "First."
    assert said(await collect(agent, conversation("a", "First.", "b"))) == "Second."
    assert said(await collect(agent, conversation("a", "1", "b", "2", "c"))) == "First."


async def test_line_may_claim_a_model_and_a_bill() -> None:
    agent = scripted(
        '{"defaults":{"model":"gpt-4o-mini","provider":"openai"}}',
        "Plain.",
        '{"text":"Dear.","service_tier":"flex","reasoning":"let me see",'
        '"usage":{"prompt_tokens":1000,"completion_tokens":50}}',
        '{"text":"Thought.","reasoning":"let me see"}',
    )
    plain = ending(await collect(agent, conversation("a"))).calls[0]
    assert (plain.provider, plain.model, plain.output_tokens) == ("openai", "gpt-4o-mini", 1)
    events = await collect(agent, conversation("a", "b", "c"))
    assert isinstance(events[0], Reasoning)
    dear = ending(events).calls[0]
    assert (dear.input_tokens, dear.output_tokens, dear.service_tier) == (1000, 50, "flex")
    assert dear.raw == '{"prompt_tokens":1000,"completion_tokens":50}'
    thought = ending(await collect(agent, conversation("a", "b", "c", "d", "e")))
    assert (thought.calls[0].output_tokens, thought.calls[0].reasoning_tokens) == (4, 3)
    assert thought.messages[0]["reasoning_content"] == "let me see"
    assert [model["id"] for model in await agent.models()] == ["gpt-4o-mini"]


async def test_plan_names_the_model_that_answers() -> None:
    gate = OpenGate()
    agent = scripted('{"text":"a","model":"gpt-4o","provider":"openai"}')
    await collect(agent, ask(gate=gate, max_tokens=7))
    (plan,) = gate.plans
    assert (plan.provider, plan.model, plan.output_tokens) == ("openai", "gpt-4o", 7)


async def test_tools_with_results_are_run_here() -> None:
    agent = scripted(
        '{"text":"It rains.","tools":[{"name":"weather","arguments":{"at":"Bonn"},'
        '"result":"rain"}]}'
    )
    gate = OpenGate()
    events = await collect(agent, ask(gate=gate))
    assert events[:2] == [
        ToolCalled("call-1-1", "weather", '{"at":"Bonn"}'),
        ToolReturned("call-1-1", "rain"),
    ]
    completed = ending(events)
    assert [message["role"] for message in completed.messages] == ["assistant", "tool", "assistant"]
    assert completed.messages[0]["tool_calls"][0]["function"]["name"] == "weather"
    assert [call.event_id for call in completed.calls] == ["call-1", "call-2"]
    assert completed.finish_reason == "stop"


async def test_tools_without_results_are_left_to_the_client() -> None:
    agent = scripted('{"tools":[{"name":"weather"}],"text":"never said"}')
    completed = ending(await collect(agent, ask()))
    assert completed.finish_reason == "tool_calls"
    assert [message["role"] for message in completed.messages] == ["assistant"]


@pytest.mark.parametrize(
    ("asked", "granted", "expected"),
    [
        ({"max_tokens": 2}, None, "one two"),
        ({}, 1, "one"),
        ({"max_completion_tokens": 2}, 9, "one two"),
    ],
)
async def test_limit_cuts_the_answer(
    asked: dict[str, Any], granted: int | None, expected: str
) -> None:
    completed = ending(
        await collect(scripted("one two three"), ask(gate=OpenGate(granted), **asked))
    )
    assert completed.messages[0]["content"] == expected
    assert completed.finish_reason == "length"


async def test_error_comes_after_what_was_said() -> None:
    agent = scripted(
        '{"text":"so far","error":{"message":"overloaded","code":"busy"},"status":529}'
    )
    events: list[Event] = []
    with pytest.raises(AgentFailed, match="overloaded") as caught:
        async for event in agent.run(ask()):
            events.append(event)  # noqa: PERF401 - they are needed although the loop fails
    assert said(events) == "so far"
    failed = caught.value
    assert failed.status == 529
    assert failed.body == b'{"error":{"message":"overloaded","code":"busy"}}'
    assert failed.calls[0].output_tokens == 2


class GateForOne(OpenGate):
    """Lets one call through."""

    async def __call__(self, plan: CallPlan) -> Grant:
        if self.plans:
            raise LimitReached("no more", code="budget_exceeded")
        return await super().__call__(plan)


async def test_refusal_of_a_later_call_keeps_the_bill_of_the_first() -> None:
    agent = scripted('{"text":"x","tools":[{"name":"t","result":"r"}]}')
    with pytest.raises(AgentFailed) as caught:
        await collect(agent, ask(gate=GateForOne()))
    assert (caught.value.status, caught.value.error.code) == (402, "budget_exceeded")
    assert [call.event_id for call in caught.value.calls] == ["call-1"]
    gate = GateForOne()
    await gate(CallPlan(provider="", model="", input_tokens_bound=1))
    with pytest.raises(LimitReached):
        await collect(agent, ask(gate=gate))


async def test_cancelled_turn_says_how_far_it_came() -> None:
    run = scripted('{"text":"one two","pause_s":1000}').run(ask())
    async with aclosing(run):
        assert await anext(run) == Text("one")
        waiting = asyncio.ensure_future(anext(run))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
    far = caught.value.__cause__
    assert isinstance(far, AgentFailed)
    assert far.messages == [{"role": "assistant", "content": "one"}]
    assert far.calls[0].output_tokens == 1


async def test_one_choice_only() -> None:
    with pytest.raises(InvalidInput):
        await collect(Scripted(), ask(n=2))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "no line"),
        ('fine\n{"texts":"x"}', "line 2"),
        ('{"text":1}', "line 1"),
        ('{"text":', "line 1"),
        ('{"defaults":3}', "line 1"),
    ],
)
def test_bad_script_is_refused(script: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_script(script)


def test_script_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "script.txt"
    file.write_text("Hello.\n")
    assert isinstance(Scripted.open(str(file)), Scripted)
    with pytest.raises(InvalidInput, match="cannot be read"):
        Scripted.open(str(tmp_path / "missing"))
