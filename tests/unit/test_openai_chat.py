"""OpenAI chat messages: four ways to lie in a file, one way to be written."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.documents import Document
from hansard.core.errors import HansardError, InvalidInput
from tests import json_values
from tests.documents import document_of, full_document, reread, written

NAME = "openai-chat"
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Two plus two?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c", "content": "4"},
    {"role": "assistant", "content": [{"type": "text", "text": "Four."}]},
]
REAL = Path(
    os.environ.get("HANSARD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")
).joinpath("airline_agent_conversations.jsonl.gz")

conversations = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.builds(
                lambda role, said, others: {**others, "role": role, "content": said},
                st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
                json_values.anything,
                json_values.objects,
            ),
            max_size=3,
        )
    },
    optional={"tools": json_values.anything, "task_id": json_values.anything},
)


def bodies(document: Document) -> list[dict[str, Any]]:
    return [message.body for message in document.messages]


def refused(data: bytes) -> HansardError:
    with pytest.raises(HansardError) as caught:
        reread(NAME, data)
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(TALK),
        json.dumps(TALK, indent=2),
        json.dumps({"messages": TALK}),
        json.dumps({"messages": TALK}, indent=2),
        json.dumps([{"messages": TALK}]),
        json.dumps({"messages": TALK}) + "\n",
        "\n" + json.dumps({"messages": TALK}),
        json.dumps({"messages": TALK}) + "\n\n  \n",
    ],
)
def test_every_shape_of_one_conversation_is_read_alike(data: str) -> None:
    (document,) = reread(NAME, data.encode())
    assert bodies(document) == TALK
    assert document.session.session_id is None
    assert document.source_key == reread(NAME, written(NAME, document_of(TALK)))[0].source_key


@given(st.lists(conversations, min_size=1, max_size=4))
def test_list_and_lines_are_read_alike(given_conversations: list[dict[str, Any]]) -> None:
    lines = "\n".join(json.dumps(conversation) for conversation in given_conversations)
    as_lines = reread(NAME, lines.encode())
    assert as_lines == reread(NAME, json.dumps(given_conversations).encode())
    for document, conversation in zip(as_lines, given_conversations, strict=True):
        messages = conversation.pop("messages")
        assert bodies(document) == messages
        assert document.session.metadata == conversation


def test_gzip_is_read_too() -> None:
    assert len(reread(NAME, gzip.compress(json.dumps(TALK).encode()))) == 1


def test_equal_conversations_are_told_apart_by_their_number() -> None:
    line = written(NAME, document_of(TALK))
    first, second = reread(NAME, line + line)
    assert first.source_key != second.source_key
    assert [first, second] == reread(NAME, line + line)
    assert reread(NAME, line) == [first]


def test_line_with_the_messages_alone_is_written() -> None:
    document = full_document()
    data = written(NAME, document)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert json.loads(data) == {"messages": bodies(document)}


def test_empty_session_is_written_and_read() -> None:
    data = written(NAME, document_of([]))
    assert json.loads(data) == {"messages": []}
    (document,) = reread(NAME, data)
    assert bodies(document) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_document"),
        (b"7", "invalid_document"),
        (b"{}", "invalid_document"),
        (b'{"messages":7}', "invalid_messages"),
        (b'{"messages":[1]}', "invalid_messages"),
        (b'[{"role":"wizard","content":"x"}]', "invalid_role"),
        (b'[{"role":"user","content":"x"},{"content":"y"}]', "invalid_role"),
        (b'{"messages":[]}\n{"messages":[', "invalid_json"),
        (b'{"messages":[{"role":"user","content":NaN}]}', "invalid_json"),
        (b'{"messages":[],"messages":[]}', "invalid_json"),
        (b'{"messages":[],"x":"\\ud800"}', "invalid_json"),
        (b'[{"messages":[]},{"role":"user"}]', "invalid_document"),
        (b'[{"role":"user","content":%s%s}]' % (b"[" * 64, b"]" * 64), "invalid_json"),
    ],
)
def test_what_no_record_holds_is_refused(data: bytes, code: str) -> None:
    error = refused(data)
    assert isinstance(error, InvalidInput)
    assert error.code == code


def test_bad_conversation_is_named_and_nothing_of_the_file_is_read() -> None:
    good = written(NAME, document_of(TALK))
    error = refused(good + b'{"messages":[{"role":"user"},{"role":"me"}]}\n')
    assert error.message.startswith("conversation 2: message 1")
    assert error.details == {"index": 1}


@pytest.mark.skipif(not REAL.is_file(), reason="the real conversations are not at hand")
def test_real_conversations_are_read_and_written_again() -> None:
    data = REAL.read_bytes()
    lines = gzip.decompress(data).splitlines()
    documents = reread(NAME, data)
    assert len(documents) == len(lines) == 200
    for document, line in zip(documents, lines, strict=True):
        original = json.loads(line)
        assert json.loads(written(NAME, document)) == {"messages": original["messages"]}
        assert document.session.metadata["task_id"] == original["task_id"]
