"""The spool: turns that could not be recorded when they ended, until they are.

    put -> a file on disk -> record it -> recorded    the file goes
                              ^   |       refused     it is put aside, for a person to look at
                              |   v       no answer
                              pause       longer and longer

Turns of one session are recorded in their order. A turn has an id, so recording it again after
a crash changes nothing: it lands exactly once. Nothing is ever dropped: what cannot even be
written to the disk stays in memory, and is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from structlog.typing import FilteringBoundLogger

from hansard.core.errors import Corrupt, HansardError, Unavailable
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_records import TurnRecord, read_record, write_record

PAUSE_MIN_S: Final = 0.5  # between two attempts at a record that does not answer
PAUSE_MAX_S: Final = 30.0
ADOPT_S: Final = 60.0  # between two looks for what dead processes have left
LANES_MAX: Final = 16  # sessions whose turns are recorded at the same time
RECORDS_MAX: Final = 100_000  # that wait; with more, no new turn is begun
UNWRITTEN_MAX: Final = 1_000  # of them in memory alone, since the disk takes none

Key = tuple[str, str]
Land = Callable[[TurnRecord], Awaitable[None]]
Resolve = Callable[[TurnRecord], Awaitable[TurnRecord]]


@dataclass(slots=True)
class _Waiting:
    """One turn: the file that it lies in, or itself if that could not be written."""

    path: Path | None = None
    record: TurnRecord | None = None


@dataclass(slots=True)
class _Lane:
    """Turns that are recorded in order: those of one session, or one that has no session."""

    turns: deque[_Waiting] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Spool:
    """Keeps turns until the record takes them; an async context manager.

    Args:
        folder: Where they lie meanwhile.
        resolve: Finds out what is new in a turn whose history could not be read.
        land: Records a turn, once by its id. ``Unavailable`` means later, any other error
            of ours never.
        log: Told of everything that happens.

    Attributes:
        refused: How many turns are put aside.
    """

    def __init__(
        self, folder: SpoolFolder, *, resolve: Resolve, land: Land, log: FilteringBoundLogger
    ) -> None:
        self.refused = 0
        self._folder = folder
        self._resolve = resolve
        self._land = land
        self._log = log
        self._lanes: dict[Key | str, _Lane] = {}
        self._stirred = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Read what was left, and begin to record it.

        Raises:
            Unavailable: If the folder cannot be written to.
        """
        found = await asyncio.to_thread(self._folder.open)
        self._stack.push_async_callback(asyncio.to_thread, self._folder.close)
        self._stack.push_async_callback(self._write_rest)
        await self._take_over(found)
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(group.create_task(self._work()).cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; what still waits is on disk for the next process."""
        await self._stack.aclose()

    @property
    def waiting(self) -> int:
        """How many turns wait to be recorded."""
        return sum(len(lane.turns) for lane in self._lanes.values())

    @property
    def unwritten(self) -> int:
        """How many of them the disk did not take."""
        return sum(turn.path is None for lane in self._lanes.values() for turn in lane.turns)

    @property
    def is_full(self) -> bool:
        """Whether to begin no new turn, since there may be no place to put it."""
        return self.waiting >= RECORDS_MAX or self.unwritten >= UNWRITTEN_MAX

    def has(self, key: Key) -> bool:
        """Tell whether turns of a session wait, so that its next has to wait behind them."""
        return key in self._lanes

    async def put(self, record: TurnRecord) -> None:
        """Keep a turn; it is on disk when this returns, if the disk takes it."""
        turn = _Waiting(record=record)
        await self._write(turn)  # before it can be recorded, and its file be forgotten
        self._lane_of(record).turns.append(turn)
        self._log.warning("spool.kept", turn_id=record.turn_id, waiting=self.waiting)
        self._stirred.set()

    async def catch_up(self, key: Key) -> bool:
        """Try to record now what waits of a session; tell whether nothing is left."""
        return await self._land_lane(key)

    async def flush(self) -> bool:
        """Try to record now all that waits; tell whether nothing is left."""
        while self._lanes:
            some = list(self._lanes)[:LANES_MAX]
            if not all(await asyncio.gather(*map(self._land_lane, some))):
                return False
        return True

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s, adopted_at_s = PAUSE_MIN_S, loop.time()
        while True:
            if self._lanes:
                await asyncio.sleep(pause_s)
                pause_s = PAUSE_MIN_S if await self.flush() else min(2 * pause_s, PAUSE_MAX_S)
            else:
                self._stirred.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ADOPT_S):
                        await self._stirred.wait()
            if loop.time() >= adopted_at_s + ADOPT_S:
                adopted_at_s = loop.time()
                await self._adopt()

    async def _land_lane(self, key: Key | str) -> bool:
        """Record a lane's turns in order; False if they have to wait."""
        lane = self._lanes.get(key)
        if lane is None:
            return True
        async with lane.lock:
            while lane.turns:
                if not await self._land_first(lane.turns):
                    return False
            if self._lanes.get(key) is lane:
                del self._lanes[key]
        return True

    async def _land_first(self, turns: deque[_Waiting]) -> bool:
        turn = turns[0]
        try:
            record = await self._read(turn)
            if record.sent is not None:
                record = turn.record = await self._resolve(record)
                await self._write(turn)  # so that what is recorded again is the same
            await self._land(record)
            if turn.path is not None:
                await asyncio.to_thread(self._folder.remove, turn.path)
        except Unavailable:
            return False
        except OSError as exc:
            self._log.error("spool.unreadable", reason=exc.strerror)
            return False
        except HansardError as error:
            return await self._put_aside(turns, error)
        turns.popleft()
        self._log.info("spool.recorded", turn_id=record.turn_id)
        return True

    async def _put_aside(self, turns: deque[_Waiting], error: HansardError) -> bool:
        """Take the first turn out of a lane, into the folder of those that are refused."""
        path = turns[0].path or await self._write(turns[0])
        if path is None:
            return False
        try:
            await asyncio.to_thread(self._folder.refuse, path)
        except OSError as exc:
            self._log.error("spool.unwritable", reason=exc.strerror)
            return False
        turns.popleft()
        self.refused += 1
        self._log.error("spool.refused", file=path.name, code=error.code)
        return True

    async def _read(self, turn: _Waiting) -> TurnRecord:
        if turn.record is not None:
            return turn.record
        assert turn.path is not None
        return read_record(await asyncio.to_thread(self._folder.read, turn.path))

    async def _write(self, turn: _Waiting) -> Path | None:
        """Write a turn to its file, and forget it here; None if the disk does not take it."""
        assert turn.record is not None
        record, path = turn.record, turn.path
        try:
            turn.path = await asyncio.to_thread(_write, self._folder, path, record)
            turn.record = None
        except OSError as exc:
            self._log.error("spool.unwritable", reason=exc.strerror, turn_id=record.turn_id)
        return turn.path

    async def _write_rest(self) -> None:
        """A last attempt at what is in memory alone."""
        for lane in self._lanes.values():
            for turn in lane.turns:
                if turn.path is None and await self._write(turn) is None:
                    assert turn.record is not None
                    self._log.critical("spool.lost", turn_id=turn.record.turn_id)

    async def _adopt(self) -> None:
        try:
            self.refused = await asyncio.to_thread(self._folder.count_refused)
            await self._take_over(await asyncio.to_thread(self._folder.adopt))
        except OSError as exc:
            self._log.error("spool.unreadable", reason=exc.strerror)

    async def _take_over(self, paths: Sequence[Path]) -> None:
        """Put files into their lanes; one that is no turn is found out when its time comes."""
        for path in paths:
            turn = _Waiting(path=path)
            try:
                lane = self._lane_of(await self._read(turn))
            except (Corrupt, OSError):
                lane = self._lanes.setdefault(str(path), _Lane())
            lane.turns.append(turn)
        if paths:
            self._log.warning("spool.found", turns=len(paths))
            self._stirred.set()

    def _lane_of(self, record: TurnRecord) -> _Lane:
        return self._lanes.setdefault(record.key or record.turn_id, _Lane())


def _write(folder: SpoolFolder, path: Path | None, record: TurnRecord) -> Path:
    data = write_record(record)
    if path is None:
        return folder.write(data)
    folder.replace(path, data)
    return path
