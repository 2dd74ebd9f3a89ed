"""Chat completions with OpenAI's own client: answered, recorded, accounted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hansard.core.actors import Actor
from hansard.formats.prices import load_builtin
from hansard.server.app import key_service
from hansard.server.chat_opening import provider_at
from hansard.settings import AccessSettings
from tests.places import client_at
from tests.runtime.upstreams import (
    DONE,
    STREAM_END,
    STREAM_HEAD,
    FakeUpstream,
    answer,
    completion,
    event,
    piece,
    usage_event,
)
from tests.samples import assistant, user
from tests.server.chats import MODEL, Chat, chatting

WHOLE = answer(json.dumps(completion(model=MODEL)).encode(), more="x-ratelimit-remaining: 7\r\n")
EVENTS = (
    event("Hel", model=MODEL),
    event("lo", model=MODEL),
    event(finish_reason="stop", model=MODEL),
    usage_event(),
    DONE,
)
STREAM = STREAM_HEAD + b"".join(map(piece, EVENTS)) + STREAM_END


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> FakeUpstream:
    return FakeUpstream(getattr(request, "param", WHOLE))


@pytest.fixture
async def chat(record_url: str, tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Chat]:
    async with chatting(record_url, tmp_path, upstream) as chat:
        yield chat


@pytest.fixture
async def gatekeeper(
    sqlite_url: str, tmp_path: Path, upstream: FakeUpstream
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server whose database does not matter."""
    async with chatting(sqlite_url, tmp_path, upstream) as chat, client_at(chat.url) as client:
        yield client


def says(*messages: dict[str, Any], **more: Any) -> Any:
    """Arguments of a request."""
    return {"model": MODEL, "messages": list(messages), **more}


async def test_answer_is_passed_on_and_recorded(chat: Chat, upstream: FakeUpstream) -> None:
    raw = await chat.client("s").chat.completions.with_raw_response.create(**says(user("hi")))
    assert raw.parse().choices[0].message.content == "Hello"
    assert raw.content == WHOLE.partition(b"\r\n\r\n")[2]  # byte by byte
    assert raw.headers["x-session-id"] == "s"
    assert raw.headers["x-turn-id"].startswith("chat_")
    assert len(raw.headers["x-trace-id"]) == 32
    assert raw.headers["x-ratelimit-remaining"] == "7"
    assert upstream.asked[0].body == says(user("hi"))
    assert await chat.said("s") == [user("hi"), assistant("Hello")]
    session = await chat.record.get("s")
    assert (session.agent, session.model) == ("upstream", MODEL)
    assert (session.usage.input_tokens, session.usage.output_tokens) == (9, 2)
    assert session.usage.cost_nanousd == 9 * 150 + 2 * 600
    assert session.cost_data == {
        "input_tokens": 9,
        "output_tokens": 2,
        "cached_tokens": 0,
        "model": MODEL,
        "turn_count": 1,
    }
    assert (await chat.record.list_turns("s")).items[0].turn_id == raw.headers["x-turn-id"]


@pytest.mark.parametrize("upstream", [STREAM], indirect=True)
async def test_stream_is_passed_on_and_recorded_before_it_ends(
    chat: Chat, upstream: FakeUpstream
) -> None:
    stream = await chat.client("s").chat.completions.create(**says(user("hi"), stream=True))
    assert "".join([part.choices[0].delta.content or "" async for part in stream]) == "Hello"
    assert await chat.said("s") == [user("hi"), assistant("Hello")]
    assert (await chat.record.get("s")).usage.output_tokens == 2
    assert upstream.asked[0].body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("upstream", [STREAM], indirect=True)
async def test_stream_has_the_bytes_of_the_upstream(chat: Chat) -> None:
    body = says(user("hi"), stream=True, stream_options={"include_usage": True})
    async with client_at(chat.url) as client:
        raw = await client.post("/v1/chat/completions", json=body)
    assert raw.content == b"".join(EVENTS)
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_client_that_keeps_the_history_is_recorded_once(
    chat: Chat, upstream: FakeUpstream
) -> None:
    client, messages = chat.client("s"), [user("1")]
    for number in (2, 3, 4):
        reply = await client.chat.completions.create(**says(*messages))
        messages += [reply.choices[0].message.model_dump(), user(str(number))]
    assert upstream.asked[-1].body["messages"][0] == user("1")
    assert len(upstream.asked[-1].body["messages"]) == 5
    hello = assistant("Hello")
    assert await chat.said("s") == [user("1"), hello, user("2"), hello, user("3"), hello]


