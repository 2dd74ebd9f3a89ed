"""The format ``native``: one session, whole, as one JSON document that proves itself.

    {"digest", "exported_at", "format", "lineage", "messages", "schema_version", "session",
     "turns", "usage",                                  in this order, which is canonical
     "integrity": {"checksum": sha256 of the canonical form of all the above, ...}}

Since the members come in canonical order, the writer hashes while it writes and holds one
message at a time. The reader holds the document; larger ones travel as ``native-stream``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, Literal

from hansard.core.digest import GENESIS, chain
from hansard.core.documents import SCHEMA_VERSION, Document
from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.shapes import described
from hansard.core.strict_json import DEPTH_MAX, canonicalize, dumps, loads
from hansard.core.times import format_us, parse_us
from hansard.formats.files import Source, check_document_size
from hansard.formats.records import (
    DIGEST_CHAIN,
    LineageRecord,
    MessageRecord,
    Record,
    SessionRecord,
    TurnRecord,
    UsageRecord,
    check_place,
    check_version,
    lineage_record,
    message_records,
    read_message,
    read_session,
    read_shape,
    read_turn,
    read_usage,
    session_record,
    turn_record,
    usage_record,
)

NAME: Final = "native"
FORMAT: Final = "hansard"
_AROUND_MESSAGE = 3  # document, list, record

Piece = tuple[bytes, bytes]
"""The same part of a document, as it is written and in canonical form."""


class DigestRecord(Record):
    """The digest chain's head."""

    algorithm: Literal["sha256"]
    chain: str
    head: str


@described
class IntegrityRecord(Record):
    """What the checksum is made of, and the checksum."""

    algorithm: Literal["sha256"]
    canonicalization: Literal["rfc8785"]
    checksum: str


@described
class DocumentRecord(Record):
    """The whole document."""

    format: str
    schema_version: int
    exported_at: str
    session: SessionRecord
    lineage: LineageRecord
    messages: list[MessageRecord]
    turns: list[TurnRecord]
    usage: list[UsageRecord]
    digest: DigestRecord
    integrity: IntegrityRecord


def write(document: Document, exported_at_us: int) -> Iterator[bytes]:
    """Write a document; one that does not carry its digest is held in memory.

    Raises:
        Corrupt: ``digest_mismatch``, if the messages are not those that the digest names.
        LimitReached: If the document grows too large to be read back.
    """
    if document.digest is None:
        messages = list(document.messages)
        digests = chain(GENESIS, (canonicalize(message.body) for message in messages))
        head = digests[-1] if digests else GENESIS
        document = replace(document, messages=messages, digest=head.hex())
    hasher = hashlib.sha256()
    size_bytes = 0
    for text, canonical in _pieces(document, exported_at_us):
        hasher.update(canonical)
        size_bytes += len(text)
        check_document_size(size_bytes)
        yield text
    integrity = {
        "algorithm": "sha256",
        "canonicalization": "rfc8785",
        "checksum": f"sha256:{_closed(hasher)}",
    }
    yield f',"integrity":{dumps(integrity)}}}\n'.encode()


def read(source: Source) -> Iterator[Document]:
    """Read a document: first its version, then its checksum, then its content.

    Raises:
        InvalidInput: ``schema_too_new`` and others.
        Corrupt: ``checksum_mismatch`` or ``digest_mismatch``.
    """
    parsed = loads(source.read_all(), depth_max=DEPTH_MAX + _AROUND_MESSAGE)
    check_version(parsed, FORMAT)
    checksum = _check_integrity(parsed)
    record = read_shape(parsed, DocumentRecord)
    parse_us(record.exported_at, "exported_at")
    _check_chain(record)
    yield Document(
        session=read_session(record.session, record.lineage),
        messages=[read_message(message) for message in record.messages],
        turns=[read_turn(turn, len(record.messages)) for turn in record.turns],
        usage=[read_usage(entry) for entry in record.usage],
        source_format=NAME,
        source_key=checksum,
        digest=record.digest.head,
    )


def _pieces(document: Document, exported_at_us: int) -> Iterator[Piece]:
    digest = {"algorithm": "sha256", "chain": DIGEST_CHAIN, "head": document.digest}
    yield _member(b'{"digest":', digest)
    yield _member(b',"exported_at":', format_us(exported_at_us))
    yield _member(b',"format":', FORMAT)
    yield _member(b',"lineage":', lineage_record(document.session))
    yield from _list(b',"messages":', message_records(document))
    yield _member(b',"schema_version":', SCHEMA_VERSION)
    yield _member(b',"session":', session_record(document.session))
    yield from _list(b',"turns":', map(turn_record, document.turns))
    yield from _list(b',"usage":', map(usage_record, document.usage))


def _member(start: bytes, value: Any) -> Piece:
    return start + dumps(value, depth_max=DEPTH_MAX + 1).encode(), start + canonicalize(value)


def _list(start: bytes, items: Iterable[Any]) -> Iterator[Piece]:
    yield start + b"[", start + b"["
    for index, item in enumerate(items):
        yield _member(b"," if index else b"", item)
    yield b"]", b"]"


def _closed(hasher: hashlib._Hash) -> str:
    hasher.update(b"}")
    return hasher.hexdigest()


def _check_integrity(parsed: dict[str, Any]) -> str:
    if "integrity" not in parsed:
        raise InvalidInput("a document without its checksum", code="invalid_document")
    integrity = read_shape(parsed["integrity"], IntegrityRecord)
    rest = {name: value for name, value in parsed.items() if name != "integrity"}
    checksum = f"sha256:{hashlib.sha256(canonicalize(rest)).hexdigest()}"
    if integrity.checksum != checksum:
        raise Corrupt("the document is not what its checksum names", code="checksum_mismatch")
    return checksum


def _check_chain(record: DocumentRecord) -> None:
    digest = GENESIS
    for seq, message in enumerate(record.messages):
        digest = check_place(message, seq, digest)
    if record.digest.head != digest.hex():
        raise Corrupt("the digest names other messages", code="digest_mismatch")
