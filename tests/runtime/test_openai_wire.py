"""Events cut out of bytes, and chunks put together to messages."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.errors import UpstreamFailed
from hansard.core.usage import NewUsage
from hansard.runtime.agents.event_stream import EventSplitter, find_data
from hansard.runtime.agents.openai_wire import AnswerReader, Part, read_error, text_bytes
from hansard.runtime.agents.openai_writer import AnswerWriter
from hansard.runtime.agents.protocol import (
    Completed,
    Reasoning,
    Text,
    ToolCalled,
    ToolReturned,
)
from hansard.runtime.turn_records import recordable
from tests.runtime.upstreams import chunk


def read(*deltas: dict[str, Any]) -> dict[str, Any]:
    """The message that these deltas make."""
    reader = AnswerReader()
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        assert reader.take(json.dumps(chunk(choices=[choice])).encode()) is Part.ANSWER
    (message,) = reader.messages()
    return message


TEXTS = st.lists(
    st.sampled_from(
        ["data: {}", "data: é", "data:x\ndata: y", ": comment", "event: a\ndata: b", "id"]
    ),
    max_size=6,
)


@given(
    texts=TEXTS,
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_events_do_not_depend_on_how_they_are_cut(
    texts: list[str], newline: str, cuts: list[int]
) -> None:
    whole = "".join([f"{text}\n\n" for text in texts]).replace("\n", newline).encode()
    splitter = EventSplitter(1_000)
    at = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [splitter.feed(whole[a:b]) for a, b in pairwise(at)]
    pieces.append(splitter.finish())
    assert b"".join([each.data for each in pieces]) == whole
    assert [len(each.events) for each in pieces if each.data] == [
        len(each.pieces()) for each in pieces if each.data
    ]
    assert b"".join([piece for each in pieces for piece in each.pieces()]) == whole
    found = [find_data(event) for each in pieces for event in each.events]
    expected = [find_data(text.encode()) for text in texts]
    assert [data.strip() for data in found if data is not None] == [
        data.strip() for data in expected if data is not None
    ]


def test_one_event_is_bounded() -> None:
    splitter = EventSplitter(10)
    assert splitter.feed(b"data: 1\n\ndata: 2").events == [b"data: 1"]
    with pytest.raises(UpstreamFailed) as caught:
        splitter.feed(b"2222222222")
    assert caught.value.code == "upstream_too_large"


def test_data_of_several_lines_is_one() -> None:
    assert find_data(b"data: {\ndata:  }") == b"{\n }"
    assert find_data(b"event: ping") is None
    assert find_data(b"data") is None


def test_tool_calls_come_in_pieces() -> None:
    def call(index: int, **fields: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **fields}]}

    message = read(
        {"role": "assistant", "content": None},
        call(0, id="a", type="function", function={"name": "look", "arguments": ""}),
        call(0, function={"arguments": '{"x"'}),
        call(1, id="b", type="function", function={"name": "take", "arguments": "{"}),
        call(0, function={"arguments": ":1}"}),
        call(1, function={"arguments": "}"}),
    )
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "take", "arguments": "{}"}},
        ],
    }


def test_another_id_is_another_call_whatever_its_index() -> None:
    call = {"index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = read({"tool_calls": [{**call, "id": "a"}]}, {"tool_calls": [{**call, "id": "b"}]})
    assert [each["id"] for each in message["tool_calls"]] == ["a", "b"]
    unnumbered = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = read({"tool_calls": [unnumbered, unnumbered]})
    assert len(message["tool_calls"]) == 2


def test_every_text_grows_and_the_unknown_is_kept() -> None:
    message = read(
        {"role": "assistant", "content": "", "refusal": None},
        {"role": "assistant", "reasoning_content": "Let me "},
        {"reasoning_content": "see.", "mood": {"value": 0.5}},
        {"content": "Yes", "function_call": {"name": "f", "arguments": "{"}},
        {"content": ".", "function_call": {"arguments": "}"}, "mood": {"value": 0.75}},
        {"annotations": [{"type": "url_citation"}], "audio": {"id": "x", "data": "QU"}},
        {"annotations": [{"type": "url_citation"}], "audio": {"data": "JD"}},
        {"reasoning_details": [{"index": 0, "type": "text", "text": "a"}]},
        {"reasoning_details": [{"index": 0, "type": "text", "text": "b"}]},
    )
    assert message == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "Let me see.",
        "mood": {"value": 0.75},
        "function_call": {"name": "f", "arguments": "{}"},
        "annotations": [{"type": "url_citation"}, {"type": "url_citation"}],
        "audio": {"id": "x", "data": "QUJD"},
        "reasoning_details": [{"index": 0, "type": "text", "text": "ab"}],
    }


def test_refusal_is_recorded() -> None:
    assert read({"refusal": "I "}, {"refusal": "won't."}) == {
        "role": "assistant",
        "content": None,
        "refusal": "I won't.",
    }


def test_other_choices_stand_beside_the_first() -> None:
    reader = AnswerReader()
    for index, text in ((1, "one"), (0, "zero"), (1, " more")):
        choice = {"index": index, "delta": {"content": text}, "finish_reason": None}
        reader.take(json.dumps(chunk(choices=[choice])).encode())
    assert not reader.is_finished
    ends: list[dict[str, Any]] = [
        {"index": index, "delta": {}, "finish_reason": "stop"} for index in (0, 1)
    ]
    reader.take(json.dumps(chunk(choices=ends)).encode())
    assert reader.is_finished
    assert text_bytes(reader.messages()) == len("zeroone more")
    assert reader.messages() == [
        {
            "role": "assistant",
            "content": "zero",
            "other_choices": [
                {
                    "index": 1,
                    "message": {"role": "assistant", "content": "one more"},
                    "finish_reason": "stop",
                }
            ],
        }
    ]


def test_usage_is_kept_word_for_word() -> None:
    reader = AnswerReader()
    usage = b'{"prompt_tokens": 1,  "cost": 0.10}'
    assert reader.take(b'{"choices":[],"usage":' + usage + b"}") is Part.USAGE
    assert reader.usage == usage
    assert reader.take(b'{"choices":[],"usage":null}') is Part.ANSWER
    assert reader.usage == usage


def test_no_answer_has_no_message() -> None:
    reader = AnswerReader()
    assert reader.take(b" [DONE] ") is Part.DONE
    assert (reader.messages(), reader.finish_reason, reader.is_finished) == ([], "", True)


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b"[" * 9_999, b"\xff"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        AnswerReader().take(data)
    assert caught.value.code == "upstream_malformed"


def test_half_a_pair_of_surrogates_is_read() -> None:
    reader = AnswerReader()
    for half in (rb"\ud83d", rb"\ude00"):
        reader.take(b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % half)
    assert recordable(reader.messages()[0])["content"] == "\U0001f600"


def test_event_of_no_data_is_passed_over() -> None:
    reader = AnswerReader()
    for event in (b"data:", b"data: ", b"event: ping\ndata:", b"data:\ndata:", b": ping"):
        assert reader.read(event) is Part.ANSWER
    assert reader.read(b"data:[DONE]") is Part.DONE


@pytest.mark.parametrize("role", [None, "", "me", ["user"], {"a": 1}])
def test_answer_of_an_odd_role_is_recorded(role: object) -> None:
    assert recordable({"role": role, "content": "x"}) == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize("odd", ["null", '"0"', "1e999", "[]", "{}", "true", "-1"])
@pytest.mark.parametrize("name", ["index", "delta", "finish_reason", "logprobs"])
def test_field_of_another_type_is_passed_over(name: str, odd: str) -> None:
    reader = AnswerReader()
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop", name: "odd"}
    usage = '"usage":{"prompt_tokens":1,"completion_tokens":2}'
    chunk = f'{{"model":"m","choices":[{json.dumps(choice)}],{usage}}}'.replace('"odd"', odd)
    assert reader.take(chunk.encode()) is Part.ANSWER
    assert (reader.model, reader.chunks) == ("m", 1)
    assert json.loads(reader.usage or b"")["completion_tokens"] == 2
    (message,) = reader.messages()
    assert message["content"] == (None if name == "delta" else "Hi")


@pytest.mark.parametrize("data", [b"[1]", b'{"choices":{}}', b'{"choices":5,"usage":1e999}', b"0"])
def test_json_that_is_no_chunk_says_nothing(data: bytes) -> None:
    reader = AnswerReader()
    assert reader.take(data) in {Part.ANSWER, Part.USAGE}
    assert (reader.messages(), reader.chunks) == ([], 0)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["content", "tool_calls", "x"]), JSON), max_size=5))
def test_any_delta_makes_some_message(deltas: list[dict[str, Any]]) -> None:
    if deltas:
        assert read(*deltas)["role"] == "assistant"


@given(st.lists(st.text(), min_size=1))
def test_text_is_the_sum_of_its_pieces(pieces: list[str]) -> None:
    assert read(*[{"content": piece} for piece in pieces])["content"] == "".join(pieces)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error":{"message":"m","code":429}}', ("m", 429, True)),
        (b'{"error":{"message":"m","code":"rate_limit"}}', ("m", 0, True)),
        (b'{"error":{"message":"m","code":200}}', ("m", 0, True)),
        (b'{"error":{"message":"m","code":"429"}}', ("m", 429, True)),
        (b'{"error":{"message":"m","code":"invalid_api_key"}}', ("m", 401, True)),
        (b'{"error":{"message":"m","type":"authentication_error"}}', ("m", 401, True)),
        (b'{"error":{"code":429}}', ("", 0, False)),
        (b'{"message":"m"}', ("m", 0, False)),
        (b"<html>", ("", 0, False)),
        (b"[" * 9_999, ("", 0, False)),
        (b"3", ("", 0, False)),
    ],
)
def test_error_is_read(body: bytes, expected: tuple[str, int, bool]) -> None:
    assert read_error(body) == expected


def writer() -> AnswerWriter:
    return AnswerWriter(completion_id="chatcmpl-1", model="m", created_s=1)


DONE_CALLS = [
    NewUsage(event_id="a", input_tokens=10, cached_tokens=4, output_tokens=3, reasoning_tokens=1),
    NewUsage(event_id="b", input_tokens=5, output_tokens=2),
]
USAGE = {
    "prompt_tokens": 15,
    "completion_tokens": 5,
    "total_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
COMPLETED = Completed(messages=[], calls=DONE_CALLS, finish_reason="stop")


@pytest.mark.parametrize("include_usage", [True, False])
def test_what_is_written_can_be_read(*, include_usage: bool) -> None:
    written = writer()
    events: list[Text | Reasoning | ToolCalled | ToolReturned] = [
        Reasoning("Hm."),
        Text("Hel"),
        ToolCalled("call-0", "look", "{}"),
        ToolReturned("call-0", "seen"),
        Text("lo"),
        ToolCalled("call-1", "ask", '{"x":1}'),
    ]
    stream = b"".join([written.write(event) for event in events])
    stream += written.end(COMPLETED, include_usage=include_usage)
    reader = AnswerReader()
    for cut in EventSplitter(1_000).feed(stream).events:
        reader.read(cut)
    assert reader.is_done
    assert (reader.model, reader.finish_reason) == ("m", "tool_calls")
    assert (reader.usage is None) is not include_usage
    assert json.loads(reader.usage or b"null") == (USAGE if include_usage else None)
    call = {"id": "call-1", "type": "function", "function": {"name": "ask", "arguments": '{"x":1}'}}
    expected = {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "Hm.",
        "tool_calls": [call],
    }
    assert reader.messages() == [expected]
    whole = json.loads(written.body(COMPLETED))
    assert whole["choices"] == [{"index": 0, "message": expected, "finish_reason": "tool_calls"}]
    assert (whole["usage"], whole["id"]) == (USAGE, "chatcmpl-1")


def test_answer_without_text_is_written() -> None:
    written = writer()
    ending = written.end(COMPLETED, include_usage=False)
    first = json.loads(find_data(ending.split(b"\n\n")[0]) or b"")
    assert first["choices"][0]["finish_reason"] == "stop"
    assert json.loads(written.body(COMPLETED))["choices"][0]["message"]["content"] == ""
