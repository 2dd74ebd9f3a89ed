"""What a client gets, and what is kept back until the turn is on disk."""

from __future__ import annotations

from typing import Any

from hansard.core.errors import UpstreamFailed
from hansard.runtime.agents.openai_writer import AnswerWriter
from hansard.runtime.agents.protocol import AgentFailed, Completed, Head, Text, Wire
from hansard.runtime.deliveries import Delivery

HEAD = Head(status=200, headers=(("content-type", "text/event-stream"),))
END = Completed(messages=[], calls=[], finish_reason="stop")
DONE = b"data: [DONE]\n\n"


def delivery(**body: Any) -> Delivery:
    writer = AnswerWriter(completion_id="c", model="m", created_s=1)
    return Delivery(body, writer, [])


async def waiting(delivery: Delivery) -> bytes:
    """What a client would read now."""
    delivery.pipe.end()
    return b"".join([piece async for piece in delivery.pipe.pieces()])


async def test_end_of_a_stream_is_kept_back() -> None:
    stream = delivery(stream=True)
    stream.open(HEAD)
    assert not stream.opened.done()
    stream.pass_on(Wire(b"data: {}\n\n"))
    assert stream.opened.result().headers == HEAD.headers
    stream.pass_on(Wire(DONE, is_last=True))
    stream.complete(END)
    pieces = stream.pipe.pieces()
    assert await anext(pieces) == b"data: {}\n\n"
    stream.release()
    assert await anext(pieces) == DONE


async def test_whole_answer_is_kept_back() -> None:
    whole = delivery()
    whole.open(HEAD)
    whole.pass_on(Wire(b"{}"))
    assert not whole.opened.done()
    whole.complete(END)
    whole.release()
    assert whole.opened.result().status == 200
    assert await waiting(whole) == b"{}"


async def test_what_an_agent_says_is_written_as_chunks() -> None:
    stream = delivery(stream=True, stream_options={"include_usage": True})
    stream.say(Text("Hel"))
    assert stream.opened.result().headers == HEAD.headers
    stream.complete(END)
    stream.release()
    text = await waiting(stream)
    assert b'"content":"Hel"' in text
    assert b'"usage":{' in text
    assert text.endswith(DONE)


async def test_what_an_agent_says_is_written_whole() -> None:
    whole = delivery()
    whole.say(Text("Hello"))
    whole.complete(END)
    whole.release()
    assert b'"content":"Hello"' in await waiting(whole)


async def test_error_before_the_answer_takes_its_place() -> None:
    stream = delivery(stream=True)
    failed = AgentFailed(UpstreamFailed("gone"))
    stream.fail(failed)
    assert stream.opened.exception() is failed


async def test_error_before_the_first_piece_has_a_status() -> None:
    stream = delivery(stream=True)
    stream.open(HEAD)
    stream.fail(AgentFailed(UpstreamFailed("gone"), status=429))
    failed = stream.opened.exception()
    assert isinstance(failed, AgentFailed)
    assert failed.status == 429


async def test_error_of_an_upstream_is_passed_on_in_a_stream() -> None:
    stream = delivery(stream=True)
    stream.pass_on(Wire(b"data: {}\n\n"))
    stream.fail(AgentFailed(UpstreamFailed("gone"), body=b'{"error":\n{"message":"m"}}'))
    assert (await waiting(stream)).endswith(b'\n\ndata: {"error": {"message":"m"}}\n\n')


async def test_error_in_a_stream_is_its_last_event() -> None:
    stream = delivery(stream=True)
    stream.open(HEAD)
    stream.pass_on(Wire(b"data: {}\n\n"))
    stream.fail(AgentFailed(UpstreamFailed("gone", code="upstream_cut", tried=2)))
    *_, last, _ = (await waiting(stream)).split(b"\n\n")
    assert last.startswith(b'data: {"error":{"message":"gone","type":"server_error"')
