"""The format ``cleveragents-1.0``: the ancestor's export document, byte-compatible.

    checksum = sha256(json.dumps(document without it, sort_keys=True)), bare hex

The document has the ancestor's fields and nothing else. What they cannot say goes into
``metadata["hansard"]`` of the session or the message, and is taken back from there as long
as the ancestor's own fields still agree with it; where those were edited, they win.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec

from hansard.core.cleveragents import KEY, ROLES, defaults, message_body, session_metadata
from hansard.core.documents import (
    SCHEMA_VERSION,
    Document,
    DocumentMessage,
    DocumentSession,
    check_document_message,
    check_document_session,
    imported_usage,
)
from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.money import format_usd, parse_usd
from hansard.core.shapes import described
from hansard.core.strict_json import DEPTH_MAX, dumps, loads
from hansard.core.times import format_us, parse_utc_us
from hansard.core.usage import UsageEntry, UsageTotals
from hansard.formats.files import Source, check_document_size
from hansard.formats.records import (
    Record,
    TurnRecord,
    UsageRecord,
    read_shape,
    read_turn,
    read_usage,
    turn_record,
    usage_record,
)

T = TypeVar("T")

NAME: Final = "cleveragents-1.0"
VERSION: Final = "1.0"
_VERSIONS: Final = (VERSION, "v3")  # the specification's name for the same document
_OURS: Final = "hansard"
_AROUND_MESSAGE = 5  # document, list, message, metadata, extension
_SESSION_FIELDS: Final = frozenset(
    {
        "schema_version",
        "session_id",
        "actor_name",
        "messages",
        "token_usage",
        "metadata",
        "created_at",
        "updated_at",
        "checksum",
    }
)
_CARRIED: Final = (
    "title",
    "model",
    "system_prompt",
    "owner",
    "cost_data",
    "archived",
    "parent_session_id",
    "forked_at_seq",
)
_MESSAGE_FIELDS: Final = frozenset(
    {"message_id", "role", "content", "sequence", "timestamp", "metadata"}
)


class Extension(Record, omit_defaults=True):
    """What the ancestor's fields cannot say; the version marks it as ours."""

    schema_version: Literal[2, 3]


@described
class SessionExtension(Extension):
    """Of a session; ``original`` is the metadata's own entry of the same name."""

    title: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    owner: str | None = None
    cost_data: dict[str, Any] = msgspec.field(default_factory=dict)
    archived: bool = False
    parent_session_id: str | None = None
    forked_at_seq: int | None = None
    turns: list[TurnRecord] = msgspec.field(default_factory=list)
    usage: list[UsageRecord] = msgspec.field(default_factory=list)
    original: Any = msgspec.UNSET


@described
class MessageExtension(Extension):
    """Of a message; ``message`` is the whole object where it has more than text."""

    turn_id: str | None = None
    message: dict[str, Any] | None = None


def checksum(document: Mapping[str, Any]) -> str:
    """Return the ancestor's checksum, as bare hex.

    >>> checksum({"c": 1.0})[:8], checksum({"m": "café"})[:8]
    ('2bfe0916', '0feafdf7')
    """
    content = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def write(document: Document, exported_at_us: int) -> Iterator[bytes]:
    """Write a document, which is held in memory; times that it lacks are that of the export.

    Raises:
        LimitReached: If it is too large to be read back.
    """
    session = document.session
    metadata, own = _split(session.metadata)
    created_at_us = exported_at_us if session.created_at_us is None else session.created_at_us
    updated_at_us = exported_at_us if session.updated_at_us is None else session.updated_at_us
    messages = [
        _write_message(seq, message, exported_at_us)
        for seq, message in enumerate(document.messages)
    ]
    usage = list(document.usage)
    export = {
        "schema_version": VERSION,
        "session_id": session.session_id,
        "actor_name": session.agent,
        "messages": messages,
        **defaults(),
        **own,
        "token_usage": _write_totals(usage),
        "metadata": metadata | _extend_session(document, usage, updated_at_us),
        "created_at": format_us(created_at_us),
        "updated_at": format_us(updated_at_us),
    }
    text = json.dumps({**export, "checksum": checksum(export)}).encode() + b"\n"
    check_document_size(len(text))
    yield text


