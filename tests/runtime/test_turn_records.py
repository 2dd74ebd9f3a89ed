"""Turn records: how they are written to files, and what of an answer the record can hold."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hansard.core.errors import Corrupt
from hansard.core.usage import ENTRIES_MAX, NewUsage
from hansard.runtime.turn_records import TurnRecord, read_record, recordable, write_record
from tests.runtime.chats import turn


@pytest.mark.parametrize(
    "record",
    [
        turn(1),
        turn(1, None),
        turn(1, sent=[{"role": "user", "content": "hi", "big": 2**80}], way="full"),
    ],
)
def test_turn_is_read_as_it_was_written(record: TurnRecord) -> None:
    assert read_record(write_record(record)) == record


@pytest.mark.parametrize("data", [b"", b"{}", b'{"version":2}', b"[1", b"\xff"])
def test_what_is_no_turn_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        read_record(data)


def test_turn_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(Corrupt):
        read_record(write_record(turn(1, version=2)))


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        (
            {"role": "assistant", "content": "a", "refusal": None, "annotations": []},
            {"role": "assistant", "content": "a"},
        ),
        ({"role": "assistant", "content": "a\0b"}, {"role": "assistant", "content": "a\ufffdb"}),
        (
            {"role": "assistant", "content": [{"text": "\ud83d"}]},
            {"role": "assistant", "content": [{"text": "\ufffd"}]},
        ),
        (
            {"role": "assistant", "content": "\ud83d\ude00"},
            {"role": "assistant", "content": "\U0001f600"},
        ),
        ({"role": "model", "content": "a"}, {"role": "assistant", "content": "a"}),
    ],
)
def test_answer_that_was_paid_for_is_recordable(
    said: dict[str, Any], recorded: dict[str, Any]
) -> None:
    assert recordable(said) == recorded


@pytest.mark.parametrize("odd", [float("nan"), object(), b"bytes"])
def test_answer_that_is_no_json_is_recorded_as_text(odd: object) -> None:
    recorded = recordable({"role": "assistant", "content": odd})
    assert recorded["role"] == "assistant"
    assert repr(odd) in recorded["content"]


def test_cost_of_a_turn_is_told_without_words() -> None:
    calls = [NewUsage(event_id=f"call-{number}") for number in range(ENTRIES_MAX + 1)]
    record = replace(turn(1, unmade=["other"]), usage=calls, holds=["call-1"])
    costs = list(record.costs())
    assert [each.session_id for each in costs] == [None] * 3
    assert not any(each.has_words for each in costs)
    assert [call for each in costs for call in each.usage] == calls
    assert [hold for each in costs for hold in each.holds] == [call.event_id for call in calls]
    assert [each.unmade for each in costs] == [["other"], [], []]
    assert not record.is_empty
    assert replace(record.words(), messages=[]).is_empty
