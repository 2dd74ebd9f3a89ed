"""Turns that wait in files until the record takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hansard.core.errors import Conflict, HansardError, NotFound, Unavailable
from hansard.runtime.spool import CRASHES_MAX, LANES_MAX, LARGE_MAX, Spool
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_records import TurnRecord, read_record, write_record
from tests.runtime.chats import SILENT, turn


class Landing:
    """A record that notes what lands, and refuses what it is told to."""

    def __init__(self) -> None:
        self.landed: list[TurnRecord] = []
        self.billed: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.is_up = True
        self.is_deleted = self.is_unbillable = False

    async def land(self, record: TurnRecord) -> None:
        if not self.is_up:
            raise Unavailable("down")
        if record.turn_id in self.errors:
            raise self.errors[record.turn_id]
        self.landed.append(record)

    async def resolve(self, record: TurnRecord) -> TurnRecord:
        if not self.is_up:
            raise Unavailable("down")
        return turn(record.at_us)

    async def refuse(self, record: TurnRecord, error: HansardError) -> TurnRecord | None:
        if self.is_unbillable:
            raise ValueError("nor this")
        self.billed.append(record.turn_id)
        return None if self.is_deleted else record.words()

    @property
    def ids(self) -> list[str]:
        return [record.turn_id for record in self.landed]


@pytest.fixture
def landing() -> Landing:
    return Landing()


@asynccontextmanager
async def opened(folder: Path, landing: Landing) -> AsyncIterator[Spool]:
    spool = Spool(SpoolFolder(folder), landing, SILENT)
    async with spool:
        yield spool


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))


async def test_turn_is_on_disk_until_it_lands(tmp_path: Path, landing: Landing) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1))
        assert (len(files(tmp_path)), spool.waiting, spool.unwritten) == (1, 1, 0)
        assert not await spool.flush()
        landing.is_up = True
        assert await spool.flush()
        assert (files(tmp_path), spool.waiting) == ([], 0)
    assert landing.landed == [turn(1)]
    assert [path.name for path in tmp_path.iterdir()] == ["refused"]


async def test_turns_of_a_session_land_in_order(tmp_path: Path, landing: Landing) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        for number in range(6):
            await spool.put(turn(number, "ab"[number % 2]))
        assert spool.has(("acme", "a"))
        assert not spool.has(("acme", "c"))
        landing.is_up = True
        assert await spool.catch_up(("acme", "a"))
        assert landing.ids == ["turn-0", "turn-2", "turn-4"]
        assert not spool.has(("acme", "a"))
        assert await spool.flush()
    assert landing.ids[3:] == ["turn-1", "turn-3", "turn-5"]


async def test_what_is_left_lands_after_a_restart(tmp_path: Path, landing: Landing) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        for number in range(3):
            await spool.put(turn(number))
    assert len(files(tmp_path)) == 3
    landing.is_up = True
    async with opened(tmp_path, landing) as spool:
        assert await spool.flush()
    assert landing.ids == ["turn-0", "turn-1", "turn-2"]
    assert files(tmp_path) == []


async def test_worker_lands_turns_by_itself(tmp_path: Path, landing: Landing) -> None:
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1))
        async with asyncio.timeout(30):
            while spool.waiting:
                await asyncio.sleep(0.01)
    assert landing.ids == ["turn-1"]


async def test_refused_turn_is_put_aside_and_holds_nobody_up(
    tmp_path: Path, landing: Landing
) -> None:
    landing.errors["turn-1"] = Conflict("no", code="turn_conflict")
    async with opened(tmp_path, landing) as spool:
        for number in range(3):
            await spool.put(turn(number))
        assert await spool.flush()
        assert (spool.waiting, spool.refused) == (0, 1)
    assert landing.ids == ["turn-0", "turn-2"]
    assert landing.billed == ["turn-1"]
    (left,) = files(tmp_path)
    assert read_record((tmp_path / left).read_bytes()) == turn(1).words()
    async with opened(tmp_path, landing) as spool:
        assert (spool.waiting, spool.refused) == (0, 1)


async def test_turn_of_a_deleted_session_leaves_nothing_that_was_said(
    tmp_path: Path, landing: Landing
) -> None:
    landing.is_deleted = True
    landing.errors["turn-1"] = NotFound("gone")
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1))
        assert await spool.flush()
        assert (landing.billed, spool.refused) == (["turn-1"], 0)
    assert files(tmp_path) == []


@pytest.mark.parametrize("is_unbillable", [False, True])
async def test_turn_that_crashes_again_and_again_is_billed_and_put_aside(
    tmp_path: Path, landing: Landing, *, is_unbillable: bool
) -> None:
    """As it is, if even its cost cannot be recorded."""
    landing.errors["turn-1"] = ValueError("nobody foresaw this")
    landing.is_unbillable = is_unbillable
    async with opened(tmp_path, landing) as spool:
        for number in range(3):
            await spool.put(turn(number))
        assert [await spool.flush() for _ in range(CRASHES_MAX)][-2:] == [False, True]
        assert (landing.ids, spool.refused) == (["turn-0", "turn-2"], 1)
    (left,) = files(tmp_path)
    said = turn(1) if is_unbillable else turn(1).words()
    assert read_record((tmp_path / left).read_bytes()) == said


@pytest.mark.parametrize("move", ["remove", "refuse"])
async def test_turn_whose_file_goes_while_nobody_waits_is_done(
    tmp_path: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """The thread goes on when its caller is stopped."""
    if move == "refuse":
        landing.errors["turn-1"] = Conflict("no", code="turn_conflict")
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1))
        catching_up = asyncio.ensure_future(spool.catch_up(("acme", "s")))
        original = getattr(SpoolFolder, move)
        loop = asyncio.get_running_loop()

        def go(folder: SpoolFolder, path: Path) -> None:
            loop.call_soon_threadsafe(catching_up.cancel)
            original(folder, path)

        monkeypatch.setattr(SpoolFolder, move, go)
        with pytest.raises(asyncio.CancelledError):
            await catching_up
        assert spool.has(("acme", "s"))
        monkeypatch.undo()
        assert await spool.catch_up(("acme", "s"))
        assert len(landing.landed) + len(landing.billed) == 1
        assert (spool.waiting, spool.refused) == (0, move == "refuse")


async def test_sessions_that_are_stuck_hold_no_others_up(tmp_path: Path, landing: Landing) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        for number in range(LANES_MAX + 1):
            landing.errors[f"turn-{number}"] = Unavailable("locked")
            await spool.put(turn(number, f"stuck-{number}"))
        for number in range(100, 104):
            await spool.put(turn(number, f"free-{number}"))
        landing.is_up = True
        for _ in range(2):
            assert not await spool.flush()
        assert sorted(landing.ids) == [f"turn-{number}" for number in range(100, 104)]
        assert spool.waiting == LANES_MAX + 1


@pytest.mark.parametrize("is_gone", [False, True])
async def test_file_that_cannot_be_read_holds_nobody_up(
    tmp_path: Path, landing: Landing, is_gone: bool
) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        for number in range(2):
            await spool.put(turn(number))
        first = tmp_path / files(tmp_path)[0]
        first.unlink()
        if not is_gone:
            first.mkdir()
        landing.is_up = True
        assert [await spool.flush() for _ in range(CRASHES_MAX)][-2:] == [False, True]
        assert (landing.ids, spool.waiting, spool.refused) == (["turn-1"], 0, not is_gone)


async def test_file_that_is_no_turn_is_put_aside(tmp_path: Path, landing: Landing) -> None:
    folder = tmp_path / "01DEAD"
    folder.mkdir()
    (folder / "00000001.json").write_text("half a tu")
    async with opened(tmp_path, landing) as spool:
        assert await spool.flush()
        assert spool.refused == 1
    assert files(tmp_path)[0].startswith("refused/")


async def test_turn_whose_history_was_not_read_is_completed_before_it_lands(
    tmp_path: Path, landing: Landing
) -> None:
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1, sent=[{"role": "user", "content": "hi"}]))
        assert await spool.flush()
    assert landing.landed == [turn(1)]


async def test_completed_turn_stays_the_same_when_it_lands_late(
    tmp_path: Path, landing: Landing
) -> None:
    landing.errors["turn-1"] = Unavailable("not yet")
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1, sent=[{"role": "user", "content": "hi"}]))
        assert not await spool.flush()
        (file,) = files(tmp_path)
        assert read_record((tmp_path / file).read_bytes()) == turn(1)


async def test_processes_share_a_folder(tmp_path: Path, landing: Landing) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as one, opened(tmp_path, landing) as other:
        await one.put(turn(1))
        await other.put(turn(2))
        assert (one.waiting, other.waiting) == (1, 1)
        async with opened(tmp_path, landing) as third:
            assert third.waiting == 0  # both are alive
        landing.is_up = True
        assert await one.flush()
        assert landing.ids == ["turn-1"]


async def test_files_of_a_dead_process_are_adopted(tmp_path: Path, landing: Landing) -> None:
    dead = tmp_path / "01DEAD"
    dead.mkdir()
    (dead / "lock").touch()
    for number in (2, 10):
        (dead / f"{number:08d}.json").write_bytes(write_record(turn(number)))
    (dead / "00000011.part").write_text("torn")
    async with opened(tmp_path, landing) as spool:
        assert spool.waiting == 2
        assert not dead.exists()
        assert await spool.flush()
    assert landing.ids == ["turn-2", "turn-10"]


@pytest.mark.parametrize("bound", ["UNWRITTEN_MAX", "UNWRITTEN_BYTES_MAX"])
async def test_disk_that_takes_nothing_loses_nothing(
    tmp_path: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        (own,) = [path for path in tmp_path.iterdir() if path.name != "refused"]
        hide(own)
        await spool.put(turn(1))
        assert (spool.waiting, spool.unwritten) == (1, 1)
        assert not spool.is_full_for("acme")
        monkeypatch.setattr(f"hansard.runtime.spool.{bound}", 1)
        assert spool.is_full_for("acme")
        hide(own, back=True)
    assert len(files(tmp_path)) == 1  # written at last, when it was closed


async def test_turn_that_lands_from_memory_is_nowhere_any_more(
    tmp_path: Path, landing: Landing
) -> None:
    async with opened(tmp_path, landing) as spool:
        (own,) = [path for path in tmp_path.iterdir() if path.name != "refused"]
        hide(own)
        await spool.put(turn(1))
        assert await spool.flush()
        assert (landing.ids, spool.waiting, spool.unwritten) == (["turn-1"], 0, 0)
        hide(own, back=True)
    assert files(tmp_path) == []


@pytest.mark.parametrize("bound", ["RECORDS_MAX", "BYTES_MAX", "TENANT_BYTES_MAX"])
async def test_full_spool_says_so(
    tmp_path: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(f"hansard.runtime.spool.{bound}", 1)
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        assert not spool.is_full_for("acme")
        await spool.put(turn(1))
        assert spool.is_full_for("acme")
        assert spool.is_full_for("umbrella") == (bound != "TENANT_BYTES_MAX")
        landing.is_up = True
        assert await spool.flush()
        assert not spool.is_full_for("acme")


class Slow(Landing):
    """A record that takes turns when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.may_go_on = asyncio.Event()

    async def land(self, record: TurnRecord) -> None:
        self.begun += 1
        await self.may_go_on.wait()
        await super().land(record)


