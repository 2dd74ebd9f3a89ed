"""The recorder: brings ended turns into the record, or into the spool until that is possible."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from hansard.core.errors import HansardError, NotFound
from hansard.crashes import Guard
from hansard.runtime.histories import prepare
from hansard.runtime.patience import Patience
from hansard.runtime.spool import Spool
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_records import TurnRecord
from hansard.service.sessions import DatabaseSessions

RECORDED: Final = "turn_conflict"  # a turn of this id is there, and was paid for


class Recorder:
    """Records turns once each, whatever happens to the record.

    Args:
        record: Where to.
        folder: Where turns wait if that does not answer.
        patience: How long an answer waits for it.
        log: Told of what is not recorded at once, and why.

    Attributes:
        spool: What waits.
    """

    def __init__(
        self,
        record: DatabaseSessions,
        folder: SpoolFolder,
        patience: Patience,
        log: FilteringBoundLogger,
    ) -> None:
        self._record = record
        self._patience = patience
        self._log = log
        self.spool = Spool(folder, self, log)

    async def record(self, turn: TurnRecord) -> None:
        """Record a turn; it is on disk, there or in the spool, when this returns."""
        if turn.is_empty:
            return
        key = turn.key
        is_behind = key is not None and self.spool.has(key)
        if turn.sent is None and not is_behind and await self._is_settled(turn):
            return
        await self.spool.put(turn)

    async def resolve(self, turn: TurnRecord) -> TurnRecord:
        """Find out what was new, now that the history can be read."""
        assert turn.sent is not None
        assert turn.session_id is not None
        record = self._record.acting_as(turn.actor)
        prompt = await prepare(record, turn.session_id, turn.sent, turn.way)
        return replace(turn, sent=None, messages=[*prompt.new, *turn.messages])

    async def land(self, turn: TurnRecord) -> None:
        """Record a turn of the spool, and note that the record answers."""
        await self._settle(turn)
        self._patience.restore()

    async def refuse(self, turn: TurnRecord, error: HansardError) -> TurnRecord | None:
        """Record what a turn cost that is refused; return what is left for a person to see.

        Of a session that was deleted during the turn nothing is.
        """
        if error.code != RECORDED:
            for cost in turn.costs():
                await self._settle(cost)
        is_deleted = isinstance(error, NotFound) and not turn.creates
        return None if is_deleted or not turn.has_words else turn.words()

    async def _is_settled(self, turn: TurnRecord) -> bool:
        """Record a turn now; False if it has to wait, also for a way that nobody foresaw."""
        with Guard(self._log, "turn.postponed", turn_id=turn.turn_id):
            try:
                await self._patience.wait(lambda: self._settle(turn), is_write=True)
            except HansardError as error:
                self._log.info("turn.postponed", turn_id=turn.turn_id, code=error.code)
            else:
                return True
        return False

    async def _settle(self, turn: TurnRecord) -> None:
        record = self._record.acting_as(turn.actor)
        if turn.messages or turn.usage or turn.holds:
            await record.settle_turn(
                turn.session_id,
                turn.messages,
                usage=turn.usage,
                turn_id=turn.turn_id,
                status=turn.status,
                holds=turn.holds,
                at_us=turn.at_us,
                agent=turn.agent,
                model=turn.model,
                creates=turn.creates,
            )
        if turn.unmade:
            await record.release_holds(turn.unmade)
        if turn.unknown:
            await record.doubt_holds(turn.unknown)
