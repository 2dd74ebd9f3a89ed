"""The native document: it says everything, proves itself, and is refused when it does not."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from hypothesis import given

from hansard.core.digest import GENESIS
from hansard.core.documents import SCHEMA_VERSION, Document
from hansard.core.errors import Corrupt, HansardError, InvalidInput, LimitReached
from hansard.core.usage import TOKEN_FIELDS
from hansard.formats import native
from hansard.formats.files import DOCUMENT_BYTES_MAX, check_document_size
from tests.documents import (
    EXPORTED_AT_US,
    content,
    document_of,
    documents,
    full_document,
    reread,
    written,
)

Parsed = dict[str, Any]

FIELDS_2 = {
    "event_id",
    "turn_id",
    "provider",
    "model",
    *TOKEN_FIELDS,
    "cost_usd",
    "recorded_at",
}
"""What version 2 said of a call."""


def seal(parsed: Parsed) -> bytes:
    """Give an edited document a checksum that fits."""
    rest = {name: value for name, value in parsed.items() if name != "integrity"}
    checksum = hashlib.sha256(rfc8785.dumps(rest)).hexdigest()
    integrity = {**parsed["integrity"], "checksum": f"sha256:{checksum}"}
    return json.dumps({**rest, "integrity": integrity}).encode()


def parse(document: Document) -> Parsed:
    parsed: Parsed = json.loads(written("native", document))
    return parsed


def refused(data: bytes) -> HansardError:
    with pytest.raises(HansardError) as caught:
        reread("native", data)
    return caught.value


def edited(change: Callable[[Parsed], object]) -> bytes:
    parsed = parse(full_document())
    change(parsed)
    return seal(parsed)


@given(documents())
def test_reading_gives_back_what_was_written(document: Document) -> None:
    (again,) = reread("native", written("native", document))
    assert content(again) == content(document)


def test_document_has_its_fields() -> None:
    parsed = parse(full_document())
    assert parsed["format"] == "hansard"
    assert parsed["schema_version"] == SCHEMA_VERSION
    assert parsed["exported_at"] == "2026-02-03T04:05:06.000007Z"
    assert parsed["lineage"] == {"parent_session_id": "sess_0", "forked_at_seq": 1}
    assert parsed["usage"][0]["cost_usd"] == "0.018400001"
    assert parsed["messages"][1]["seq"] == 1
    assert parsed["digest"]["head"] == parsed["messages"][-1]["digest"]


def test_checksum_is_that_of_the_canonical_form() -> None:
    data = written("native", full_document())
    assert json.loads(data)["integrity"] == json.loads(seal(json.loads(data)))["integrity"]


def test_message_keeps_its_order_of_keys() -> None:
    body = {"content": "x", "role": "user", "b": 1.0, "a": 1e-7}
    data = written("native", document_of([body]))
    assert b'"message":{"content":"x","role":"user","b":1.0,"a":1e-07}' in data


def test_source_key_is_the_checksum() -> None:
    data = written("native", full_document())
    (document,) = reread("native", data)
    assert document.source_key == json.loads(data)["integrity"]["checksum"]
    assert document.source_format == "native"


def test_empty_session_has_the_digest_of_nothing() -> None:
    (document,) = reread("native", written("native", document_of([])))
    assert document.digest == GENESIS.hex()


def test_messages_are_taken_once_when_the_digest_is_known() -> None:
    (known,) = reread("native", written("native", full_document()))
    lazy = replace(known, messages=iter(known.messages))
    assert written("native", lazy) == written("native", known)


def test_writing_other_messages_than_the_digest_names_is_refused() -> None:
    document = replace(full_document(), digest=GENESIS.hex())
    with pytest.raises(Corrupt, match="digest"):
        written("native", document)


def test_gzip_is_read_too() -> None:
    document = full_document()
    (again,) = reread("native", gzip.compress(written("native", document)))
    assert content(again) == content(document)


def test_newer_schema_is_refused_before_its_checksum_is_looked_at() -> None:
    data = written("native", full_document()).replace(b'"schema_version":3', b'"schema_version":4')
    error = refused(data)
    assert isinstance(error, InvalidInput)
    assert error.code == "schema_too_new"
    assert error.details == {"schema_version": 4, "supported": 3}


def of_version_2(parsed: Parsed) -> Parsed:
    """A document as it was before calls had a price."""
    for entry in parsed["usage"]:
        for field in set(entry) - FIELDS_2:
            del entry[field]
    for turn in parsed["turns"]:
        if turn["usage"]:
            del turn["usage"]["unpriced_calls"]
    return parsed | {"schema_version": 2}


def test_document_of_version_2_is_read() -> None:
    (now,) = reread("native", written("native", full_document()))
    (document,) = reread("native", seal(of_version_2(parse(full_document()))))
    assert (document.session, document.messages) == (now.session, now.messages)
    assert document.turns == now.turns
    (entry,) = document.usage
    assert (entry.input_tokens, entry.cost_nanousd) == (30, 18_400_001)
    assert (entry.confidence, entry.price_version) == ("provider_cost", None)


def test_call_that_cost_nothing_in_version_2_is_unpriced() -> None:
    parsed = of_version_2(parse(full_document()))
    parsed["usage"][0]["cost_usd"] = "0"
    (document,) = reread("native", seal(parsed))
    (entry,) = document.usage
    assert (entry.cost_nanousd, entry.confidence) == (None, "provider_usage")


@pytest.mark.parametrize("version", [1, 0, -1, "2", 2.0, True, None])
def test_schema_that_never_was_is_refused(version: object) -> None:
    parsed = parse(full_document()) | {"schema_version": version}
    assert refused(json.dumps(parsed).encode()).code == "unknown_schema"


@pytest.mark.parametrize("data", [b"[]", b"1", b'{"format":"other"}', b'{"schema_version":"1.0"}'])
def test_other_documents_are_refused(data: bytes) -> None:
    assert refused(data).code == "unknown_schema"


def test_damage_is_refused_before_the_content_is_looked_at() -> None:
    data = written("native", full_document()).replace(b'"archived":true', b'"archived":1234')
    error = refused(data)
    assert isinstance(error, Corrupt)
    assert error.code == "checksum_mismatch"


def test_every_damaged_byte_is_refused() -> None:
    data = written("native", document_of([{"role": "user", "content": "h\u00e9 0.5"}], title="t"))
    for position in range(len(data) - 1):  # the last is a newline
        damaged = data[:position] + bytes([data[position] ^ 0x01]) + data[position + 1 :]
        refused(damaged)


def test_every_truncation_is_refused() -> None:
    data = written("native", document_of([{"role": "user", "content": "hi"}]))
    for size in range(len(data) - 1):
        assert isinstance(refused(data[:size]), InvalidInput)


def test_broken_chain_is_refused() -> None:
    data = edited(lambda parsed: parsed["messages"][1]["message"].update(content="forged"))
    error = refused(data)
    assert isinstance(error, Corrupt)
    assert (error.code, error.details) == ("digest_mismatch", {"seq": 1})


def test_head_of_other_messages_is_refused() -> None:
    assert refused(edited(lambda parsed: parsed["messages"].pop())).code == "digest_mismatch"


@pytest.mark.parametrize(
    "change",
    [
        lambda parsed: parsed.pop("turns"),
        lambda parsed: parsed.update(extra=1),
        lambda parsed: parsed.update(exported_at="yesterday"),
        lambda parsed: parsed["session"].update(session_id="no\nid"),
        lambda parsed: parsed["session"].update(title="x" * 2_000),
        lambda parsed: parsed["session"].update(metadata=[]),
        lambda parsed: parsed["session"].update(created_at=7),
        lambda parsed: parsed["lineage"].update(parent_session_id="sess_1"),
        lambda parsed: parsed["lineage"].update(forked_at_seq=-1),
        lambda parsed: parsed["messages"][0].update(seq=1),
        lambda parsed: parsed["messages"][0].update(message_id="a b"),
        lambda parsed: parsed["messages"][0].update(message="text"),
        lambda parsed: parsed["turns"][0].update(last_seq=9),
        lambda parsed: parsed["turns"][0].update(first_seq=None),
        lambda parsed: parsed["turns"][0].update(status="done"),
        lambda parsed: parsed["turns"][0].update(turn_id=""),
        lambda parsed: parsed["turns"][0].update(content_hash="0A" * 32),
        lambda parsed: parsed["turns"][0].update(content_hash=""),
        lambda parsed: parsed["turns"][0]["usage"].update(calls=-1),
        lambda parsed: parsed["turns"][0]["usage"].update(cost_usd="-x"),
        lambda parsed: parsed["usage"][0].update(input_tokens=-1),
        lambda parsed: parsed["usage"][0].update(input_tokens=1.5),
        lambda parsed: parsed["usage"][0].update(cost_usd="NaN"),
        lambda parsed: parsed["usage"][0].update(turn_id="/"),
        lambda parsed: parsed["usage"][0].update(reverses="turn_0.0"),
        lambda parsed: parsed["usage"][0].update(confidence="certain"),
        lambda parsed: parsed["usage"][0].update(web_searches=-1),
        lambda parsed: parsed["digest"].update(algorithm="md5"),
    ],
)
def test_content_that_a_record_cannot_hold_is_refused(change: Callable[[Parsed], object]) -> None:
    assert isinstance(refused(edited(change)), InvalidInput)


@pytest.mark.parametrize("change", [{"algorithm": "md5"}, {"canonicalization": "mine"}])
def test_unknown_integrity_is_refused(change: Parsed) -> None:
    parsed = parse(full_document())
    parsed["integrity"].update(change)
    assert refused(json.dumps(parsed).encode()).code == "invalid_document"


def test_document_without_a_checksum_is_refused() -> None:
    parsed = parse(full_document())
    del parsed["integrity"]
    assert refused(json.dumps(parsed).encode()).code == "invalid_document"


def test_document_too_large_to_be_read_back_is_refused() -> None:
    check_document_size(DOCUMENT_BYTES_MAX)
    with pytest.raises(LimitReached) as caught:
        check_document_size(DOCUMENT_BYTES_MAX + 1)
    assert caught.value.code == "document_too_large"


def test_writer_holds_one_message_at_a_time() -> None:
    (known,) = reread("native", written("native", full_document()))
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for message in known.messages:
            taken += 1
            yield message

    pieces = native.write(replace(known, messages=counted()), EXPORTED_AT_US)
    assert next(pieces).startswith(b'{"digest"')
    assert taken == 0
    while b'"seq":0' not in next(pieces):
        assert taken <= 1