async def test_few_large_turns_are_recorded_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hansard.runtime.spool.LARGE_BYTES", 1)
    landing = Slow()
    async with opened(tmp_path, landing) as spool:
        for number in range(LARGE_MAX + 2):
            await spool.put(turn(number, f"s{number}"))
        flushing = asyncio.ensure_future(spool.flush())
        while landing.begun < LARGE_MAX:
            await asyncio.sleep(0)
        for _ in range(1_000):  # for others to begin
            await asyncio.sleep(0)
        assert landing.begun == LARGE_MAX
        landing.may_go_on.set()
        assert await flushing


async def test_folder_that_cannot_be_written_to_is_refused(
    tmp_path: Path, landing: Landing
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable) as refused:
        async with opened(tmp_path / "file" / "spool", landing):
            pass
    assert refused.value.code == "spool_unavailable"


async def test_files_are_the_owners_alone(tmp_path: Path, landing: Landing) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        await spool.put(turn(1))
        (file,) = files(tmp_path)
        assert (tmp_path / file).stat().st_mode & 0o077 == 0
        assert (tmp_path / file).parent.stat().st_mode & 0o077 == 0


def hide(folder: Path, *, back: bool = False) -> None:
    """Let a folder vanish, as a disk does that is pulled out."""
    away = folder.with_name("away")
    away.rename(folder) if back else folder.rename(away)
