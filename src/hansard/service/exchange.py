"""Export and import: a session written out as a document, and documents read into sessions.

An export is one snapshot, spooled to a temporary file before the first byte goes out: a slow
reader holds nothing in the database, and what fails fails before anything was sent.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, TypeVar

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.documents import (
    Document,
    DocumentMessage,
    DocumentSession,
    DocumentTurn,
    ImportReport,
)
from hansard.core.errors import Conflict, InvalidInput
from hansard.core.ids import check_id
from hansard.core.sessions import Session
from hansard.core.usage import UsageEntry
from hansard.formats import registry
from hansard.store import foreign, imports, messages, sessions, turns, usage
from hansard.store.database import Tx

if TYPE_CHECKING:
    from hansard.service.sessions import DatabaseSessions

T = TypeVar("T")

STEP = 500  # rows read in one go
ATTEMPTS_MAX = 5  # times that an import may meet another of the same documents
PIECE_BYTES = 64 * 1024  # size of the pieces that an export is handed on in
SPOOL_BYTES = 1024 * 1024  # an export up to this size stays in memory


async def export_session(
    record: DatabaseSessions, session_id: str, format: str
) -> AsyncIterator[bytes]:
    """Write a session as a document, in pieces.

    Raises:
        InvalidInput: ``unknown_format``.
    """
    check_id(session_id, "session_id")
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:

        def spool(tx: Tx) -> None:
            file.seek(0)
            file.truncate()
            session = sessions.get(tx, record.actor, session_id)
            for piece in registry.write(format, _document(tx, record.actor, session), now_us):
                file.write(piece)

        now_us = record.clock()
        await record.runner.read_apart(spool)
        file.seek(0)
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


async def import_session(
    record: DatabaseSessions, source: bytes | Path | str, format: str, *, dry_run: bool
) -> ImportReport:
    """Read a document, or a database of another system, into new sessions."""
    return await import_documents(record, _reader(source, format), format, dry_run=dry_run)


async def import_documents(
    record: DatabaseSessions,
    read: Callable[[], Iterator[Document]],
    format: str,
    *,
    dry_run: bool,
) -> ImportReport:
    """Read documents into new sessions, in one transaction.

    ``read`` gives all documents. They are made into rows on disk before the transaction
    begins, so what is refused is refused before it, and other writers wait for no parsing.
    """
    with imports.Staging(record.actor, record.clock) as staging:

        def stage() -> None:
            for document in read():
                staging.stage(document)

        await asyncio.to_thread(stage)
        return await _record(record, staging, format, dry_run=dry_run)


async def _record(
    record: DatabaseSessions, staging: imports.Staging, format: str, *, dry_run: bool
) -> ImportReport:
    def run(tx: Tx) -> ImportReport:
        done, losses = staging.record(tx)
        report = ImportReport(
            format=format,
            dry_run=dry_run,
            sessions=tuple(done),
            losses=tuple(dict.fromkeys(losses)),
        )
        if dry_run:
            raise _DryRun(report)
        return report

    attempts = 0
    while True:
        try:
            return await record.runner.write(run)
        except _DryRun as outcome:
            return outcome.report
        except Conflict as error:
            # The same document came in beside this one, and is found when looked for again.
            attempts += 1
            if error.code != "refused":
                raise
            if attempts == ATTEMPTS_MAX:
                raise InvalidInput(
                    "the document names a turn or a model call twice", code="duplicate_ids"
                ) from error


class _DryRun(Exception):
    """Ends the transaction of a dry run, so that nothing of it stays."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__("a dry run keeps nothing")
        self.report = report


def _reader(source: bytes | Path | str, format: str) -> Callable[[], Iterator[Document]]:
    if format in foreign.SOURCES and not isinstance(source, bytes):
        place = str(source)
        return lambda: foreign.read(format, place)
    if not isinstance(source, bytes | Path):
        raise InvalidInput(f"{format} is read from a file or from bytes", code="invalid_source")

    def read() -> Iterator[Document]:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            yield from registry.read(format, file)

    return read


def _document(tx: Tx, actor: Actor, session: Session) -> Document:
    return Document(
        session=DocumentSession(
            session_id=session.id,
            agent=session.agent,
            title=session.title,
            model=session.model,
            system_prompt=session.system_prompt,
            owner=session.owner,
            metadata=session.metadata,
            cost_data=session.cost_data,
            archived=session.archived,
            parent_session_id=session.parent_session_id,
            forked_at_seq=session.forked_at_seq,
            created_at_us=session.created_at_us,
            updated_at_us=session.updated_at_us,
        ),
        messages=_Rows(lambda: _messages(tx, actor, session.id)),
        turns=_Rows(lambda: _turns(tx, actor, session.id)),
        usage=_Rows(lambda: _usage(tx, actor, session.id)),
        source_format="record",
        source_key=session.id,
        digest=session.digest,
    )


class _Rows(Iterable[T]):
    """Rows that are read anew, step by step, whenever they are iterated over."""

    def __init__(self, read: Callable[[], Iterator[T]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[T]:
        return self._read()


def _messages(tx: Tx, actor: Actor, session_id: str) -> Iterator[DocumentMessage]:
    after = -1
    while page := messages.list_page(tx, actor, session_id, after=after, limit=STEP):
        for message in page:
            yield DocumentMessage(
                body=strict_json.loads(message.text),
                message_id=message.message_id,
                turn_id=message.turn_id,
                created_at_us=message.created_at_us,
            )
        after = page[-1].seq


def _turns(tx: Tx, actor: Actor, session_id: str) -> Iterator[DocumentTurn]:
    after = 0
    while page := turns.list_documents(tx, actor, session_id, after=after, limit=STEP):
        yield from (turn for _, turn in page)
        after = page[-1][0]


def _usage(tx: Tx, actor: Actor, session_id: str) -> Iterator[UsageEntry]:
    after = ""
    while page := usage.list_page(tx, actor, session_id, after=after, limit=STEP):
        yield from page
        after = page[-1].event_id
