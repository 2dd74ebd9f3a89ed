"""The format ``native-stream``: sessions as JSON lines, in constant memory both ways.

    header  session  message*  turn*  usage*  trailer      one session; a file may hold many

    h[0] = sha256(zeros || rfc8785(header))                zeros: 32 bytes
    h[i] = sha256(h[i - 1] || rfc8785(record i))           session, messages, turns, usage
    trailer = {"count": number of records, "root_hash": the last h}

The reader goes through the whole file before it hands on anything, then a second time as
the documents are consumed. A file that lacks its trailer was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from hansard.core.digest import GENESIS, advance
from hansard.core.documents import SCHEMA_VERSION, Document, DocumentSession, check_lineage
from hansard.core.errors import Corrupt, HansardError, InvalidInput
from hansard.core.shapes import described
from hansard.core.strict_json import DEPTH_MAX, canonicalize, dumps, loads
from hansard.core.times import format_us, parse_us
from hansard.formats.files import Source
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

T = TypeVar("T")

NAME: Final = "native-stream"
FORMAT: Final = "hansard-stream"
_INTEGRITY: Final = (
    ("algorithm", "sha256"),
    ("canonicalization", "rfc8785"),
    ("chain", "sha256(previous || rfc8785(record))"),
    ("digest", DIGEST_CHAIN),
)
_KINDS: Final = ("session", "message", "turn", "usage")  # in the order of the file
_AROUND_MESSAGE = 1


@described
class HeaderRecord(Record):
    """The first line of a session."""

    type: Literal["header"]
    format: str
    schema_version: int
    exported_at: str
    session_id: str | None
    integrity: dict[str, str]


@described
class StreamSessionRecord(SessionRecord):
    """The session's own fields and where it was forked from."""

    lineage: LineageRecord


def write(document: Document, exported_at_us: int) -> Iterator[bytes]:
    """Write a document line by line.

    Raises:
        Corrupt: ``digest_mismatch``, if the messages are not those that the digest names.
    """
    header = {
        "type": "header",
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "exported_at": format_us(exported_at_us),
        "session_id": document.session.session_id,
        "integrity": dict(_INTEGRITY),
    }
    running = advance(GENESIS, canonicalize(header))
    yield _line(header)
    count = 0
    for record in _records(document):
        running = advance(running, canonicalize(record))
        count += 1
        yield _line(record)
    yield _line(_trailer(count, running))


def read(source: Source) -> Iterator[Document]:
    """Check the whole file, then read it: documents whose parts are read as they are taken.

    Raises:
        InvalidInput: ``schema_too_new`` and others.
        Corrupt: ``truncated``, ``checksum_mismatch`` or ``digest_mismatch``.
    """
    groups = list(_check_groups(source))
    check_lineage({group.session_id: group.parent_id for group in groups if group.session_id})
    for group in groups:
        yield group.open(source)


def _records(document: Document) -> Iterator[dict[str, Any]]:
    session = document.session
    yield {"type": "session", **session_record(session), "lineage": lineage_record(session)}
    for message in message_records(document):
        yield {"type": "message", **message}
    for turn in document.turns:
        yield {"type": "turn", **turn_record(turn)}
    for entry in document.usage:
        yield {"type": "usage", **usage_record(entry)}


def _trailer(count: int, root: bytes) -> dict[str, Any]:
    return {"type": "trailer", "count": count, "root_hash": root.hex()}


def _line(record: dict[str, Any]) -> bytes:
    return dumps(record, depth_max=DEPTH_MAX + _AROUND_MESSAGE).encode() + b"\n"


def _next(source: Source) -> dict[str, Any] | None:
    """Read a line; None at the end of the file."""
    at = source.tell()
    line = source.read_line()
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise _truncated()
    try:
        record = loads(line, depth_max=DEPTH_MAX + _AROUND_MESSAGE)
    except InvalidInput as exc:
        raise InvalidInput(f"line at byte {at}: {exc.message}", code=exc.code) from exc
    if not isinstance(record, dict):
        raise InvalidInput(f"line at byte {at}: not an object", code="invalid_document")
    return record


def _truncated() -> Corrupt:
    return Corrupt("the file was cut off: a session has no trailer", code="truncated")


