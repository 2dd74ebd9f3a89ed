"""The ancestor's document: read as it was written, and written as it reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from msgspec import structs

from hansard.core.documents import Document, DocumentMessage
from hansard.core.errors import Corrupt, HansardError, InvalidInput
from hansard.core.money import COST_MAX_NANOUSD
from hansard.core.strict_json import canonicalize
from hansard.core.times import parse_us
from hansard.core.usage import TOKENS_MAX, UsageEntry
from hansard.formats.cleveragents import checksum
from tests import json_values
from tests.documents import (
    EXPORTED_AT_US,
    content,
    document_of,
    documents,
    full_document,
    held,
    reread,
    written,
)

NAME = "cleveragents-1.0"

Parsed = dict[str, Any]

# As CleverAgents wrote it, byte for byte, with plans, automation and a time without a zone.
GOLDEN = (
    '{"schema_version": "1.0", "session_id": "01J8ZQ5V7K3M9N2P4R6S8T0W1X", '
    '"actor_name": "local/orchestrator", "namespace": "team", "messages": ['
    '{"message_id": "01J8ZQ5V7K3M9N2P4R6S8T0W1Y", "role": "user", "content": "Caf\\u00e9 \\ud83d'
    '\\ude00?", "sequence": 0, "timestamp": "2026-04-01T12:00:00.000001", "metadata": '
    '{"score": 1.0, "small": 1e-07}, "tool_call_id": null}, '
    '{"message_id": "01J8ZQ5V7K3M9N2P4R6S8T0W1Z", "role": "tool", "content": "42", '
    '"sequence": 1, "timestamp": "2026-04-01T12:00:01+02:00", "metadata": {}, '
    '"tool_call_id": "call_1"}], "linked_plan_ids": ["plan_1", "plan_2"], "linked_plans": '
    '[{"plan_id": "plan_1", "phase": "execute", "state": "done"}], "automation": "supervised", '
    '"token_usage": {"input_tokens": 1200, "output_tokens": 345, "estimated_cost": 0.0184}, '
    '"metadata": {"project": "x"}, "created_at": "2026-04-01 11:59:59", '
    '"updated_at": "2026-04-01T12:00:02Z", "checksum": '
    '"247b9a98b99123646b6db522184df1fdbaa1c9935ceac9745c416b6c70fb1c11"}'
)


def original_checksum(document: Parsed) -> str:
    """The ancestor's own lines."""
    export = {name: value for name, value in document.items() if name != "checksum"}
    canonical = json.dumps(export, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def golden() -> Parsed:
    parsed: Parsed = json.loads(GOLDEN)
    return parsed


def seal(parsed: Parsed) -> bytes:
    return json.dumps({**parsed, "checksum": original_checksum(parsed)}).encode()


def read_one(data: bytes) -> Document:
    (document,) = reread(NAME, data)
    return document


def refused(data: bytes) -> HansardError:
    with pytest.raises(HansardError) as caught:
        reread(NAME, data)
    return caught.value


def edited(change: Callable[[Parsed], object]) -> bytes:
    parsed = golden()
    change(parsed)
    return seal(parsed)


@pytest.mark.parametrize(
    ("document", "legacy", "canonical"),
    [({"c": 1.0}, "2bfe0916", "a1dd48c6"), ({"m": "café"}, "0feafdf7", "d793ded1")],
)
def test_checksum_is_over_pythons_form_and_not_the_canonical_one(
    document: Parsed, legacy: str, canonical: str
) -> None:
    assert checksum(document).startswith(legacy)
    assert hashlib.sha256(canonicalize(document)).hexdigest().startswith(canonical)


@given(json_values.objects)
def test_checksum_is_the_ancestors(document: Parsed) -> None:
    assert checksum(document) == original_checksum(document)


def test_golden_document_is_read() -> None:
    document = read_one(GOLDEN.encode())
    session = document.session
    assert session.session_id == "01J8ZQ5V7K3M9N2P4R6S8T0W1X"
    assert session.agent == "local/orchestrator"
    assert session.created_at_us == parse_us("2026-04-01T11:59:59Z")
    assert session.metadata == {
        "project": "x",
        "cleveragents": {
            "namespace": "team",
            "linked_plan_ids": ["plan_1", "plan_2"],
            "linked_plans": [{"plan_id": "plan_1", "phase": "execute", "state": "done"}],
            "automation": "supervised",
        },
    }
    assert document.messages == (
        DocumentMessage(
            body={
                "role": "user",
                "content": "Café 😀?",
                "metadata": {"score": 1.0, "small": 1e-07},
            },
            message_id="01J8ZQ5V7K3M9N2P4R6S8T0W1Y",
            created_at_us=parse_us("2026-04-01T12:00:00.000001Z"),
        ),
        DocumentMessage(
            body={"role": "tool", "content": "42", "tool_call_id": "call_1"},
            message_id="01J8ZQ5V7K3M9N2P4R6S8T0W1Z",
            created_at_us=parse_us("2026-04-01T10:00:01Z"),
        ),
    )
    assert document.usage == (
        UsageEntry(
            event_id="imported",
            input_tokens=1_200,
            output_tokens=345,
            cost_nanousd=18_400_000,
            confidence="provider_cost",
            turn_id=None,
            recorded_at_us=parse_us("2026-04-01T12:00:02Z"),
        ),
    )
    assert document.source_key == golden()["checksum"]
    assert document.losses == ("times without a zone were taken as UTC",)


def test_golden_document_is_written_again_but_for_its_spelling_of_times() -> None:
    again = json.loads(written(NAME, read_one(GOLDEN.encode())))
    expected = golden()
    expected["created_at"] = "2026-04-01T11:59:59.000000Z"
    expected["updated_at"] = "2026-04-01T12:00:02.000000Z"
    expected["messages"][0]["timestamp"] = "2026-04-01T12:00:00.000001Z"
    expected["messages"][1]["timestamp"] = "2026-04-01T10:00:01.000000Z"
    expected["checksum"] = original_checksum(expected)
    assert again == expected


def test_document_with_our_times_is_written_again_as_it_was() -> None:
    once = written(NAME, read_one(GOLDEN.encode()))
    assert written(NAME, read_one(once)) == once


@pytest.mark.parametrize("version", ["1.0", "v3"])
@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_both_names_of_the_version_and_both_checksums_are_read(version: str, prefix: str) -> None:
    parsed = golden() | {"schema_version": version}
    parsed["checksum"] = prefix + original_checksum(parsed)
    assert read_one(json.dumps(parsed).encode()).session.agent == "local/orchestrator"


def test_checksum_is_written_bare() -> None:
    parsed = json.loads(written(NAME, full_document()))
    assert parsed["checksum"] == original_checksum(parsed)


def test_checksum_does_not_depend_on_layout() -> None:
    parsed = golden()
    data = json.dumps(parsed, indent=2, sort_keys=True, ensure_ascii=False).encode()
    assert read_one(data) == read_one(GOLDEN.encode())


@given(documents())
def test_reading_gives_back_what_was_written(document: Document) -> None:
    data = written(NAME, document)
    again = read_one(data)
    assert content(again) == content(document)
    assert not again.losses
    parsed = json.loads(data)
    assert parsed["checksum"] == original_checksum(parsed)


def test_plain_session_has_the_ancestors_fields_alone() -> None:
    at_us = EXPORTED_AT_US
    document = document_of([{"role": "user", "content": "hi"}], created_at_us=at_us)
    assert b"hansard" not in written(NAME, document)


def test_messages_fit_the_ancestors_model() -> None:
    bodies: list[dict[str, Any]] = [
        {"role": "developer", "content": "x"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": {"x": 1}, "tool_call_id": "c1"},
        {"content": 5},
        {},
    ]
    parsed = json.loads(written(NAME, document_of(bodies)))
    for message in parsed["messages"]:
        assert message["role"] in {"user", "assistant", "system", "tool"}
        assert isinstance(message["content"], str)
        assert message["content"]
    assert parsed["messages"][2]["content"] == "a"
    assert parsed["messages"][4]["tool_call_id"] == "c1"


def test_edited_text_wins_over_what_was_kept_beside_it() -> None:
    parsed = json.loads(written(NAME, full_document()))
    parsed["messages"][3]["content"] = "0.75"
    document = read_one(seal(parsed))
    body = held(document).messages
    assert [message.body for message in body][3] == {
        "role": "tool",
        "content": "0.75",
        "tool_call_id": "c1",
    }
    assert document.losses == ("message 3 was edited: only its text was kept",)


def test_edited_totals_win_over_the_entries_kept_beside_them() -> None:
    parsed = json.loads(written(NAME, full_document()))
    parsed["token_usage"]["input_tokens"] += 1
    document = read_one(seal(parsed))
    (entry,) = document.usage
    assert (entry.event_id, entry.input_tokens) == ("imported", 31)
    assert document.losses == ("token_usage was edited: only the totals were kept",)


def test_totals_beyond_those_of_one_call_are_written_and_read() -> None:
    (entry,) = full_document().usage
    large = structs.replace(entry, input_tokens=TOKENS_MAX, cost_nanousd=COST_MAX_NANOUSD)
    usage = tuple(structs.replace(large, event_id=f"e{n}") for n in range(3))
    document = replace(full_document(), usage=usage)
    assert read_one(written(NAME, document)).usage == usage


def test_entry_named_as_ours_that_is_not_stays() -> None:
    data = edited(lambda parsed: parsed["metadata"].update(hansard={"of": "parliament"}))
    assert read_one(data).session.metadata["hansard"] == {"of": "parliament"}


def test_our_own_entry_comes_back_though_the_format_uses_its_name() -> None:
    document = document_of(
        [], metadata={"hansard": {"of": "parliament"}}, created_at_us=5, updated_at_us=5
    )
    assert content(read_one(written(NAME, document))) == content(document)


@pytest.mark.parametrize("own", [{"messages": 1}, {"namespace": "local"}, {"x": None}, {}, 7])
def test_metadata_that_only_looks_like_the_ancestors_stays(own: object) -> None:
    document = document_of(
        [], metadata={"cleveragents": own, "x": 1}, created_at_us=5, updated_at_us=5
    )
    data = written(NAME, document)
    assert json.loads(data)["metadata"]["cleveragents"] == own
    assert content(read_one(data)) == content(document)


def test_metadata_under_the_ancestors_name_gives_way_and_is_reported() -> None:
    document = read_one(edited(lambda parsed: parsed["metadata"].update(cleveragents="mine")))
    assert "metadata key 'cleveragents' gave way to the source's own fields" in document.losses


def test_unknown_fields_of_a_message_are_kept() -> None:
    data = edited(lambda parsed: parsed["messages"][0].update(name="ada"))
    (first, _) = read_one(data).messages
    assert first.body["name"] == "ada"


def test_absent_fields_are_read_as_nothing() -> None:
    parsed = {"schema_version": "1.0", "session_id": "s", "messages": []}
    document = read_one(seal(parsed))
    assert content(document) == content(document_of([], session_id="s"))


@pytest.mark.parametrize("numbers", [(3, 7), (1, 0), (4, 4)])
def test_sequence_with_gaps_is_renumbered_and_reported(numbers: tuple[int, int]) -> None:
    parsed = golden()
    for message, number in zip(parsed["messages"], numbers, strict=True):
        message["sequence"] = number
    document = read_one(seal(parsed))
    said = [message.body["content"] for message in document.messages]
    assert said == (["42", "Café 😀?"] if numbers == (1, 0) else ["Café 😀?", "42"])
    assert any("sequence" in loss for loss in document.losses)


@pytest.mark.parametrize("version", ["2.0", "1", 1.0, None])
def test_other_versions_are_refused_before_the_checksum_is_looked_at(version: object) -> None:
    error = refused(json.dumps(golden() | {"schema_version": version}).encode())
    assert isinstance(error, InvalidInput)
    assert error.code == "unknown_schema"


@pytest.mark.parametrize("data", [b"[]", b"null", b"{}"])
def test_other_documents_are_refused(data: bytes) -> None:
    assert refused(data).code == "unknown_schema"


@pytest.mark.parametrize(
    "found", [None, "", "0" * 64, "sha256:sha256:" + golden()["checksum"], 7, ["x"]]
)
def test_wrong_checksum_is_refused_before_the_content_is_looked_at(found: object) -> None:
    error = refused(json.dumps(golden() | {"checksum": found, "messages": 5}).encode())
    assert isinstance(error, Corrupt)
    assert error.code == "checksum_mismatch"


def test_number_written_another_way_is_another_document() -> None:
    data = GOLDEN.encode().replace(b'"score": 1.0', b'"score": 1')
    assert refused(data).code == "checksum_mismatch"


@pytest.mark.parametrize(
    "data",
    [
        GOLDEN[:-20].encode(),
        GOLDEN.replace('"role": "user"', '"role": "user", "role": "user"').encode(),
        GOLDEN.replace("1e-07", "NaN").encode(),
        GOLDEN.replace("\\ude00", "").encode(),
        GOLDEN.replace("Caf", "\\u0000").encode(),
    ],
)
def test_json_that_no_record_holds_is_refused(data: bytes) -> None:
    assert refused(data).code == "invalid_json"


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "change",
    [
        lambda parsed: parsed.pop("messages"),
        lambda parsed: parsed.update(messages=[1]),
        lambda parsed: parsed.update(metadata=[]),
        lambda parsed: parsed.update(token_usage=7),
        lambda parsed: parsed.update(session_id="a/b"),
        lambda parsed: parsed.update(actor_name=7),
        lambda parsed: parsed.update(created_at="yesterday"),
        lambda parsed: parsed["token_usage"].update(input_tokens=-1),
        lambda parsed: parsed["token_usage"].update(output_tokens=1.5),
        lambda parsed: parsed["token_usage"].update(estimated_cost="much"),
        lambda parsed: parsed["messages"][0].update(role="developer"),
        lambda parsed: parsed["messages"][0].update(content=None),
        lambda parsed: parsed["messages"][0].update(metadata=[]),
        lambda parsed: parsed["messages"][0].update(metadata={"deep": _nested(63)}),
        lambda parsed: parsed["messages"][0].update(message_id="a b"),
        lambda parsed: parsed["messages"][0].update(sequence="0"),
        lambda parsed: parsed["messages"][0].update(timestamp=0),
    ],
)
def test_content_that_a_record_cannot_hold_is_refused(change: Callable[[Parsed], object]) -> None:
    assert isinstance(refused(edited(change)), InvalidInput)


def test_times_that_a_document_lacks_are_that_of_the_export() -> None:
    document = document_of([{"role": "user", "content": "hi"}])
    again = read_one(written(NAME, document))
    assert again.session.created_at_us == EXPORTED_AT_US
    assert [message.created_at_us for message in again.messages] == [EXPORTED_AT_US]
