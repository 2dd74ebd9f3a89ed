"""Prices in force: of a tenant, over those of every tenant, over a file, over the table.

    await shelf.book(tenant) --seen before--> the book at hand; if it is older than 10 s,
                             |                somebody looks for a newer one meanwhile
                             +-otherwise----> read from the database, once for all who wait

An import counts at once here, and within those seconds on every other server. What has been
recorded keeps the price that it was recorded with.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Final

from hansard.clock import now_us
from hansard.core.errors import Corrupt, InvalidInput, LimitReached
from hansard.core.ids import Clock, check_id
from hansard.core.latest import Latest
from hansard.core.price_tables import PriceOverrides, PriceVersion
from hansard.core.prices import PriceBook
from hansard.core.strict_json import check_text
from hansard.formats.prices import load_builtin, read_toml
from hansard.service.runner import Runner
from hansard.store import prices
from hansard.store.prices import Heads

EVERY_TENANT: Final = ""
FRESH_US: Final = 10_000_000  # how long a book is taken without a look for a newer one
TENANTS_MAX: Final = 1_000  # whose books are at hand; the one asked for longest ago goes
SOURCE_LENGTH_MAX: Final = 256


class _Kept:
    """A tenant's book, and when somebody last looked whether it is in force."""

    def __init__(self, heads: Heads, book: PriceBook, looked_at_us: int) -> None:
        self.heads = heads
        self.book = book
        self.looked_at_us = looked_at_us


class _Books:
    """What is at hand until the next import here, and who is fetching more."""

    def __init__(self) -> None:
        self.kept: Latest[str, _Kept] = Latest(TENANTS_MAX)
        self.common: dict[int, PriceBook] = {}
        self.looks: dict[str, asyncio.Task[PriceBook]] = {}


class PriceShelf:
    """The price books of a database's tenants.

    Args:
        runner: Where.
        clock: The present time.
        file: Prices over the table that are in no database.
    """

    def __init__(
        self, runner: Runner, *, clock: Clock = now_us, file: PriceOverrides | None = None
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._file = file
        self._books = _Books()

    async def book(self, tenant_id: str) -> PriceBook:
        """The prices that are in force for a tenant, or, if that is empty, for all.

        Raises:
            Unavailable: If there is none at hand and the database does not answer.
            Corrupt: If what was imported cannot be read.
        """
        kept = self._books.kept.get(tenant_id)
        if kept is None:
            return await asyncio.shield(self._look(tenant_id))
        now = self._clock()
        if now - kept.looked_at_us >= FRESH_US:
            kept.looked_at_us = now  # if the look fails, the next one is as long away
            self._look(tenant_id)
        return kept.book

    async def book_with(self, tenant_id: str, overrides: PriceOverrides) -> PriceBook:
        """The book as it would be with these prices, in place of those imported last."""
        if tenant_id == EVERY_TENANT:
            return PriceBook.layered(overrides, over=await self._base())
        _, common = await self._runner.read(lambda tx: prices.find_heads(tx, tenant_id))
        return PriceBook.layered(overrides, over=await self._common_book(self._books, common))

    async def import_document(
        self, tenant_id: str, document: bytes, *, source: str = ""
    ) -> PriceVersion:
        """Put a ``prices.toml`` in force, for a tenant or, if that is empty, for all.

        Raises:
            InvalidInput: If tenant, source or document cannot be one; nothing was changed.
            LimitReached: If the document is too large.
            Conflict: ``prices_changed``, if others were imported at the same time.
        """
        if tenant_id != EVERY_TENANT:
            check_id(tenant_id, "tenant")
        check_text(source, "source", length_max=SOURCE_LENGTH_MAX)
        overrides = await asyncio.to_thread(read_toml, document)
        now = self._clock()
        made = await self._runner.write(
            lambda tx: prices.insert(
                tx,
                tenant_id,
                document.decode(),
                version=overrides.version,
                source=source,
                sha256=sha256(document).hexdigest(),
                imported_at_us=now,
            )
        )
        self._books = _Books()  # what is being fetched goes where nobody looks any more
        return made

    async def list_versions(self, tenant_id: str) -> list[PriceVersion]:
        """What was imported for a tenant, or for all; the newest first."""
        return await self._runner.read(lambda tx: prices.list_versions(tx, tenant_id))

    def _look(self, tenant_id: str) -> asyncio.Task[PriceBook]:
        looks = self._books.looks
        task = looks.get(tenant_id)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = looks[tenant_id] = asyncio.create_task(self._refresh(self._books, tenant_id))
            task.add_done_callback(lambda done: _looked(looks, tenant_id, done))
        return task

    async def _refresh(self, books: _Books, tenant_id: str) -> PriceBook:
        now = self._clock()
        heads = await self._runner.read(lambda tx: prices.find_heads(tx, tenant_id))
        kept = books.kept.get(tenant_id)
        is_current = kept is not None and kept.heads == heads
        book = kept.book if kept and is_current else await self._read(books, tenant_id, heads)
        books.kept.put(tenant_id, _Kept(heads, book, now))
        return book

    async def _read(self, books: _Books, tenant_id: str, heads: Heads) -> PriceBook:
        own, common = heads
        book = await self._common_book(books, common)
        return PriceBook.layered(*await self._layers(tenant_id, own), over=book) if own else book

    async def _common_book(self, books: _Books, number: int) -> PriceBook:
        book = books.common.get(number)
        if book is None:
            base = await self._base()
            book = PriceBook.layered(*await self._layers(EVERY_TENANT, number), over=base)
            books.common = {number: book}
        return book

    async def _base(self) -> PriceBook:
        """The prices that are in no database."""
        builtin = await asyncio.to_thread(load_builtin)
        return PriceBook.layered(self._file, over=builtin) if self._file else builtin

    async def _layers(self, tenant_id: str, number: int) -> list[PriceOverrides]:
        if not number:
            return []
        document = await self._runner.read(lambda tx: prices.get_document(tx, tenant_id, number))
        try:
            return [await asyncio.to_thread(read_toml, document.encode())]
        except (InvalidInput, LimitReached) as exc:
            raise Corrupt(
                f"prices {number} of {tenant_id or 'every tenant'} cannot be read",
                code="unreadable_prices",
            ) from exc


def _looked(
    looks: dict[str, asyncio.Task[PriceBook]], tenant_id: str, task: asyncio.Task[PriceBook]
) -> None:
    if looks.get(tenant_id) is task:
        del looks[tenant_id]
    if not task.cancelled():
        task.exception()  # told to whoever waits; nobody does if there is a book at hand