def _check_groups(source: Source) -> Iterator[_Group]:
    source.seek(0)
    header = _next(source)
    if header is None:
        raise _truncated()
    while header is not None:
        yield _check_group(source, header)
        header = _next(source)


def _check_group(source: Source, header: dict[str, Any]) -> _Group:
    check_version(header, FORMAT)
    group = _Group()
    running = advance(GENESIS, canonicalize(header))
    failure: HansardError | None = None
    while True:
        at = source.tell()
        record = _next(source)
        if record is None or record.get("type") == "header":
            raise _truncated()
        if record.get("type") == "trailer":
            break
        running = advance(running, canonicalize(record))
        try:
            group.count += 1
            if failure is None:
                group.add(record, at)
        except HansardError as exc:
            failure = exc  # told after the checksum, which says whether it is damage
    if canonicalize(record) != canonicalize(_trailer(group.count, running)):
        raise Corrupt("the records are not those that the trailer names", code="checksum_mismatch")
    if failure:
        raise failure
    group.close(header, running)
    return group


class _Group:
    """Where the parts of one session lie in the file, once they are checked."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.parent_id: str | None = None
        self.count = 0
        self._stage = 0
        self._starts = dict.fromkeys(_KINDS, 0)
        self._counts = dict.fromkeys(_KINDS, 0)
        self._digest = GENESIS
        self._root = b""

    def add(self, record: dict[str, Any], at: int) -> None:
        """Check the next record, which begins at that position."""
        kind = record.get("type")
        if kind not in (_KINDS[self._stage :] if self._stage else _KINDS[:1]):
            raise InvalidInput("a record is out of place", code="invalid_document")
        self._stage = max(1, _KINDS.index(kind))
        match kind:
            case "session":
                session = _read_session(record)
                self.session_id, self.parent_id = session.session_id, session.parent_session_id
            case "message":
                shape = _read_shape(record, MessageRecord)
                self._digest = check_place(shape, self._counts["message"], self._digest)
                read_message(shape)
            case "turn":
                read_turn(_read_shape(record, TurnRecord), self._counts["message"])
            case _:
                read_usage(_read_shape(record, UsageRecord))
        if not self._counts[kind]:
            self._starts[kind] = at
        self._counts[kind] += 1

    def close(self, header: dict[str, Any], root: bytes) -> None:
        """Check the group as a whole."""
        first = read_shape(header, HeaderRecord)
        parse_us(first.exported_at, "exported_at")
        if not self._counts["session"] or first.session_id != self.session_id:
            raise InvalidInput("the header is that of another session", code="invalid_document")
        if first.integrity != dict(_INTEGRITY):
            raise InvalidInput("the integrity is of an unknown kind", code="invalid_document")
        self._root = root

    def open(self, source: Source) -> Document:
        """Make the document, whose parts are read as they are taken."""
        count = self._counts["message"]
        (session,) = self._part(source, "session", _read_session)
        return Document(
            session=session,
            messages=self._part(
                source, "message", lambda record: read_message(_read_shape(record, MessageRecord))
            ),
            turns=self._part(
                source, "turn", lambda record: read_turn(_read_shape(record, TurnRecord), count)
            ),
            usage=self._part(
                source, "usage", lambda record: read_usage(_read_shape(record, UsageRecord))
            ),
            source_format=NAME,
            source_key=f"sha256:{self._root.hex()}",
            digest=self._digest.hex(),
        )

    def _part(self, source: Source, kind: str, read: Callable[[dict[str, Any]], T]) -> _Part[T]:
        return _Part(source, self._starts[kind], self._counts[kind], read)


@dataclass(frozen=True, slots=True)
class _Part(Generic[T]):
    """Consecutive records of one kind, read from the file each time they are iterated."""

    source: Source
    start: int
    count: int
    read: Callable[[dict[str, Any]], T]

    def __iter__(self) -> Iterator[T]:
        at = self.start
        for _ in range(self.count):
            self.source.seek(at)  # another part may have been read in between
            record = _next(self.source)
            if record is None:
                raise _truncated()
            at = self.source.tell()
            yield self.read(record)


def _read_session(record: dict[str, Any]) -> DocumentSession:
    shape = _read_shape(record, StreamSessionRecord)
    return read_session(shape, shape.lineage)


def _read_shape(record: dict[str, Any], shape: type[T]) -> T:
    return read_shape({name: value for name, value in record.items() if name != "type"}, shape)