async def test_client_that_sends_what_is_new_gets_the_history(
    chat: Chat, upstream: FakeUpstream
) -> None:
    client, system = chat.client("s"), {"role": "system", "content": "Be brief."}
    for number in (1, 2, 3):
        await client.chat.completions.create(**says(system, user(str(number))))
    hello = assistant("Hello")
    said = [system, user("1"), hello, user("2"), hello, user("3")]
    assert upstream.asked[-1].body["messages"] == said
    assert await chat.said("s") == [*said, hello]


async def test_header_says_what_is_sent(chat: Chat, upstream: FakeUpstream) -> None:
    await chat.client("s").chat.completions.create(**says(user("1")))
    full = chat.client("s", **{"X-Session-History": "full"})
    await full.chat.completions.create(**says(user("1")))
    assert upstream.asked[-1].body["messages"] == [user("1")]
    assert await chat.said("s") == [user("1"), assistant("Hello"), assistant("Hello")]
    example = [user("0"), assistant("Hello"), user("2")]
    new = {"X-Session-History": "new", "X-Stainless-Retry-Count": "1"}
    await chat.client("s").chat.completions.create(**says(*example), extra_headers=new)
    assert (await chat.said("s"))[3:] == [*example, assistant("Hello")]


async def test_question_that_a_client_sends_again_is_recorded_once(
    chat: Chat, upstream: FakeUpstream
) -> None:
    """Be it the first one or another; whether a client counts, or names a question by a key."""
    ask = chat.client("s").chat.completions.create
    said: list[dict[str, Any]] = []
    for number, first, again in (
        ("1", {}, {"X-Stainless-Retry-Count": "1"}),
        *[("2", {"Idempotency-Key": key}, {"Idempotency-Key": f'"{key}"'}) for key in "ab"],
    ):
        for headers in (first, again, again):
            await ask(**says(user(number)), extra_headers=headers)
            assert upstream.asked[-1].body["messages"] == [*said, user(number)]
        said += [user(number), *[assistant("Hello")] * 3]
    assert await chat.said("s") == said


async def test_tools_make_their_way(chat: Chat, upstream: FakeUpstream) -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
    }
    asking = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": asking, "finish_reason": "tool_calls"}
    upstream._pieces = (answer(json.dumps(completion(choices=[choice])).encode()),)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    client = chat.client("s")
    reply = await client.chat.completions.create(**says(user("weather?"), tools=[tool]))
    assert reply.choices[0].finish_reason == "tool_calls"
    told = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    upstream._pieces = (WHOLE,)
    messages = [user("weather?"), reply.choices[0].message.model_dump(), told]
    await client.chat.completions.create(**says(*messages, tools=[tool]))
    recorded = {"role": "assistant", "tool_calls": [call]}
    assert await chat.said("s") == [user("weather?"), recorded, told, assistant("Hello")]
    assert upstream.asked[0].body["tools"] == [tool]


@pytest.mark.parametrize(
    "where",
    [
        {"extra_headers": {"X-Session-Id": "s"}},
        {"extra_body": {"session_id": "s"}},
        {"metadata": {"session_id": "s"}},
        {"extra_headers": {"X-Session-Id": "s"}, "extra_body": {"session_id": "s"}},
    ],
)
async def test_session_is_named_in_one_of_three_places(
    chat: Chat, upstream: FakeUpstream, where: dict[str, Any]
) -> None:
    await chat.client().chat.completions.create(**says(user("hi"), **where))
    assert len(await chat.said("s")) == 2
    assert {"session_id", "metadata"}.isdisjoint(upstream.asked[0].body)


async def test_unknown_fields_go_to_the_model(chat: Chat, upstream: FakeUpstream) -> None:
    more = {"temperature": 0.1, "seed": 2**53 + 1, "nobody": {"knows": [None, 1.5]}}
    await chat.client("s").chat.completions.create(**says(user("hi"), extra_body=more))
    assert upstream.asked[0].body == {**says(user("hi")), **more}


