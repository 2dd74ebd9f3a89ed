"""Imports among other callers: nobody waits for one, and it meets its like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from hansard import Corrupt
from hansard.compose import open_database
from hansard.core.documents import Document, DocumentMessage
from hansard.service.exchange import import_documents
from hansard.service.sessions import DatabaseSessions
from tests.documents import document_of
from tests.samples import collect, dialogue, user

WAIT_S = 60  # for an append that should not wait at all
LONG = 1_200  # messages, in three statements


@pytest.fixture
async def database(record_url: str) -> AsyncIterator[DatabaseSessions]:
    """An open record on an empty database of either engine."""
    async with open_database(record_url) as database:
        yield database


def long_document(name: str) -> Document:
    return replace(document_of(dialogue(LONG, name), session_id=name), source_key=name)


async def test_others_append_while_documents_are_read(database: DatabaseSessions) -> None:
    loop = asyncio.get_running_loop()

    def append_elsewhere() -> None:
        appending = database.append_messages("other", [user("not held up")])
        asyncio.run_coroutine_threadsafe(appending, loop).result(WAIT_S)

    def messages() -> Iterator[DocumentMessage]:
        append_elsewhere()
        yield from long_document("d").messages
        append_elsewhere()

    def read() -> Iterator[Document]:
        append_elsewhere()
        yield replace(long_document("d"), messages=messages())
        append_elsewhere()

    await database.create(session_id="other")
    report = await import_documents(database, read, "native", dry_run=False)
    assert [item.messages for item in report.sessions] == [LONG]
    assert (await database.get("other")).message_count == 4


async def test_known_document_before_a_new_one_is_passed_over(database: DatabaseSessions) -> None:
    known, new = long_document("known"), long_document("new")
    first = await import_documents(database, lambda: iter([known]), "native", dry_run=False)
    both = await import_documents(database, lambda: iter([known, new]), "native", dry_run=False)
    assert [item.created for item in both.sessions] == [False, True]
    assert both.id_map["known"] == first.id_map["known"]
    for document in (known, new):
        stored = await collect(database.messages(both.id_map[document.source_key]))
        assert [message.body for message in stored] == [one.body for one in document.messages]


async def test_document_imported_by_many_at_once_becomes_one_session(
    database: DatabaseSessions,
) -> None:
    reports = await asyncio.gather(
        *[
            import_documents(database, lambda: iter([long_document("d")]), "native", dry_run=False)
            for _ in range(5)
        ]
    )
    assert sum(item.created for report in reports for item in report.sessions) == 1
    assert len({report.id_map["d"] for report in reports}) == 1
    assert len((await database.list()).items) == 1


async def test_last_document_that_is_damaged_keeps_all_out(database: DatabaseSessions) -> None:
    damaged = replace(long_document("damaged"), digest="00" * 32)
    documents = [long_document("whole"), damaged]
    with pytest.raises(Corrupt) as caught:
        await import_documents(database, lambda: iter(documents), "native", dry_run=False)
    assert caught.value.code == "digest_mismatch"
    assert not (await database.list()).items