def read(source: Source) -> Iterator[Document]:
    """Read a document: first its version, then its checksum, then its content.

    Raises:
        InvalidInput: ``unknown_schema`` and others.
        Corrupt: ``checksum_mismatch``.
    """
    parsed = loads(source.read_all(), depth_max=DEPTH_MAX + _AROUND_MESSAGE)
    version = parsed.get("schema_version") if isinstance(parsed, dict) else None
    if version not in _VERSIONS:
        raise InvalidInput(
            f"schema_version must be one of {', '.join(_VERSIONS)}", code="unknown_schema"
        )
    found = checksum(parsed)
    if parsed.get("checksum") not in (found, f"sha256:{found}"):
        raise Corrupt("the document is not what its checksum names", code="checksum_mismatch")
    yield _Reading(parsed).document(found)


def _split(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the metadata from the ancestor's own fields, if they are as reading leaves them."""
    own = metadata.get(KEY)
    if not isinstance(own, dict) or own.keys() & _SESSION_FIELDS:
        return dict(metadata), {}
    if session_metadata({}, own) != ({KEY: own}, ()):
        return dict(metadata), {}
    return {name: value for name, value in metadata.items() if name != KEY}, own


def _extend_session(
    document: Document, usage: Sequence[UsageEntry], updated_at_us: int
) -> dict[str, Any]:
    session = document.session
    says_all = not usage or (
        len(usage) == 1 and usage[0] in _read_totals(_write_totals(usage), updated_at_us)
    )
    return _extend(
        SessionExtension(
            schema_version=SCHEMA_VERSION,
            **{name: getattr(session, name) for name in _CARRIED},
            turns=[read_shape(turn_record(turn), TurnRecord) for turn in document.turns],
            usage=[]
            if says_all
            else [read_shape(usage_record(entry), UsageRecord) for entry in usage],
            original=session.metadata.get(_OURS, msgspec.UNSET),
        )
    )


def _write_message(seq: int, message: DocumentMessage, exported_at_us: int) -> dict[str, Any]:
    body = message.body
    is_plain = _is_plain(body)
    at_us = exported_at_us if message.created_at_us is None else message.created_at_us
    extension = MessageExtension(
        schema_version=SCHEMA_VERSION,
        turn_id=message.turn_id,
        message=None if is_plain else body,
    )
    return {
        "message_id": message.message_id,
        **_shown(body),
        "sequence": seq,
        "timestamp": format_us(at_us),
        "metadata": (body.get("metadata", {}) if is_plain else {}) | _extend(extension),
    }


def _extend(extension: Extension) -> dict[str, Any]:
    """Give the metadata entry for an extension, or none if it says nothing."""
    if extension == type(extension)(schema_version=SCHEMA_VERSION):
        return {}
    return {_OURS: msgspec.to_builtins(extension)}


def _is_plain(body: Mapping[str, Any]) -> bool:
    """Tell whether the ancestor's fields say all that the message says."""
    metadata = body.get("metadata", {"": None})
    return (
        body.keys() <= {"role", "content", "metadata", "tool_call_id"}
        and body.get("role") in ROLES
        and isinstance(body.get("content"), str)
        and body["content"] != ""
        and isinstance(metadata, dict)
        and metadata != {}
        and _OURS not in metadata
        and isinstance(body.get("tool_call_id", ""), str)
    )


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the ancestor's own fields say of a message."""
    role = body.get("role")
    others = "system" if role == "developer" else "user"
    call_id = body.get("tool_call_id")
    return {
        "role": role if role in ROLES else others,
        "content": _content(body),
        "tool_call_id": call_id if isinstance(call_id, str) else None,
    }


def _content(body: Mapping[str, Any]) -> str:
    """Give a message's text, or where it has none the message itself."""
    content = body.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str)) or dumps(body)


def _write_totals(usage: Sequence[UsageEntry]) -> dict[str, Any]:
    totals = UsageTotals()
    for entry in usage:
        totals = totals.plus(entry.totals())
    return {
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "estimated_cost": float(format_usd(totals.cost_nanousd)),  # the ancestor's type
    }


def _read_totals(totals: Mapping[str, Any], recorded_at_us: int) -> tuple[UsageEntry, ...]:
    return imported_usage(
        recorded_at_us,
        input_tokens=totals.get("input_tokens") or 0,
        output_tokens=totals.get("output_tokens") or 0,
        cost_nanousd=parse_usd(str(totals.get("estimated_cost") or 0)),
    )


