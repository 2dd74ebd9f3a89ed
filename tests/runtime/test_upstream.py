"""The agent *upstream* against servers that answer well."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from hansard.core.errors import LimitReached
from hansard.runtime.agents.protocol import CallPlan, Completed, Grant, Head, Wire
from hansard.runtime.agents.proxies import find_proxy
from hansard.runtime.agents.upstream import Upstream
from tests.runtime.upstreams import (
    DONE,
    STREAM_END,
    STREAM_HEAD,
    FakeUpstream,
    OpenGate,
    answer,
    ask,
    collect,
    completion,
    ending,
    event,
    hang,
    piece,
    serving,
    usage_event,
    wired,
)

STREAM = (
    b": OPENROUTER PROCESSING\n\n" + event("Hel") + event("lo", odd={"kept": [1]}),
    event(finish_reason="stop", service_tier="flex"),
)


async def connect(stack: AsyncExitStack, upstream: FakeUpstream, **options: Any) -> Upstream:
    await stack.enter_async_context(serving(upstream))
    return await stack.enter_async_context(Upstream(upstream.url, **options))


async def test_whole_answer_passes_unchanged(stack: AsyncExitStack) -> None:
    body = json.dumps(completion(unknown={"of": "tomorrow"}, service_tier="default")).encode()
    upstream = FakeUpstream(answer(body))
    agent = await connect(stack, upstream, api_key="sk-test", provider="openai")
    events = await collect(agent, ask(seed=7, made_up_field=[1.5, None]))
    assert isinstance(events[0], Head)
    assert (events[0].status, dict(events[0].headers)["content-type"]) == (200, "application/json")
    assert wired(events) == body
    completed = ending(events)
    assert completed.messages == [{"role": "assistant", "content": "Hello"}]
    assert completed.finish_reason == "stop"
    (call,) = completed.calls
    assert (call.event_id, call.provider) == ("call-1", "openai")
    assert (call.model, call.model_asked) == ("model-that-answered", "model-asked")
    assert (call.input_tokens, call.output_tokens, call.confidence) == (9, 2, "provider_usage")
    (asked,) = upstream.asked
    assert "post /v1/chat/completions" in asked.head
    assert "authorization: bearer sk-test" in asked.head
    assert "accept-encoding: identity" in asked.head
    assert asked.body["made_up_field"] == [1.5, None]
    assert "stream_options" not in asked.body


async def test_stream_passes_unchanged_but_for_usage_that_nobody_wanted(
    stack: AsyncExitStack,
) -> None:
    upstream = FakeUpstream(STREAM_HEAD, *map(piece, (*STREAM, usage_event() + DONE)), STREAM_END)
    agent = await connect(stack, upstream)
    events = await collect(agent, ask(stream=True))
    head = events[0]
    assert isinstance(head, Head)
    assert dict(head.headers)["content-type"] == "text/event-stream; charset=utf-8"
    assert wired(events) == b"".join(STREAM) + DONE
    completed = ending(events)
    assert completed.messages == [{"role": "assistant", "content": "Hello"}]
    (call,) = completed.calls
    assert (call.input_tokens, call.output_tokens, call.service_tier) == (9, 2, "flex")
    assert upstream.asked[0].body["stream_options"] == {"include_usage": True}


async def test_usage_chunk_passes_to_a_client_that_asked(stack: AsyncExitStack) -> None:
    whole = b"".join(STREAM) + usage_event() + DONE
    upstream = FakeUpstream(STREAM_HEAD, piece(whole), STREAM_END)
    agent = await connect(stack, upstream)
    options = {"include_usage": True, "include_obfuscation": False}
    events = await collect(agent, ask(stream=True, stream_options=options))
    assert wired(events) == whole
    assert upstream.asked[0].body["stream_options"] == options


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_any_chunking_gives_the_same_answer(
    stack: AsyncExitStack, size: int, newline: bytes
) -> None:
    whole = (b"".join(STREAM) + usage_event() + DONE).replace(b"\n", newline)
    pieces = [piece(whole[at : at + size]) for at in range(0, len(whole), size)]
    agent = await connect(stack, FakeUpstream(STREAM_HEAD, *pieces, STREAM_END))
    options = {"include_usage": True}
    events = await collect(agent, ask(stream=True, stream_options=options))
    assert wired(events) == whole
    assert ending(events).messages == [{"role": "assistant", "content": "Hello"}]


async def test_first_token_does_not_wait_for_the_second(stack: AsyncExitStack) -> None:
    first = event("Hel")
    upstream = FakeUpstream(STREAM_HEAD, piece(first + b'data: {"id"'), behaviour=hang)
    agent = await connect(stack, upstream)
    run = agent.run(ask(stream=True))
    async with aclosing(run):
        assert isinstance(await anext(run), Head)
        assert await anext(run) == Wire(first)


async def test_connection_is_used_again(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, *map(piece, STREAM), piece(DONE) + STREAM_END)
    agent = await connect(stack, upstream)
    for _ in range(3):
        await collect(agent, ask(stream=True))
    assert upstream.connections == 1


async def test_stream_that_is_done_does_not_wait_for_the_end_of_its_connection(
    stack: AsyncExitStack,
) -> None:
    upstream = FakeUpstream(STREAM_HEAD, *map(piece, (*STREAM, DONE)), behaviour=hang)
    agent = await connect(stack, upstream)
    assert ending(await collect(agent, ask(stream=True))).finish_reason == "stop"


async def test_end_of_a_stream_is_marked(stack: AsyncExitStack) -> None:
    """Whatever its form: without a space, with other line ends, or with words after it."""
    for end in (DONE, b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", DONE + b": bye\n\n"):
        upstream = FakeUpstream(STREAM_HEAD, piece(b"".join(STREAM) + end), STREAM_END)
        agent = await connect(stack, upstream)
        events = await collect(agent, ask(stream=True))
        assert [each for each in events if isinstance(each, Wire)] == [
            Wire(b"".join(STREAM)),
            Wire(end, is_last=True),
        ]


async def test_call_ends_before_its_turn(stack: AsyncExitStack) -> None:
    class TimedGate(OpenGate):
        async def __call__(self, plan: CallPlan) -> Grant:
            return Grant(call_id="call-1", ended=lambda: ended.append(plan.model))

    ended: list[str] = []
    agent = await connect(stack, FakeUpstream(answer(json.dumps(completion()).encode())))
    async for each in agent.run(ask(gate=TimedGate())):
        assert bool(ended) is isinstance(each, Completed)


async def test_stream_without_done_is_whole_when_it_said_why_it_ends(
    stack: AsyncExitStack,
) -> None:
    upstream = FakeUpstream(STREAM_HEAD, *map(piece, STREAM), STREAM_END)
    agent = await connect(stack, upstream)
    (call,) = ending(await collect(agent, ask("x" * 400, stream=True))).calls
    assert (call.confidence, call.output_tokens) == ("estimated", 3)  # a chunk, a token
    assert call.input_tokens > 100


async def test_last_event_may_lack_its_blank_line(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, piece(STREAM[0] + DONE.strip()), STREAM_END)
    agent = await connect(stack, upstream)
    assert wired(await collect(agent, ask(stream=True))) == STREAM[0] + DONE.strip()


async def test_usage_told_with_every_chunk_is_not_summed(stack: AsyncExitStack) -> None:
    chunks = [
        event("a", usage={"prompt_tokens": 9, "completion_tokens": made, "total_tokens": 9 + made})
        for made in (1, 2, 3)
    ]
    upstream = FakeUpstream(STREAM_HEAD, piece(b"".join(chunks) + STREAM[1] + DONE), STREAM_END)
    agent = await connect(stack, upstream)
    (call,) = ending(await collect(agent, ask(stream=True))).calls
    assert (call.input_tokens, call.output_tokens) == (9, 3)


async def test_whole_answer_to_a_client_that_wanted_a_stream(stack: AsyncExitStack) -> None:
    body = json.dumps(completion()).encode()
    agent = await connect(stack, FakeUpstream(answer(body)))
    events = await collect(agent, ask(stream=True))
    assert wired(events) == body
    assert ending(events).calls[0].output_tokens == 2


async def test_packed_answer_is_unpacked(stack: AsyncExitStack) -> None:
    body = json.dumps(completion()).encode()
    packed = answer(gzip.compress(body), more="content-encoding: gzip\r\n")
    agent = await connect(stack, FakeUpstream(packed))
    events = await collect(agent, ask())
    assert wired(events) == body


async def test_openrouter_says_what_it_billed(stack: AsyncExitStack) -> None:
    body = json.dumps(completion()).replace('"total_tokens": 11', '"cost": 0.00001234567891')
    agent = await connect(stack, FakeUpstream(answer(body.encode())), provider="openrouter")
    (call,) = ending(await collect(agent, ask())).calls
    assert (call.cost_nanousd, call.confidence) == (12_346, "provider_cost")


async def test_model_that_is_not_named_has_no_price(stack: AsyncExitStack) -> None:
    body = json.dumps(completion(model=None)).encode()
    agent = await connect(stack, FakeUpstream(answer(body)))
    (call,) = ending(await collect(agent, ask())).calls
    assert (call.model, call.model_asked) == ("", "model-asked")


async def test_gate_sees_the_plan_and_sets_the_limit(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(answer(json.dumps(completion()).encode()))
    agent = await connect(stack, upstream, provider="openai")
    gate = OpenGate(output_tokens=30)
    await collect(agent, ask(gate=gate, max_tokens=100, n=2))
    await collect(agent, ask(gate=gate, max_completion_tokens=10))
    await collect(agent, ask(gate=gate))
    assert [plan.output_tokens for plan in gate.plans] == [200, 10, None]
    assert gate.plans[0].model == "model-asked"
    assert gate.plans[0].provider == "openai"
    limits = [
        {key: body[key] for key in ("max_tokens", "max_completion_tokens") if key in body}
        for _, body in upstream.asked
    ]
    assert limits == [
        {"max_tokens": 15},
        {"max_completion_tokens": 10},
        {"max_completion_tokens": 30},
    ]


async def test_closed_gate_keeps_the_upstream_unasked(stack: AsyncExitStack) -> None:
    class ClosedGate(OpenGate):
        async def __call__(self, plan: CallPlan) -> Grant:
            raise LimitReached("no money", code="budget_exceeded")

    upstream = FakeUpstream()
    agent = await connect(stack, upstream)
    with pytest.raises(LimitReached):
        await collect(agent, ask(gate=ClosedGate()))
    assert not upstream.asked


async def test_models_are_those_of_the_upstream(stack: AsyncExitStack) -> None:
    listed = [{"id": "m", "object": "model", "owned_by": "somebody", "context": 1}]
    body = json.dumps({"object": "list", "data": listed}).encode()
    upstream = FakeUpstream(answer(body))
    agent = await connect(stack, upstream, api_key="k")
    assert await asyncio.gather(*[agent.models() for _ in range(8)]) == [listed] * 8
    assert len(upstream.asked) == 1  # they are kept for a while
    assert "get /v1/models" in upstream.asked[0].head


async def test_many_streams_at_once_do_not_mix(stack: AsyncExitStack) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = upstream.asked[-1].body["messages"][0]["content"]
        for letter in text:
            writer.write(piece(event(letter)))
            await writer.drain()
        writer.write(piece(event(finish_reason="stop") + DONE) + STREAM_END)

    upstream = FakeUpstream(STREAM_HEAD, behaviour=echo)
    agent = await connect(stack, upstream)

    async def converse(text: str) -> None:
        completed = ending(await collect(agent, ask(text, stream=True)))
        assert isinstance(completed, Completed)
        assert completed.messages[0]["content"] == text

    async with asyncio.TaskGroup() as group:
        for number in range(32):
            group.create_task(converse(f"{number} " * 20))


async def test_proxy_of_the_environment_is_used(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FakeUpstream(answer(json.dumps(completion()).encode()))
    await stack.enter_async_context(serving(proxy))
    place = proxy.url.removeprefix("http://").removesuffix("/v1")
    monkeypatch.setenv("http_proxy", f"http://me:se%40cret@{place}")
    monkeypatch.setenv("no_proxy", "elsewhere.test")
    agent = await stack.enter_async_context(Upstream("http://upstream.test/v1"))
    await collect(agent, ask())
    assert "post http://upstream.test/v1/chat/completions" in proxy.asked[0].head
    assert "proxy-authorization: basic bwu6c2vay3jlda==" in proxy.asked[0].head
    assert find_proxy("http://elsewhere.test/v1") == (None, None)


def test_proxy_may_be_named_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.test:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    assert find_proxy("https://api.openai.com/v1") == ("http://proxy.test:3128", None)
