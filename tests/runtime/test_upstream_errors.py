"""The agent *upstream* against servers that say no."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest

from tests.runtime.upstreams import (
    DONE,
    HTML,
    STREAM_END,
    STREAM_HEAD,
    FakeUpstream,
    answer,
    ask,
    event,
    fail,
    piece,
    serving,
)

OPENAI_ERROR = {"error": {"message": "no such model", "type": "x", "param": None, "code": "y"}}


@pytest.mark.parametrize(
    ("status", "unmade"),
    [
        (400, ("call-1",)),
        (429, ("call-1",)),
        (408, ()),
        (500, ("call-1",)),
        (502, ()),
        (503, ("call-1",)),
        (504, ()),
        (529, ("call-1",)),
    ],
)
async def test_error_of_the_upstream_passes_on(
    stack: AsyncExitStack, status: int, unmade: tuple[str, ...]
) -> None:
    body = json.dumps(OPENAI_ERROR).encode()
    upstream = FakeUpstream(answer(body, status=f"{status} Oh", more="retry-after: 7\r\n"))
    failure = await fail(stack, upstream, ask(stream=True))
    assert (failure.code, failure.error.status) == ("upstream_refused", status)
    assert (failure.error.body, failure.error.unmade) == (body, unmade)
    assert dict(failure.error.headers)["retry-after"] == "7"
    assert "no such model" in str(failure.error)


async def test_error_of_a_server_that_is_not_the_models_is_unknown(stack: AsyncExitStack) -> None:
    failure = await fail(stack, FakeUpstream(answer(HTML, status="500 Oh")), ask())
    assert (failure.error.status, failure.error.unmade) == (500, ())


@pytest.mark.parametrize("status", [401, 402, 403, 407])
async def test_what_the_upstream_has_against_the_operator_stays_here(
    stack: AsyncExitStack, status: int
) -> None:
    body = b'{"error":{"message":"Incorrect API key provided: sk-proj-abc"}}'
    upstream = FakeUpstream(answer(body, status=f"{status} Oh", more="retry-after: 7\r\n"))
    failure = await fail(stack, upstream, ask(stream=True))
    assert (failure.code, failure.error.status) == ("upstream_refused", 502)
    assert (failure.error.body, failure.error.headers, failure.error.unmade) == (
        None,
        (),
        ("call-1",),
    )
    assert "sk-" not in str(failure.error)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize("named", ['"code":"401"', '"code":"invalid_api_key"'])
async def test_error_that_names_our_key_stays_here_whatever_its_status(
    stack: AsyncExitStack, status: str, named: str
) -> None:
    body = f'{{"error":{{"message":"Incorrect API key provided: sk-proj-abc",{named}}}}}'.encode()
    failure = await fail(stack, FakeUpstream(answer(body, status=status)), ask())
    assert (failure.error.status, failure.error.body, failure.error.unmade) == (
        502,
        None,
        ("call-1",),
    )
    assert "sk-" not in str(failure.error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":"model not found"}', "model not found"),
        (b'{"detail":"Not authenticated"}', "Not authenticated"),
        (HTML, "answered 404"),
        (b"", "answered 404"),
    ],
)
async def test_foreign_error_is_told_in_our_shape(
    stack: AsyncExitStack, body: bytes, said: str
) -> None:
    failure = await fail(stack, FakeUpstream(answer(body, status="404 Gone")), ask())
    assert failure.error.body is None
    assert said in str(failure.error)
    assert "html" not in str(failure.error)


async def test_redirection_is_not_followed(stack: AsyncExitStack) -> None:
    elsewhere = await stack.enter_async_context(serving(FakeUpstream()))
    moved = answer(b"", status="307 Moved", more=f"location: {elsewhere.url}\r\n")
    failure = await fail(stack, FakeUpstream(moved), ask())
    assert (failure.code, failure.error.status) == ("upstream_malformed", 502)
    assert not elsewhere.asked


async def test_error_with_status_200(stack: AsyncExitStack) -> None:
    body = b'{"error":{"message":"too many","code":429}}'
    failure = await fail(stack, FakeUpstream(answer(body)), ask())
    assert (failure.error.status, failure.error.body) == (429, body)
    assert failure.error.unmade == ("call-1",)


async def test_error_in_the_middle_of_a_stream(stack: AsyncExitStack) -> None:
    error = b'{"error":{"message":"overloaded","code":502},"choices":[]}'
    upstream = FakeUpstream(
        STREAM_HEAD, piece(event("a") + b"data: " + error + b"\n\n" + DONE), STREAM_END
    )
    failure = await fail(stack, upstream, ask(stream=True))
    assert (failure.wire.rstrip(), failure.error.status) == (event("a").rstrip(), 502)
    assert json.loads(failure.error.body or b"{}")["error"]["message"] == "overloaded"
    assert failure.error.calls[0].output_tokens == 1


async def test_stream_that_begins_with_an_error_has_its_status(stack: AsyncExitStack) -> None:
    error = b'data: {"error":{"message":"too many","code":429}}\n\n'
    failure = await fail(stack, FakeUpstream(STREAM_HEAD, piece(error)), ask(stream=True))
    assert (failure.wire, failure.error.status, failure.error.unmade) == (b"", 429, ("call-1",))