async def test_request_of_no_session_is_metered(chat: Chat) -> None:
    raw = await chat.client().chat.completions.with_raw_response.create(**says(user("hi")))
    assert "x-session-id" not in raw.headers
    assert not (await chat.record.list()).items
    async with client_at(chat.url) as client:
        report = (await client.get("/v1/usage?group_by=model")).json()
    assert json.dumps(report).count(MODEL) == 1


async def test_models_are_listed(chat: Chat, upstream: FakeUpstream) -> None:
    listed = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "me"}]}
    upstream._pieces = (answer(json.dumps(listed).encode()),)
    (model,) = (await chat.client().models.list()).data
    assert (model.id, model.owned_by) == ("m", "me")


async def test_headers_that_an_upstream_wants_go_on_and_credentials_do_not(
    chat: Chat, upstream: FakeUpstream
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wanted = {"traceparent": trace, "OpenAI-Organization": "other", "OpenAI-Project": "other"}
    client = chat.client(None, "my-secret", **wanted)
    raw = await client.chat.completions.with_raw_response.create(**says(user("hi")))
    assert raw.headers["x-trace-id"] == "0af7651916cd43dd8448eb211c80319c"
    assert f"traceparent: {trace}" in upstream.asked[0].head
    assert "my-secret" not in upstream.asked[0].head
    assert "other" not in upstream.asked[0].head


async def test_headers_of_an_upstream_that_are_for_clients_go_on(
    chat: Chat, upstream: FakeUpstream
) -> None:
    more = "x-ratelimit-left: 7\r\nretry-after-ms: \u20ac\r\nopenai-organization: us\r\n"
    upstream._pieces = (answer(json.dumps(completion()).encode(), more=f"{more}server: x\r\n"),)
    raw = await chat.client().chat.completions.with_raw_response.create(**says(user("hi")))
    assert raw.headers["x-ratelimit-left"] == "7"
    assert raw.headers.raw.count((b"retry-after-ms", b"\xe2\x82\xac")) == 1
    assert {"openai-organization", "server"}.isdisjoint(raw.headers)


BAD_BODIES = [
    ({"model": MODEL}, "invalid_body"),
    ({"messages": "hi"}, "invalid_body"),
    ({"messages": []}, "invalid_messages"),
    ({"messages": [{"content": "hi"}]}, "invalid_role"),
    ({"messages": [{"role": ["user"], "content": "hi"}]}, "invalid_role"),
    ({"messages": [user("hi")], "model": "m" * 257}, "invalid_body"),
    ({"messages": [user("hi")], "session_id": "a b"}, "invalid_id"),
    ({"messages": [user("hi")], "session_id": 5}, "invalid_body"),
    ({"messages": [user("hi")], "metadata": {"session_id": 5}}, "invalid_id"),
    (
        {"messages": [user("hi")], "session_id": "a", "metadata": {"session_id": "b"}},
        "ambiguous_session",
    ),
]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES)
async def test_bad_request_is_refused_as_openai_does(
    gatekeeper: httpx.AsyncClient, upstream: FakeUpstream, body: dict[str, Any], code: str
) -> None:
    refused = await gatekeeper.post("/v1/chat/completions", json=body)
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert error["message"] == refused.json()["detail"]
    assert {"param", "details"} <= set(error)
    assert not upstream.asked


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({"X-Session-History": "some"}, "", "invalid_history"),
        ({"X-Budget-Fit": "some"}, "", "invalid_fit"),
        ({}, "?fit=some", "invalid_fit"),
    ],
)
async def test_bad_wish_is_refused(
    gatekeeper: httpx.AsyncClient, headers: dict[str, str], query: str, code: str
) -> None:
    path = f"/v1/chat/completions{query}"
    refused = await gatekeeper.post(path, json=says(user("hi")), headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, code)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud83d"])
