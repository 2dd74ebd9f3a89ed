"""Every format under its name, and the way in and out of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, Final

from hansard.core.documents import Document
from hansard.core.errors import InvalidInput
from hansard.formats import cleveragents, markdown, native, native_stream, openai_chat
from hansard.formats.files import Source, gather

Reader = Callable[[Source], Iterator[Document]]
"""Gives the documents of a file, the first only when all of them have been checked."""

Writer = Callable[[Document, int], Iterator[bytes]]
"""Writes one document, given the time of the export."""


@dataclass(frozen=True, slots=True)
class Format:
    """A shape of file; ``reader`` or ``writer`` is None where there is no such way."""

    media_type: str
    suffix: str
    writer: Writer | None
    reader: Reader | None

    @property
    def can_read(self) -> bool:
        """Whether sessions can be imported from it."""
        return self.reader is not None

    @property
    def can_write(self) -> bool:
        """Whether sessions can be exported to it."""
        return self.writer is not None


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        native.NAME: Format("application/json", ".json", native.write, native.read),
        native_stream.NAME: Format(
            "application/x-ndjson", ".jsonl", native_stream.write, native_stream.read
        ),
        cleveragents.NAME: Format(
            "application/json", ".json", cleveragents.write, cleveragents.read
        ),
        openai_chat.NAME: Format(
            "application/x-ndjson", ".jsonl", openai_chat.write, openai_chat.read
        ),
        markdown.NAME: Format("text/markdown; charset=utf-8", ".md", markdown.write, None),
    }
)

_START_BYTES = 4_096
# What a file of the format has near its start, and inside a string could only be escaped.
_MARKS: Final = (
    (native_stream.NAME, re.compile(rb'"format"\s*:\s*"hansard-stream"')),
    (native.NAME, re.compile(rb'"format"\s*:\s*"hansard"')),
    (cleveragents.NAME, re.compile(rb'"schema_version"\s*:\s*"|"actor_name"\s*:')),
    (openai_chat.NAME, re.compile(rb'"messages"\s*:|"role"\s*:')),
)


def read(name: str, source: BinaryIO) -> Iterator[Document]:
    """Read a file, plain or gzip; the first document comes when all have been checked.

    The file must be seekable, and stay open and unchanged while the documents are consumed.

    Raises:
        InvalidInput: ``unknown_format``; ``schema_too_new`` and others of the format.
        Corrupt: If a checksum or the digest chain does not match, or the file was cut off.
        LimitReached: If a line or a document is too large.
    """
    reader = FORMATS[name].reader if name in FORMATS else None
    if reader is None:
        raise _unknown(name, [known for known, format in FORMATS.items() if format.can_read])
    return reader(Source(source))


def write(name: str, document: Document, exported_at_us: int) -> Iterator[bytes]:
    """Write a document in pieces of about 64 KiB.

    Raises:
        InvalidInput: ``unknown_format``.
        Corrupt: ``digest_mismatch``, if the messages are not those that the digest names.
        LimitReached: If the document would be too large to be read back.
    """
    writer = FORMATS[name].writer if name in FORMATS else None
    if writer is None:
        raise _unknown(name, [known for known, format in FORMATS.items() if format.can_write])
    return gather(writer(document, exported_at_us))


def detect(source: BinaryIO) -> str | None:
    """Guess the format of a file by its first bytes; None if they say nothing."""
    start = Source(source).read_start(_START_BYTES)
    source.seek(0)
    return next((name for name, mark in _MARKS if mark.search(start)), None)


def _unknown(name: str, known: list[str]) -> InvalidInput:
    return InvalidInput(
        f"format {name!r} is not one of {', '.join(known)}", code="unknown_format", known=known
    )
