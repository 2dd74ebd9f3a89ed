"""Suite 2: many callers, long histories, many sessions."""

from __future__ import annotations

import asyncio

from suites.records import EXCHANGE, USAGE, RecordSuite, dialogue

from hansard.core import strict_json

WRITERS = 8
TURNS = 25
HISTORY = 10_000
SESSIONS = 10_000
CHUNK = 1_000


class TimeConcurrentAppend(RecordSuite):
    """Eight writers, with a session each or all on one."""

    params = (["a session each", "one session"],)
    param_names = ("where",)

    def setup(self, where: str) -> None:
        super().setup()
        for writer in range(WRITERS):
            self.run(self.record.create(session_id=f"session-{writer}"))

    def time_append(self, where: str) -> None:
        self.run(self._append(apart=where == "a session each"))

    async def _append(self, *, apart: bool) -> None:
        await asyncio.gather(*(self._write(writer if apart else 0) for writer in range(WRITERS)))

    async def _write(self, session: int) -> None:
        for _ in range(TURNS):
            await self.record.append_turn(f"session-{session}", EXCHANGE, usage=USAGE)


class TimeLongHistory(RecordSuite):
    """Ten thousand messages in one session."""

    params = (["native", "native-stream"],)
    param_names = ("format",)
    number = 1  # an import may happen once only
    repeat = (3, 5, 30.0)

    def setup(self, format: str) -> None:
        super().setup()
        self.run(self._fill())
        self.document = self.run(self.exported("long", format))
        self.elsewhere = self.open("elsewhere")

    async def _fill(self) -> None:
        await self.record.create(session_id="long")
        for _ in range(0, HISTORY, CHUNK):
            await self.record.append_messages("long", dialogue(CHUNK))

    def teardown(self, format: str) -> None:
        self.run(self.elsewhere.__aexit__(None, None, None))
        super().teardown(format)

    def time_export(self, format: str) -> None:
        self.run(self.exported("long", format))

    def time_import(self, format: str) -> None:
        self.run(self.elsewhere.import_session(self.document, format))

    def time_append(self, format: str) -> None:
        self.run(self.record.append_turn("long", EXCHANGE, usage=USAGE))


class TimeManySessions(RecordSuite):
    """Ten thousand sessions in one record."""

    def setup(self) -> None:
        super().setup()
        self.run(self._fill())

    async def _fill(self) -> None:
        for first in range(0, SESSIONS, CHUNK):
            await asyncio.gather(
                *(self.record.create(session_id=f"session-{first + n}") for n in range(CHUNK))
            )

    def time_list_newest(self) -> None:
        self.run(self.record.list(limit=50))

    def time_list_all(self) -> None:
        self.run(self._list_all())

    async def _list_all(self) -> None:
        cursor = None
        while True:
            page = await self.record.list(limit=1_000, cursor=cursor)
            cursor = page.next_cursor
            if cursor is None:
                return


class TimeCanonicalForm:
    """What the canonical form of ten thousand messages costs, beside their plain JSON."""

    def setup(self) -> None:
        self.messages = dialogue(HISTORY)

    def time_canonical(self) -> None:
        for message in self.messages:
            strict_json.canonicalize(message)

    def time_plain(self) -> None:
        for message in self.messages:
            strict_json.dumps(message)
