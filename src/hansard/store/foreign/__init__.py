"""Databases of other systems, read into documents.

    read("cleveragents-db", "sqlite:///old.db")  ->  one Document after another

Nothing is written to them: a snapshot is read, first to check all of it and then, in the same
transaction, to hand it on, one session at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from hansard.core.documents import Document
from hansard.core.errors import InvalidInput
from hansard.store.foreign import cleveragents, fipsagents
from hansard.store.foreign.places import Place, open_place

SOURCES: Final[Mapping[str, Callable[[Place], Iterator[Document]]]] = MappingProxyType(
    {cleveragents.NAME: cleveragents.read, fipsagents.NAME: fipsagents.read}
)


def read(name: str, url: str) -> Iterator[Document]:
    """Read every session of a database, oldest first, once all of them have been checked.

    Args:
        name: What made the database: a key of ``SOURCES``.
        url: ``sqlite:///path``, the path of a SQLite file, or ``postgresql://…``.

    Raises:
        InvalidInput: ``unknown_format``, ``unknown_schema`` if the tables are not those of
            that system, ``source_unreadable``, and what a record cannot hold.
        Unavailable: If the database does not answer.
    """
    if name not in SOURCES:
        raise InvalidInput(
            f"format {name!r} is not one of {', '.join(SOURCES)}",
            code="unknown_format",
            known=list(SOURCES),
        )
    return _read(SOURCES[name], url)


def _read(sessions: Callable[[Place], Iterator[Document]], url: str) -> Iterator[Document]:
    with open_place(url) as place:
        for document in sessions(place):
            deque(document.messages, maxlen=0)
        yield from sessions(place)
