"""The registry of formats, and the files that they read from."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from hansard.core.errors import Corrupt, InvalidInput, LimitReached
from hansard.core.strict_json import DEPTH_MAX
from hansard.formats.files import PIECE_BYTES, Source, gather
from hansard.formats.registry import FORMATS, detect, write
from tests.documents import EXPORTED_AT_US, document_of, full_document, reread, written


def test_formats_have_their_names() -> None:
    assert {name: (format.suffix, format.can_read) for name, format in FORMATS.items()} == {
        "native": (".json", True),
        "native-stream": (".jsonl", True),
        "cleveragents-1.0": (".json", True),
        "openai-chat": (".jsonl", True),
        "markdown": (".md", False),
    }
    assert all(format.can_write and format.media_type for format in FORMATS.values())


def test_registry_cannot_be_changed() -> None:
    formats: Any = FORMATS
    with pytest.raises(TypeError):
        formats["mine"] = formats["native"]


def test_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"native, native-stream, .*, markdown") as caught:
        write("yaml", full_document(), EXPORTED_AT_US)
    assert caught.value.code == "unknown_format"


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.can_read])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_file_tells_its_format(name: str, pack: Any) -> None:
    file = io.BytesIO(pack(written(name, full_document())))
    assert detect(file) == name
    assert file.tell() == 0


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", None),
        (b"# page", None),
        (b'[{"content":"\\"format\\": \\"hansard\\"","role":"user"}]', "openai-chat"),
        (b'{"actor_name": null, "checksum": "x"}', "cleveragents-1.0"),
    ],
)
def test_format_is_guessed_by_what_stands_outside_of_strings(data: bytes, name: str | None) -> None:
    assert detect(io.BytesIO(data)) == name


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.can_read])
def test_deepest_message_is_read_back(name: str) -> None:
    value: Any = "bottom"
    for _ in range(DEPTH_MAX - 1):
        value = [value]
    body = {"role": "user", "content": value}
    (document,) = reread(name, written(name, document_of([body])))
    assert [message.body for message in document.messages] == [body]


def test_export_comes_in_pieces_of_some_size() -> None:
    document = document_of({"role": "user", "content": "x" * 1_000} for _ in range(200))
    pieces = list(write("native-stream", document, EXPORTED_AT_US))
    assert len(pieces) == 4
    assert all(PIECE_BYTES <= len(piece) < PIECE_BYTES + 2_000 for piece in pieces[:-1])


def test_nothing_gathered_is_nothing() -> None:
    assert list(gather([])) == []


def test_file_over_the_bound_is_refused() -> None:
    source = Source(io.BytesIO(b"x" * 11), document_bytes_max=10)
    with pytest.raises(LimitReached) as caught:
        source.read_all()
    assert caught.value.code == "document_too_large"
    assert Source(io.BytesIO(b"x" * 10), document_bytes_max=10).read_all() == b"x" * 10


def test_damaged_gzip_is_refused() -> None:
    with pytest.raises(Corrupt) as caught:
        Source(io.BytesIO(b"\x1f\x8bnot gzip at all")).read_all()
    assert caught.value.code == "damaged_gzip"
