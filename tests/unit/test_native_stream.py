"""The native stream: line by line, in constant memory, and nothing of it unless all is well."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.documents import Document, DocumentMessage
from hansard.core.errors import Corrupt, HansardError, InvalidInput, LimitReached
from hansard.formats import native_stream, registry
from hansard.formats.files import Source
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

NAME = "native-stream"
MANY = 50_000

Parsed = dict[str, Any]


def lines_of(document: Document) -> list[Parsed]:
    return [json.loads(line) for line in written(NAME, document).splitlines()]


def seal(records: list[Parsed]) -> bytes:
    """Write edited records with a trailer that fits."""
    running = bytes(32)
    for record in records[:-1]:
        running = hashlib.sha256(running + rfc8785.dumps(record)).digest()
    trailer = {"type": "trailer", "count": len(records) - 2, "root_hash": running.hex()}
    return b"".join(json.dumps(record).encode() + b"\n" for record in [*records[:-1], trailer])


def refused(data: bytes) -> HansardError:
    with pytest.raises(HansardError) as caught:
        reread(NAME, data)
    return caught.value


def edited(change: Callable[[list[Parsed]], object]) -> bytes:
    records = lines_of(full_document())
    change(records)
    return seal(records)


def small() -> bytes:
    body = {"role": "user", "content": "h\u00e9", "score": 0.5, "more": [True, None]}
    return written(NAME, document_of([body], title="t"))


@given(st.lists(documents(), min_size=1, max_size=3))
def test_reading_gives_back_what_was_written(written_documents: list[Document]) -> None:
    data = b"".join(written(NAME, document) for document in written_documents)
    again = reread(NAME, data)
    assert [content(document) for document in again] == list(map(content, written_documents))


def test_file_is_header_records_trailer() -> None:
    records = lines_of(full_document())
    kinds = ["header", "session", *["message"] * 4, *["turn"] * 2, "usage", "trailer"]
    assert [record["type"] for record in records] == kinds
    assert records[0]["session_id"] == "sess_1"
    assert records[-1]["count"] == len(records) - 2


def test_root_hash_runs_over_header_and_records() -> None:
    records = lines_of(full_document())
    assert json.loads(seal(records).splitlines()[-1]) == records[-1]


def test_source_key_is_the_root_hash() -> None:
    (document,) = reread(NAME, small())
    assert document.source_key == "sha256:" + json.loads(small().splitlines()[-1])["root_hash"]


def test_parts_may_be_read_in_any_order_and_again() -> None:
    known = full_document()
    for packed in (False, True):
        data = written(NAME, known) * 2
        source = io.BytesIO(gzip.compress(data) if packed else data)
        first, second = registry.read(NAME, source)
        assert tuple(second.usage) == known.usage
        together = list(zip(first.messages, second.messages, first.turns, strict=False))
        assert [pair[0] for pair in together] == list(known.messages)[:2]  # as many as turns
        assert content(first) == content(second) == content(known)


def test_gzip_is_read_too_and_may_be_put_together() -> None:
    known = full_document()
    packed = gzip.compress(written(NAME, known))
    assert [content(document) for document in reread(NAME, packed + packed)] == [content(known)] * 2


def test_every_damaged_byte_is_refused() -> None:
    data = small()
    for position in range(len(data)):
        for flip in (0x01, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[position] ^= flip
            refused(bytes(damaged))


@given(st.data())
def test_any_single_damage_is_refused(data: st.DataObject) -> None:
    whole = small()
    position = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(
        st.binary(max_size=2).filter(lambda new: new != whole[position : position + 1])
    )
    damaged = whole[:position] + byte + whole[position + 1 :]
    if _says_the_same(damaged, whole):  # white space, or another way to write the same number
        return
    refused(damaged)


def _says_the_same(damaged: bytes, whole: bytes) -> bool:
    try:
        return [json.loads(line) for line in damaged.split(b"\n") if line] == [
            json.loads(line) for line in whole.split(b"\n") if line
        ]
    except ValueError:
        return False


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_damaged_gzip_gives_nothing_else(flip: int) -> None:
    packed = gzip.compress(small(), mtime=0)
    (known,) = reread(NAME, small())
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= flip
        try:
            documents = reread(NAME, bytes(damaged))
        except HansardError:
            continue
        assert documents == [known]  # a flag or a time in gzip's own header


def test_every_truncation_is_refused() -> None:
    data = written(NAME, full_document())
    for size in range(len(data)):
        error = refused(data[:size])
        assert isinstance(error, Corrupt)
        assert error.code == "truncated"


def test_truncated_gzip_is_refused() -> None:
    packed = gzip.compress(small())
    for size in range(3, len(packed)):
        assert isinstance(refused(packed[:size]), Corrupt)


def test_second_session_cut_off_gives_not_even_the_first() -> None:
    source = io.BytesIO(small() + small()[:-2])
    with pytest.raises(Corrupt):
        next(registry.read(NAME, source))


def test_session_without_trailer_before_another_is_refused() -> None:
    cut = b"".join(small().splitlines(keepends=True)[:-1])
    assert refused(cut + small()).code == "truncated"


def test_newer_schema_is_refused_before_anything_else() -> None:
    data = small().replace(b'"schema_version":3', b'"schema_version":4')
    assert refused(data[:-40]).code == "schema_too_new"


def test_other_files_are_refused() -> None:
    assert refused(b'{"messages":[]}\n').code == "unknown_schema"
    assert refused(b"[]\n").code == "invalid_document"
    assert refused(b"\n").code == "invalid_json"


def test_damage_is_told_before_the_content_is_judged() -> None:
    data = written(NAME, full_document()).replace(b'"archived":true', b'"archived":1234')
    assert refused(data).code == "checksum_mismatch"


def test_broken_chain_is_refused() -> None:
    data = edited(lambda records: records[3]["message"].update(content="forged"))
    error = refused(data)
    assert isinstance(error, Corrupt)
    assert error.code == "digest_mismatch"


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records.pop(1),
        lambda records: records.insert(2, records[1]),
        lambda records: records.insert(1, records[2]),
        lambda records: records.append(records[2]) or records.append(records.pop(-2)),
        lambda records: records[2].update(type="note"),
        lambda records: records[2].update(type=["message"]),
        lambda records: records[2].update(seq=5),
        lambda records: records[2].update(extra=1),
        lambda records: records[2].update(turn_id="a b"),
        lambda records: records[1].update(owner=7),
        lambda records: records[1]["lineage"].update(parent_session_id="sess_1"),
        lambda records: records[-2].update(cached_tokens=31),
        lambda records: records[-3].update(first_seq=4, last_seq=4),
        lambda records: records[0].update(session_id="other"),
        lambda records: records[0].update(exported_at="now"),
        lambda records: records[0].update(type="start"),
        lambda records: records[0]["integrity"].update(algorithm="md5"),
        lambda records: records[0].update(extra=1),
        lambda records: records.__setitem__(slice(1, -1), []),
    ],
)
def test_content_out_of_shape_is_refused(change: Callable[[list[Parsed]], object]) -> None:
    error = refused(edited(change))
    assert isinstance(error, InvalidInput)


def test_sessions_that_descend_from_each_other_are_refused() -> None:
    first = document_of([], session_id="a", parent_session_id="b")
    second = document_of([], session_id="b", parent_session_id="a")
    assert refused(written(NAME, first) + written(NAME, second)).code == "invalid_lineage"


def test_parent_in_the_file_or_unknown_is_read() -> None:
    first = document_of([], session_id="a", parent_session_id="elsewhere")
    second = document_of([], session_id="b", parent_session_id="a")
    assert len(reread(NAME, written(NAME, first) + written(NAME, second))) == 2


def test_file_that_shrinks_between_the_passes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_bytes(small())
    with path.open("rb", buffering=0) as file:
        (document,) = registry.read(NAME, file)
        path.write_bytes(small()[:10])
        with pytest.raises(Corrupt):
            held(document)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_line_over_the_bound_is_refused(pack: Callable[[bytes], bytes]) -> None:
    data = pack(b'{"x":"' + b" " * 10_000 + b'"}\n')
    source = Source(io.BytesIO(data), line_bytes_max=1_000)
    with pytest.raises(LimitReached) as caught:
        list(native_stream.read(source))
    assert caught.value.code == "line_too_long"


def test_gzip_that_unpacks_over_the_bound_is_refused() -> None:
    packed = gzip.compress(small() * 100)
    with pytest.raises(LimitReached) as caught:
        list(native_stream.read(Source(io.BytesIO(packed), unpacked_bytes_max=10_000)))
    assert caught.value.code == "file_too_large"


class Watch:
    """Looks now and then at how many objects are alive."""

    def __init__(self) -> None:
        self._ticks = 0
        self._start = sys.getallocatedblocks()
        self.growth = 0

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % 1_000 == 0:
            self.growth = max(self.growth, sys.getallocatedblocks() - self._start)


class WatchedFile(io.BufferedReader):
    """A file that is watched while it is read."""

    def __init__(self, raw: io.FileIO, watch: Watch) -> None:
        super().__init__(raw)
        self._watch = watch

    def readline(self, size: int | None = -1, /) -> bytes:
        self._watch.tick()
        return super().readline(size)


@pytest.mark.no_cover  # long, and tracing makes it thrice as long
def test_memory_is_constant_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    watch = Watch()

    def said() -> Iterator[DocumentMessage]:
        for n in range(MANY):
            watch.tick()
            yield DocumentMessage(body={"role": "user", "content": str(n)}, message_id=f"m{n}")

    with path.open("wb") as file:
        document = replace(document_of([]), messages=said())
        file.writelines(registry.write(NAME, document, EXPORTED_AT_US))
    with WatchedFile(io.FileIO(path), watch) as watched:
        (again,) = registry.read(NAME, watched)
        count = sum(1 for _ in again.messages)
    assert count == MANY
    assert watch.growth < MANY / 40