class _Reading:
    """One document on its way in, and what is lost on it."""

    def __init__(self, parsed: dict[str, Any]) -> None:
        self._parsed = parsed
        self._losses: list[str] = []

    def document(self, found: str) -> Document:
        """Read the content, which the checksum vouches for."""
        parsed = self._parsed
        given = self._object("metadata")
        metadata, extension = _take_extension(given, SessionExtension)
        if extension and extension.original is not msgspec.UNSET:
            metadata[_OURS] = extension.original
        own = {name: value for name, value in parsed.items() if name not in _SESSION_FIELDS}
        metadata, losses = session_metadata(metadata, own)
        self._losses += losses
        extension = extension or SessionExtension(schema_version=SCHEMA_VERSION)
        session = check_document_session(
            DocumentSession(
                session_id=parsed.get("session_id"),
                agent=parsed.get("actor_name"),
                metadata=metadata,
                created_at_us=self._time(parsed.get("created_at"), "created_at"),
                updated_at_us=self._time(parsed.get("updated_at"), "updated_at"),
                **{name: getattr(extension, name) for name in _CARRIED},
            )
        )
        messages = self._messages()
        return Document(
            session=session,
            messages=messages,
            turns=[read_turn(turn, len(messages)) for turn in extension.turns],
            usage=self._usage(extension, session),
            source_format=NAME,
            source_key=found,
            losses=tuple(dict.fromkeys(self._losses)),
        )

    def _messages(self) -> list[DocumentMessage]:
        items = self._parsed.get("messages")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise InvalidInput("messages must be a list of objects", code="invalid_messages")
        numbers = [item.get("sequence") for item in items]
        if not all(type(number) is int for number in numbers):
            raise InvalidInput("sequence must be a whole number", code="invalid_messages")
        if numbers != list(range(len(items))):
            self._losses.append("sequence numbers had gaps; messages are numbered in their order")
        ordered = sorted(items, key=lambda item: item["sequence"])
        return [self._message(seq, item) for seq, item in enumerate(ordered)]

    def _message(self, seq: int, item: dict[str, Any]) -> DocumentMessage:
        given = item.get("metadata")
        metadata, extension = (
            _take_extension(given, MessageExtension) if isinstance(given, dict) else (given, None)
        )
        role, content = item.get("role"), item.get("content")
        others = {name: value for name, value in item.items() if name not in _MESSAGE_FIELDS}
        body = message_body(role, content, metadata, others)
        original = extension.message if extension else None
        if original is not None:
            if {"tool_call_id": None, **body} == _shown(original):
                body = original
            else:
                self._losses.append(f"message {seq} was edited: only its text was kept")
        dumps(body)
        return check_document_message(
            DocumentMessage(
                body=body,
                message_id=item.get("message_id"),
                turn_id=extension.turn_id if extension else None,
                created_at_us=self._time(item.get("timestamp"), "timestamp"),
            )
        )

    def _usage(self, extension: SessionExtension, session: DocumentSession) -> Sequence[UsageEntry]:
        totals = self._object("token_usage")
        entries = [read_usage(entry) for entry in extension.usage]
        if entries and _write_totals(entries) == totals:
            return entries
        if entries:
            self._losses.append("token_usage was edited: only the totals were kept")
        return _read_totals(totals, session.updated_at_us or 0)

    def _object(self, field: str) -> dict[str, Any]:
        value = self._parsed.get(field)
        if not isinstance(value, (dict, type(None))):
            raise InvalidInput(f"{field} must be an object", code="invalid_field", field=field)
        return value or {}

    def _time(self, text: object, field: str) -> int | None:
        if text is None:
            return None
        time_us, lacked_zone = parse_utc_us(text, field)
        if lacked_zone:
            self._losses.append("times without a zone were taken as UTC")
        return time_us


def _take_extension(metadata: dict[str, Any], shape: type[T]) -> tuple[dict[str, Any], T | None]:
    """Part metadata from our extension; an entry of that name that is not ours stays."""
    try:
        extension = msgspec.convert(metadata.get(_OURS), shape)
    except msgspec.ValidationError:
        return dict(metadata), None
    return {name: value for name, value in metadata.items() if name != _OURS}, extension