async def test_poison_is_refused_before_it_is_paid_for(
    gatekeeper: httpx.AsyncClient, upstream: FakeUpstream, text: str
) -> None:
    body = f'{{"messages":[{{"role":"user","content":"{text}"}}]}}'
    headers = {"content-type": "application/json"}
    refused = await gatekeeper.post("/v1/chat/completions", content=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_json")
    assert not upstream.asked


async def test_server_without_an_agent_says_so(sqlite_url: str, tmp_path: Path) -> None:
    async with chatting(sqlite_url, tmp_path) as chat:
        for call in (
            chat.client().models.list(),
            chat.client().chat.completions.create(**says(user("hi"))),
        ):
            with pytest.raises(openai.NotFoundError) as refused:
                await call
            assert refused.value.code == "no_agent"
        assert not chat.spool.exists()


async def test_error_of_the_upstream_is_passed_on_and_recorded(
    chat: Chat, upstream: FakeUpstream
) -> None:
    error = {"error": {"message": "no such model", "type": "x", "param": "model", "code": "m"}}
    upstream._pieces = (answer(json.dumps(error).encode(), status="404 Not Found"),)
    with pytest.raises(openai.NotFoundError) as refused:
        await chat.client("s").chat.completions.create(**says(user("hi")))
    assert refused.value.body == error["error"]
    assert refused.value.response.headers["x-turn-id"].startswith("chat_")
    assert await chat.said("s") == [user("hi")]
    assert await chat.statuses("s") == ["failed"]
    assert (await chat.record.get("s")).usage.calls == 0
    upstream._pieces = (WHOLE,)
    await chat.client("s").chat.completions.create(**says(user("hi")))  # tried again
    assert await chat.said("s") == [user("hi"), assistant("Hello")]
    assert await chat.statuses("s") == ["failed", "completed"]


async def test_stream_that_begins_with_an_error_is_none(chat: Chat, upstream: FakeUpstream) -> None:
    error = b'data: {"error":{"message":"slow down","code":429}}\n\n'
    upstream._pieces = (STREAM_HEAD, piece(error))
    with pytest.raises(openai.RateLimitError):
        await chat.client("s").chat.completions.create(**says(user("hi"), stream=True))
    assert await chat.statuses("s") == ["failed"]


async def test_upstream_that_is_not_there_is_said(record_url: str, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/v1"
    async with chatting(record_url, tmp_path, upstream_url=nowhere) as chat:
        with pytest.raises(openai.InternalServerError) as refused:
            await chat.client("s").chat.completions.create(**says(user("hi")))
        assert (refused.value.status_code, refused.value.type) == (502, "server_error")
        assert await chat.statuses("s") == ["failed"]
        assert not (await chat.record.list_holds(state="open")).items


async def test_page_in_place_of_an_answer_is_an_error(chat: Chat, upstream: FakeUpstream) -> None:
    upstream._pieces = (answer(b"<html>oops</html>", kind="text/html"),)
    with pytest.raises(openai.InternalServerError) as refused:
        await chat.client("s").chat.completions.create(**says(user("hi")))
    assert (refused.value.status_code, refused.value.type) == (502, "server_error")
    assert await chat.statuses("s") == ["failed"]


async def test_session_of_another_owner_is_not_found(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(WHOLE)
    access = AccessSettings(auth="key", key_pepper="pepper")
    async with chatting(record_url, tmp_path, upstream, access=access) as chat:
        keys = key_service(chat.record, access)
        ann, bob, stranger = [
            (await keys.create(tenant, owner))[0]
            for tenant, owner in (("acme", "ann"), ("acme", "bob"), ("umbrella", "ann"))
        ]
        await chat.client("s", ann).chat.completions.create(**says(user("hi")))
        with pytest.raises(openai.NotFoundError) as refused:
            await chat.client("s", bob).chat.completions.create(**says(user("hi")))
        assert refused.value.code == "session_not_found"
        assert len(upstream.asked) == 1
        await chat.client("s", stranger).chat.completions.create(**says(user("hi")))
        with pytest.raises(openai.AuthenticationError) as unknown:
            await chat.client("s", "nobody").chat.completions.create(**says(user("hi")))
        assert unknown.value.type == "authentication_error"
        for tenant in ("acme", "umbrella"):
            session = await chat.record.acting_as(Actor(tenant)).get("s")
            assert (session.owner, session.message_count) == ("ann", 2)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1"),
        ("http://models.example/v1", "models.example"),
    ],
)
def test_host_of_ones_own_is_no_provider_of_the_table(url: str, provider: str) -> None:
    assert provider_at(url, load_builtin()) == provider
