"""The agent *upstream* against servers that answer badly: a clear error, and the bill."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, aclosing

import pytest

from hansard.runtime.agents.protocol import AgentFailed, Head
from hansard.runtime.agents.upstream import ENCODE_BYTES, Upstream
from hansard.runtime.agents.upstream_answers import UpstreamLimits
from tests.runtime.upstreams import (
    DONE,
    HTML,
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
    fail,
    failing,
    hang,
    hang_up,
    piece,
    reset,
    serving,
    usage_event,
    wired,
)

QUICK = UpstreamLimits(idle_s=0.3, total_s=0.6)


async def test_refused_connection_was_never_made() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with Upstream(f"http://127.0.0.1:{port}/v1") as agent:
            failure = await failing(agent, ask(stream=True))
    assert (failure.code, failure.error.status) == ("upstream_unreachable", 502)
    assert (failure.error.unmade, failure.error.calls) == (("call-1",), [])


async def test_full_pool_was_never_asked(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, piece(event("a")), behaviour=hang)
    await stack.enter_async_context(serving(upstream))
    limits = UpstreamLimits(connect_s=0.5, connections=1)
    agent = await stack.enter_async_context(Upstream(upstream.url, limits=limits))
    run = agent.run(ask(stream=True))
    async with aclosing(run):
        await anext(run)
        failure = await failing(agent, ask(stream=True))
    assert (failure.code, failure.error.status) == ("upstream_unreachable", 504)
    assert failure.error.unmade == ("call-1",)


async def test_retry_after_a_refused_connection_can_succeed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    upstream = FakeUpstream(answer(json.dumps(completion()).encode()))
    async with Upstream(f"http://127.0.0.1:{port}/v1") as agent:
        run = asyncio.ensure_future(anext(agent.run(ask())))
        await asyncio.sleep(0)
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", port)
        assert isinstance(await run, Head)
        server.close()
        await upstream.stop()


@pytest.mark.parametrize("stream", [True, False])
async def test_silent_upstream_is_unknown_to_the_ledger(
    stack: AsyncExitStack, *, stream: bool
) -> None:
    limits = UpstreamLimits(idle_s=0.2, total_s=60)
    failure = await fail(stack, FakeUpstream(behaviour=hang), ask(stream=stream), limits=limits)
    assert (failure.code, failure.error.status) == ("upstream_timeout", 504)
    assert (failure.error.unmade, failure.error.calls) == ((), [])


async def test_stream_that_stops_is_ended_and_billed_as_far_as_it_came(
    stack: AsyncExitStack,
) -> None:
    text = event("Half a ") + event("sentence")
    upstream = FakeUpstream(STREAM_HEAD, piece(text), behaviour=hang)
    failure = await fail(stack, upstream, ask(stream=True), limits=QUICK)
    assert (failure.code, failure.error.status) == ("upstream_timeout", 504)
    assert failure.wire == text
    assert failure.error.messages == [{"role": "assistant", "content": "Half a sentence"}]
    (call,) = failure.error.calls
    assert (call.event_id, call.confidence, call.output_tokens) == ("call-1", "estimated", 4)
    assert call.model == "model-that-answered"


async def test_stream_that_never_ends_is_ended(stack: AsyncExitStack) -> None:
    async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(piece(b": still there\n\n"))
            await writer.drain()
            await asyncio.sleep(0)

    upstream = FakeUpstream(STREAM_HEAD, piece(event("a")), behaviour=go_on)
    failure = await fail(stack, upstream, ask(stream=True), limits=QUICK)
    assert (failure.code, failure.error.status) == ("upstream_timeout", 504)
    assert failure.wire.startswith(event("a") + b": still there\n\n")


@pytest.mark.parametrize(
    ("end", "code"),
    [(reset, "upstream_disconnected"), (hang_up, "upstream_disconnected")],
)
async def test_connection_that_breaks_mid_stream(
    stack: AsyncExitStack, end: object, code: str
) -> None:
    assert callable(end)
    upstream = FakeUpstream(STREAM_HEAD, piece(event("a") + b'data: {"choi'), behaviour=end)
    failure = await fail(stack, upstream, ask(stream=True))
    assert (failure.code, failure.error.status, failure.wire) == (code, 502, event("a"))
    assert [call.confidence for call in failure.error.calls] == ["estimated"]


async def test_usage_that_came_before_the_break_counts(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, piece(event("a") + usage_event(9, 5)), behaviour=reset)
    failure = await fail(stack, upstream, ask(stream=True))
    (call,) = failure.error.calls
    assert (call.input_tokens, call.output_tokens, call.confidence) == (9, 5, "estimated")


async def test_usage_that_came_too_early_counts_for_less_than_what_was_read(
    stack: AsyncExitStack,
) -> None:
    """It is reported with each chunk, and what comes after the last report is not free."""
    upstream = FakeUpstream(
        STREAM_HEAD, piece(usage_event(9, 0) + event("x" * 400)), behaviour=reset
    )
    failure = await fail(stack, upstream, ask(stream=True))
    (call,) = failure.error.calls
    assert (call.input_tokens, call.output_tokens, call.confidence) == (9, 100, "estimated")


async def test_connection_that_breaks_before_the_answer(stack: AsyncExitStack) -> None:
    failure = await fail(stack, FakeUpstream(behaviour=reset), ask())
    assert (failure.code, failure.error.unmade) == ("upstream_disconnected", ())


async def test_stream_that_ends_in_the_middle(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, piece(event("a")), STREAM_END)
    failure = await fail(stack, upstream, ask(stream=True))
    assert (failure.code, failure.error.status) == ("upstream_incomplete", 502)
    assert failure.error.calls[0].output_tokens == 1


async def test_half_an_event_at_the_end(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, piece(event("a") + event("b")[:40]), STREAM_END)
    failure = await fail(stack, upstream, ask(stream=True))
    assert (failure.code, failure.wire) == ("upstream_malformed", event("a"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain"])
async def test_html_is_no_answer(stack: AsyncExitStack, kind: str, *, stream: bool) -> None:
    failure = await fail(stack, FakeUpstream(answer(HTML, kind=kind)), ask(stream=stream))
    assert failure.code in {"upstream_malformed", "upstream_incomplete"}
    assert (failure.error.status, failure.error.calls, failure.error.unmade) == (502, [], ())


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"choices":[]}', b'{"choices":"no"}', b""])
async def test_json_that_is_no_completion(stack: AsyncExitStack, body: bytes) -> None:
    failure = await fail(stack, FakeUpstream(answer(body)), ask())
    assert (failure.code, failure.error.status) == ("upstream_malformed", 502)


async def test_event_without_end_is_bounded(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(STREAM_HEAD, piece(b"data: " + b"x" * 3_000), behaviour=hang)
    failure = await fail(stack, upstream, ask(stream=True))
    assert failure.code == "upstream_too_large"


@pytest.mark.parametrize("stream", [True, False])
async def test_answer_without_end_is_bounded(stack: AsyncExitStack, *, stream: bool) -> None:
    upstream = FakeUpstream(STREAM_HEAD, *[piece(event("x" * 1_000))] * 12, behaviour=hang)
    if not stream:
        upstream = FakeUpstream(answer(b'"' + b"x" * 20_000 + b'"'))
    failure = await fail(stack, upstream, ask(stream=stream))
    assert failure.code == "upstream_too_large"


async def test_chunk_that_is_odd_passes_on(stack: AsyncExitStack) -> None:
    odd = b'data: {"choices":[{"index":null,"delta":{"content":"\\ud83d"},"n":1e999}]}\n\n'
    whole = odd + b"data: [5]\n\n" + event(finish_reason="stop") + DONE
    upstream = FakeUpstream(STREAM_HEAD, piece(whole), STREAM_END)
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    events = await collect(agent, ask(stream=True))
    assert wired(events) == whole
    assert [call.confidence for call in ending(events).calls] == ["estimated"]


async def test_upstream_that_knows_no_wish_for_usage_is_asked_without(
    stack: AsyncExitStack,
) -> None:
    async def choose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = b'{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs"}]}'
        knows = "stream_options" not in upstream.asked[-1].body
        writer.write(
            STREAM_HEAD + piece(event("a", finish_reason="stop") + DONE) + STREAM_END
            if knows
            else answer(told, status="422 No")
        )

    upstream = FakeUpstream(behaviour=choose)
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    for _ in range(2):
        events = await collect(agent, ask(stream=True))
        assert wired(events).endswith(DONE)
        assert len(ending(events).calls) == 1
    assert ["stream_options" in body for _, body in upstream.asked] == [True, False, False]
    refused = ask(stream=True, stream_options={"include_usage": True})
    assert (await failing(agent, refused)).error.status == 422
    await collect(agent, ask(stream=True, model="other"))  # each model has to say it
    assert [body["model"] for _, body in upstream.asked[-2:]] == ["other", "other"]


async def test_error_that_only_names_the_wish_for_usage_ends_no_wish(
    stack: AsyncExitStack,
) -> None:
    """As where a client asks for a model of that name."""
    told = b'{"error":{"message":"there is no model stream_options"}}'
    upstream = FakeUpstream(answer(told, status="400 No"))
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    for _ in range(2):
        assert (await failing(agent, ask(stream=True))).error.status == 400
    wished = ["stream_options" in body for _, body in upstream.asked]
    assert wished == [True, False, True, False]


async def test_call_that_is_cancelled_before_it_is_sent_was_never_made(
    stack: AsyncExitStack,
) -> None:
    """Its request is written anew with the limit that was granted, a large one beside the loop."""
    upstream = FakeUpstream(behaviour=hang)
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    gate = OpenGate(output_tokens=5)
    turn = asyncio.ensure_future(collect(agent, ask("x" * ENCODE_BYTES, gate=gate)))
    while not gate.plans:
        await asyncio.sleep(0)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await turn
    far = caught.value.__cause__
    assert isinstance(far, AgentFailed)
    assert (far.unmade, upstream.asked) == (("call-1",), [])


async def test_url_or_proxy_that_lets_nobody_through_was_never_asked(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FakeUpstream(answer(b"", status="403 No"))
    await stack.enter_async_context(serving(proxy))
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    for url in ("https://upstream.test/v1", "upstream.test/v1"):
        agent = await stack.enter_async_context(Upstream(url))
        assert (await failing(agent, ask())).error.unmade == ("call-1",)


@pytest.mark.parametrize(
    ("sent", "made"), [(0, 0), (9, 0), (0, 2), (10**11, 2), (9, 10**11), (9, 1_000_006)]
)
async def test_usage_that_cannot_be_is_estimated(
    stack: AsyncExitStack, sent: int, made: int
) -> None:
    usage = {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
    upstream = FakeUpstream(answer(json.dumps(completion(usage=usage)).encode()))
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    (call,) = ending(await collect(agent, ask(max_tokens=5))).calls
    assert (call.confidence, call.output_tokens) == ("estimated", 2)
    assert json.loads(call.raw or "") == usage


async def test_answer_without_text_may_have_taken_no_output(stack: AsyncExitStack) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    silent = [
        {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    ]
    upstream = FakeUpstream(answer(json.dumps(completion(choices=silent, usage=usage)).encode()))
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    (call,) = ending(await collect(agent, ask())).calls
    assert (call.confidence, call.output_tokens) == ("provider_usage", 0)


async def test_lying_usage_is_estimated(stack: AsyncExitStack) -> None:
    upstream = FakeUpstream(
        STREAM_HEAD,
        piece(event("abcdefgh") + usage_event(9, -5) + event(finish_reason="stop") + DONE),
        STREAM_END,
    )
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    *_, completed = [each async for each in agent.run(ask(stream=True))]
    (call,) = completed.calls  # type: ignore[union-attr]  # the last event is Completed
    assert (call.confidence, call.output_tokens) == ("estimated", 2)
    assert call.input_tokens > 0


async def test_cancelled_turn_ends_the_call(stack: AsyncExitStack) -> None:
    gone = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    upstream = FakeUpstream(STREAM_HEAD, piece(event("a")), behaviour=wait)
    await stack.enter_async_context(serving(upstream))
    agent = await stack.enter_async_context(Upstream(upstream.url))
    run = agent.run(ask(stream=True))
    await anext(run)
    await anext(run)
    reading = asyncio.ensure_future(anext(run))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await reading
    far = caught.value.__cause__
    assert isinstance(far, AgentFailed)
    assert far.messages == [{"role": "assistant", "content": "a"}]
    assert [call.confidence for call in far.calls] == ["estimated"]
    await asyncio.wait_for(gone.wait(), 10)


@pytest.mark.parametrize(
    "behaviour",
    [
        FakeUpstream(behaviour=reset),
        FakeUpstream(answer(HTML)),
        FakeUpstream(answer(b"{}", status="500 Oh")),
    ],
    ids=["reset", "html", "500"],
)
async def test_models_that_cannot_be_had(stack: AsyncExitStack, behaviour: FakeUpstream) -> None:
    await stack.enter_async_context(serving(behaviour))
    agent = await stack.enter_async_context(Upstream(behaviour.url))
    with pytest.raises(AgentFailed, match="does not list its models") as caught:
        await agent.models()
    assert caught.value.status == 502
