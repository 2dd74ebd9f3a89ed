"""Requests: bodies and headers, read with bounds and without trust.

A body is refused while it comes in, as soon as it is too long, by what it announces and by
what it brings.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from hansard.alarms import Alarm
from hansard.core import strict_json
from hansard.core.errors import InvalidInput, LimitReached

S = TypeVar("S", bound=msgspec.Struct)
RequestHeaders = Mapping[bytes, bytes]

PAUSE_MAX_S = 30.0  # between two pieces of a body: a silent client gives its place back
RATE_MIN_BYTES_S = 65_536  # of a body beyond that pause: nor is a place held by dripping
THREAD_BYTES = 65_536  # larger bodies are parsed beside the event loop, not in it
JSON_TYPES: Final = frozenset({b"application/json"})
_AROUND_MESSAGE = 2  # levels of a body above what the record holds: an object, a list

_VERSION = re.compile(rb"\d{1,18}")
_TAG = re.compile(rb'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')


def check_path(raw_path: bytes | None) -> None:
    """Refuse an encoded slash: the router would take what is part of an id for a way on.

    Raises:
        InvalidInput: With code ``invalid_id``.
    """
    if raw_path and b"%" in raw_path and b"%2f" in raw_path.lower():
        raise InvalidInput("no id has a slash", code="invalid_id")


async def read_body(receive: Receive, headers: RequestHeaders, limit_bytes: int) -> bytes:
    """Read a body of at most ``limit_bytes``.

    Raises:
        LimitReached: With code ``body_too_large``.
        InvalidInput: With code ``request_timeout``.
        ClientDisconnect: If the client went away.
    """
    if (announced_bytes(headers) or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    pieces: list[bytes] = []
    size_bytes = 0
    started = time.monotonic()
    while True:
        message = await _next_piece(receive)
        piece = message.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces) if len(pieces) > 1 else piece
        if time.monotonic() - started > PAUSE_MAX_S + size_bytes / RATE_MIN_BYTES_S:
            raise InvalidInput("the body comes too slowly", code="request_timeout")


def announced_bytes(headers: RequestHeaders) -> int | None:
    """The length that a request announces; None if it comes in chunks."""
    if b"transfer-encoding" in headers:
        return None
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() else None


def check_media_type(headers: RequestHeaders, allowed: Collection[bytes]) -> None:
    """Refuse a body of another type, or one in disguise.

    Raises:
        InvalidInput: With code ``unsupported_media_type``.
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise _unsupported("the body must not be content-encoded")
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type not in allowed:
        names = b", ".join(sorted(filter(None, allowed))).decode()
        raise _unsupported(f"the content type must be {names}")


async def parse(body: bytes, shape: type[S]) -> S:
    """Parse JSON into a shape, strictly.

    Raises:
        InvalidInput: With code ``invalid_json`` or ``invalid_body``.
    """
    _, parsed = await _read_json(body, shape)
    return parsed


async def parse_whole(body: bytes, shape: type[msgspec.Struct]) -> Any:
    """Parse JSON that fits a shape, and return all of it, as it came.

    Raises:
        InvalidInput: With code ``invalid_json`` or ``invalid_body``.
    """
    value, _ = await _read_json(body, shape)
    return value


def read_if_match(headers: RequestHeaders) -> frozenset[int] | None:
    """The versions that ``If-Match`` allows; None if any or if it is absent.

    A weak or foreign tag is well formed but names no version, so that it never matches.

    Raises:
        InvalidInput: With code ``invalid_header``.
    """
    text = headers.get(b"if-match", b"*").strip()
    if text == b"*":
        return None
    versions, position = set(), 0
    while position < len(text) or not position:
        tag = _TAG.match(text, position)
        if tag is None:
            raise InvalidInput("If-Match must be * or a list of ETags", code="invalid_header")
        if tag[1] is None and _VERSION.fullmatch(tag[2]):
            versions.add(int(tag[2]))
        position = tag.end()
    return frozenset(versions)


def prefers_minimal(headers: RequestHeaders) -> bool:
    """Tell whether ``Prefer: return=minimal`` was asked for."""
    wishes = headers.get(b"prefer", b"").lower().split(b",")
    return any(wish.partition(b";")[0].strip() == b"return=minimal" for wish in wishes)


def idempotency_key(headers: RequestHeaders) -> str | None:
    """The ``Idempotency-Key``, with or without the quotes of its draft standard."""
    text = headers.get(b"idempotency-key")
    return (
        None if text is None else text.decode("latin-1").strip().removeprefix('"').removesuffix('"')
    )


async def _next_piece(receive: Receive) -> Message:
    """Wait for the next piece, not for ever."""
    try:
        with Alarm(PAUSE_MAX_S):
            message = await receive()
    except TimeoutError as exc:
        raise InvalidInput("the body did not arrive", code="request_timeout") from exc
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


async def _read_json(body: bytes, shape: type[S]) -> tuple[Any, S]:
    if len(body) > THREAD_BYTES:
        return await asyncio.to_thread(_parse, body, shape)
    return _parse(body, shape)


def _parse(body: bytes, shape: type[S]) -> tuple[Any, S]:
    try:
        value = strict_json.loads(body, depth_max=strict_json.DEPTH_MAX + _AROUND_MESSAGE)
        return value, msgspec.convert(value, shape)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"the body does not fit: {exc}", code="invalid_body") from exc


def _too_large(limit_bytes: int) -> LimitReached:
    return LimitReached(
        f"the body is larger than {limit_bytes} bytes", code="body_too_large", limit=limit_bytes
    )


def _unsupported(reason: str) -> InvalidInput:
    return InvalidInput(reason, code="unsupported_media_type")
