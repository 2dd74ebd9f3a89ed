"""Exports and imports over HTTP."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections.abc import AsyncGenerator
from typing import Final, cast

from hansard.core.errors import Corrupt, InvalidInput, LimitReached
from hansard.core.ids import check_id
from hansard.formats.registry import FORMATS
from hansard.server import answers, bodies
from hansard.server.calls import JSON, Call, Reply, Stream, to_json

_GZIP_MAGIC: Final = b"\x1f\x8b"
IMPORT_TYPES: Final = frozenset(
    {
        b"",
        JSON,
        b"application/x-ndjson",
        b"application/jsonl",
        b"application/gzip",
        b"application/octet-stream",
    }
)


async def export_session(call: Call[bodies.ExportQuery, None]) -> Stream:
    """Write a session as a document, while it is read."""
    format = FORMATS[_known(call.query.format)]
    session_id = check_id(call.session_id, "session_id")
    disposition = f'attachment; filename="{session_id}{format.suffix}"'
    document = call.record.export_session(call.session_id, call.query.format)
    return Stream(
        # The face promises an iterator; what a database gives is a generator, to be closed.
        cast("AsyncGenerator[bytes, None]", document),
        format.media_type.encode(),
        ((b"content-disposition", disposition.encode()),),
    )


async def import_session(call: Call[bodies.ImportQuery, bytes]) -> Reply:
    """Read a document into new sessions, all or none of it, once."""
    document = await asyncio.to_thread(
        _unpack, call.body, call.context.settings.limits.history_limit_bytes
    )
    try:
        report = await call.record.import_session(
            document, _known(call.query.format), dry_run=call.query.dry_run
        )
    except Corrupt as exc:  # what was sent is damaged, not what is stored
        raise InvalidInput(exc.message, code=exc.code, **exc.details) from exc
    return Reply(to_json(answers.ImportAnswer.of(report)))


def _unpack(body: bytes, limit_bytes: int) -> bytes:
    """Unpack a body if it is gzip, as far as a plain one might reach."""
    if not body.startswith(_GZIP_MAGIC):
        return body
    try:
        with gzip.open(io.BytesIO(body)) as file:
            unpacked = file.read(limit_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise InvalidInput(f"damaged gzip file: {exc}", code="damaged_gzip") from exc
    if len(unpacked) > limit_bytes:
        raise LimitReached(f"unpacks to over {limit_bytes} bytes", code="body_too_large")
    return unpacked


def _known(format: str) -> str:
    """Refuse what is no format of files: a database on this machine is not the caller's."""
    if format not in FORMATS:
        raise InvalidInput(f"format must be one of {', '.join(FORMATS)}", code="unknown_format")
    return format
