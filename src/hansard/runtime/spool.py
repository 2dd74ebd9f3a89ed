"""The spool: turns that could not be recorded when they ended, until they are.

    put -> a file on disk -> record it -> DONE     recorded: the file goes
                              ^   |       ASIDE    refused: what it cost is recorded; what was
                              |   v                said is put aside, for a person to look at
                              pause       LATER    no answer: longer and longer

Turns of one session are recorded in their order. A turn has an id, so recording it again after
a crash changes nothing: it lands exactly once. What cannot even be written to the disk stays
in memory, and is counted. Nothing is dropped but what was said in a session that was deleted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from structlog.typing import FilteringBoundLogger

from hansard.core.errors import Corrupt, HansardError, Unavailable
from hansard.crashes import Guard
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_records import TurnRecord, read_record, write_record

PAUSE_MIN_S: Final = 0.5  # between two attempts at a record that does not answer
PAUSE_MAX_S: Final = 30.0
ADOPT_S: Final = 60.0  # between two looks for what dead processes have left
LANES_MAX: Final = 16  # sessions whose turns are recorded at the same time
CRASHES_MAX: Final = 8  # of a turn, in ways that nobody foresaw; then it is refused
LARGE_MAX: Final = 2  # turns of the size below that are read at the same time
LARGE_BYTES: Final = 1024**2
RECORDS_MAX: Final = 100_000  # that wait; with more, no new turn is begun
BYTES_MAX: Final = 4 * 1024**3  # likewise
TENANT_BYTES_MAX: Final = BYTES_MAX // 2  # likewise, for one tenant
UNWRITTEN_MAX: Final = 1_000  # of them in memory alone, since the disk takes none
UNWRITTEN_BYTES_MAX: Final = 256 * 1024**2  # likewise

Key = tuple[str, str]


class Landing(Protocol):
    """Where turns go; ``Unavailable`` from it means later, any other error of ours never."""

    async def resolve(self, turn: TurnRecord) -> TurnRecord:
        """Find out what is new in a turn whose history could not be read."""
        ...

    async def land(self, turn: TurnRecord) -> None:
        """Record a turn, once by its id."""
        ...

    async def refuse(self, turn: TurnRecord, error: HansardError) -> TurnRecord | None:
        """Record what a turn cost that is refused; return what is left to be put aside."""
        ...


class _Fate(Enum):
    """What becomes of a turn."""

    LATER = auto()
    DONE = auto()
    ASIDE = auto()


@dataclass(slots=True, eq=False)
class _Waiting:
    """One turn: the file that it lies in, or what is still to be written there.

    Attributes:
        tenant_id: Whose; empty of a file that nobody could read.
        fate: Once it is not ``LATER``, only the file is left to go.
        code: Why it is put aside.
    """

    size_bytes: int
    tenant_id: str = ""
    path: Path | None = None
    data: bytes | None = None
    crashes: int = 0
    fate: _Fate = _Fate.LATER
    code: str = ""


@dataclass(slots=True)
class _Lane:
    """Turns that are recorded in order: those of one session, or one that has no session."""

    turns: deque[_Waiting] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Spool:
    """Keeps turns until the record takes them; an async context manager.

    Args:
        folder: Where they lie meanwhile.
        log: Told of everything that happens.

    Attributes:
        waiting: How many turns wait to be recorded.
        refused: How many turns are put aside.
    """

    def __init__(self, folder: SpoolFolder, landing: Landing, log: FilteringBoundLogger) -> None:
        self.waiting = self.refused = 0
        self._bytes_by_tenant: Counter[str] = Counter()
        self._large = asyncio.Semaphore(LARGE_MAX)
        self._unwritten: set[_Waiting] = set()
        self._folder = folder
        self._landing = landing
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
        self.refused = await asyncio.to_thread(self._folder.count_refused)
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
    def unwritten(self) -> int:
        """How many of those that wait the disk did not take."""
        return len(self._unwritten)

    def is_full_for(self, tenant_id: str) -> bool:
        """Whether to begin no new turn, since there may be no place to put it."""
        return (
            self.waiting >= RECORDS_MAX
            or self._bytes_by_tenant[tenant_id] >= TENANT_BYTES_MAX
            or self._bytes_by_tenant.total() >= BYTES_MAX
            or self.unwritten >= UNWRITTEN_MAX
            or sum(turn.size_bytes for turn in self._unwritten) >= UNWRITTEN_BYTES_MAX
        )

    def has(self, key: Key) -> bool:
        """Tell whether turns of a session wait, so that its next has to wait behind them."""
        return key in self._lanes

    async def put(self, record: TurnRecord) -> None:
        """Keep a turn; it is on disk when this returns, if the disk takes it."""
        data = await asyncio.to_thread(write_record, record)
        turn = _Waiting(len(data), record.actor.tenant_id, data=data)
        await self._write(turn)  # before it can be recorded, and its file be forgotten
        self._append(self._lane_of(record), turn)
        self._log.warning("spool.kept", turn_id=record.turn_id, waiting=self.waiting)

    async def catch_up(self, key: Key) -> bool:
        """Try to record now what waits of a session; tell whether nothing is left."""
        return await self._land_lane(key)

    async def flush(self) -> bool:
        """Try once to record all that waits; tell whether nothing is left.

        Where none of several sessions' turns is taken, it is the record that does not answer,
        and not they that are in its way: the rest waits for the next time, and goes first.
        """
        keys = list(self._lanes)
        for start in range(0, len(keys), LANES_MAX):
            some = keys[start : start + LANES_MAX]
            if not any(await asyncio.gather(*map(self._land_lane, some))):
                break
        return not self._lanes

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s, adopted_at_s = PAUSE_MIN_S, loop.time()
        while True:
            if self._lanes:
                await asyncio.sleep(pause_s)
                before = self.waiting
                await self.flush()
                pause_s = PAUSE_MIN_S if self.waiting < before else min(2 * pause_s, PAUSE_MAX_S)
            else:
                pause_s = PAUSE_MIN_S
                self._stirred.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ADOPT_S):
                        await self._stirred.wait()
            if loop.time() >= adopted_at_s + ADOPT_S:
                adopted_at_s = loop.time()
                await self._adopt()

    async def _land_lane(self, key: Key | str) -> bool:
        """Record a lane's turns in order; False, and behind all others, if they have to wait."""
        lane = self._lanes.get(key)
        if lane is None:
            return True
        async with lane.lock:
            while lane.turns and await self._land_first(lane.turns):
                pass
            if self._lanes.get(key) is lane:
                del self._lanes[key]
                if lane.turns:
                    self._lanes[key] = lane
        return not lane.turns

    async def _land_first(self, turns: deque[_Waiting]) -> bool:
        """Record the first turn of a lane, or put it aside; False if it has to wait."""
        turn = turns[0]
        if turn.fate is _Fate.LATER:
            async with self._large if turn.size_bytes >= LARGE_BYTES else nullcontext():
                turn.fate = await self._land_one(turn)
        if turn.fate is _Fate.LATER or not await self._clear(turn):
            return False
        turns.popleft()
        self.waiting -= 1
        self._bytes_by_tenant -= Counter({turn.tenant_id: turn.size_bytes})
        self._unwritten.discard(turn)
        return True

    async def _land_one(self, turn: _Waiting) -> _Fate:
        """Record a turn; one that crashes again and again is refused."""
        record = None
        with Guard(self._log, "spool.crashed"):
            try:
                record = await asyncio.to_thread(_read, self._folder, turn)
                if record.sent is not None:
                    record = await self._landing.resolve(record)
                    await self._rewrite(turn, record)  # recorded again, it is the same
                await self._landing.land(record)
            except Unavailable:
                return _Fate.LATER
            except HansardError as error:
                return await self._refuse(turn, record, error)
            self._log.info("spool.recorded", turn_id=record.turn_id)
            return _Fate.DONE
        turn.crashes += 1
        if turn.crashes < CRASHES_MAX:
            return _Fate.LATER
        return await self._refuse(turn, record, HansardError("it crashed", code="crashed"))

    async def _refuse(
        self, turn: _Waiting, record: TurnRecord | None, error: HansardError
    ) -> _Fate:
        """Record what a turn cost that is never recorded as it is; if that crashes, keep all."""
        turn.code = error.code
        if record is None:
            return _Fate.ASIDE
        with Guard(self._log, "spool.unbilled", turn_id=record.turn_id):
            try:
                left = await self._landing.refuse(record, error)
            except Unavailable:
                return _Fate.LATER
            if left is None:
                self._log.info("spool.dropped", turn_id=record.turn_id, code=error.code)
                return _Fate.DONE
            return _Fate.ASIDE if await self._rewrite(turn, left) else _Fate.LATER
        return _Fate.ASIDE

    async def _clear(self, turn: _Waiting) -> bool:
        """Remove the file of a turn, or put it aside; False if the disk does not."""
        is_aside = turn.fate is _Fate.ASIDE
        if turn.path is None and is_aside and not await self._write(turn):
            return False
        if turn.path is None:
            return True
        try:
            move = self._folder.refuse if is_aside else self._folder.remove
            await asyncio.to_thread(move, turn.path)
        except FileNotFoundError:
            self._log.critical("spool.lost", file=turn.path.name)
            return True
        except OSError as exc:
            self._log.error("spool.unwritable", reason=exc.strerror)
            return False
        if is_aside:
            self.refused += 1
            self._log.error("spool.refused", file=turn.path.name, code=turn.code)
        return True

    async def _rewrite(self, turn: _Waiting, record: TurnRecord) -> bool:
        """Let a turn be what it is by now; tell whether the disk has it so."""
        turn.data = await asyncio.to_thread(write_record, record)
        return await self._write(turn)

    async def _write(self, turn: _Waiting) -> bool:
        """Write a turn to its file, and forget it here; False if the disk does not take it."""
        assert turn.data is not None
        try:
            path = await asyncio.to_thread(_write, self._folder, turn.path, turn.data)
        except OSError as exc:
            self._log.error("spool.unwritable", reason=exc.strerror)
            return False
        turn.path, turn.data = path, None
        self._unwritten.discard(turn)
        return True

    async def _write_rest(self) -> None:
        """A last attempt at what is in memory alone."""
        for turn in list(self._unwritten):
            if not await self._write(turn):
                self._log.critical("spool.lost", size_bytes=turn.size_bytes)

    async def _adopt(self) -> None:
        try:
            self.refused = await asyncio.to_thread(self._folder.count_refused)
            await self._take_over(await asyncio.to_thread(self._folder.adopt))
        except OSError as exc:
            self._log.error("spool.unreadable", reason=exc.strerror)

    async def _take_over(self, paths: Sequence[Path]) -> None:
        """Put files into their lanes; one that is no turn is found out when its time comes."""
        for path in paths:
            turn = _Waiting(0, path=path)
            try:
                turn.size_bytes = await asyncio.to_thread(self._folder.size_bytes, path)
                record = await asyncio.to_thread(_read, self._folder, turn)
                turn.tenant_id, lane = record.actor.tenant_id, self._lane_of(record)
            except (Corrupt, OSError):
                lane = self._lanes.setdefault(str(path), _Lane())
            self._append(lane, turn)
        if paths:
            self._log.warning("spool.found", turns=len(paths))

    def _lane_of(self, record: TurnRecord) -> _Lane:
        return self._lanes.setdefault(record.key or record.turn_id, _Lane())

    def _append(self, lane: _Lane, turn: _Waiting) -> None:
        lane.turns.append(turn)
        self.waiting += 1
        self._bytes_by_tenant[turn.tenant_id] += turn.size_bytes
        if turn.path is None:
            self._unwritten.add(turn)
        self._stirred.set()


def _read(folder: SpoolFolder, turn: _Waiting) -> TurnRecord:
    data = turn.data
    if data is None:
        assert turn.path is not None
        data = folder.read(turn.path)
    return read_record(data)


def _write(folder: SpoolFolder, path: Path | None, data: bytes) -> Path:
    if path is None:
        return folder.write(data)
    folder.replace(path, data)
    return path
