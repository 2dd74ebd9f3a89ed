"""Turns that wait in files until the record takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hansard.core.actors import Actor
from hansard.core.errors import Conflict, Corrupt, HansardError, NotFound, Unavailable
from hansard.core.usage import ENTRIES_MAX, NewUsage
from hansard.runtime.spool import LANES_MAX, READS_MAX, Spool
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_records import TurnRecord, read_record, recordable, write_record
from tests.runtime.chats import SILENT


def turn(number: int, session_id: str | None = "s", **more: Any) -> TurnRecord:
    return TurnRecord(
        actor=Actor("acme", "ann", sees_all=False),
        session_id=session_id,
        turn_id=f"turn-{number}",
        status="completed",
        at_us=number,
        messages=[{"role": "assistant", "content": f"answer {number}", "score": 0.25}],
        usage=[NewUsage(event_id=f"call-{number}", input_tokens=2**40)],
        holds=[f"call-{number}"],
        **more,
    )


class Landing:
    """A record that notes what lands, and refuses what it is told to."""

    def __init__(self) -> None:
        self.landed: list[TurnRecord] = []
        self.billed: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.is_up = True
        self.is_deleted = False

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


@pytest.mark.parametrize(
    "record",
    [
        turn(1),
        turn(1, None),
        turn(1, sent=[{"role": "user", "content": "hi", "big": 2**80}], way="full"),
    ],
)
def test_turn_is_read_as_it_was_written(record: TurnRecord) -> None:
    assert read_record(write_record(record)) == record


@pytest.mark.parametrize("data", [b"", b"{}", b'{"version":2}', b"[1", b"\xff"])
def test_what_is_no_turn_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        read_record(data)


def test_turn_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(Corrupt):
        read_record(write_record(turn(1, version=2)))


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        (
            {"role": "assistant", "content": "a", "refusal": None, "annotations": []},
            {"role": "assistant", "content": "a"},
        ),
        ({"role": "assistant", "content": "a\0b"}, {"role": "assistant", "content": "a\ufffdb"}),
        (
            {"role": "assistant", "content": [{"text": "\ud83d"}]},
            {"role": "assistant", "content": [{"text": "\ufffd"}]},
        ),
        (
            {"role": "assistant", "content": "\ud83d\ude00"},
            {"role": "assistant", "content": "\U0001f600"},
        ),
        ({"role": "model", "content": "a"}, {"role": "assistant", "content": "a"}),
    ],
)
def test_answer_that_was_paid_for_is_recordable(
    said: dict[str, Any], recorded: dict[str, Any]
) -> None:
    assert recordable(said) == recorded


@pytest.mark.parametrize("odd", [float("nan"), object(), b"bytes"])
def test_answer_that_is_no_json_is_recorded_as_text(odd: object) -> None:
    recorded = recordable({"role": "assistant", "content": odd})
    assert recorded["role"] == "assistant"
    assert repr(odd) in recorded["content"]


def test_cost_of_a_turn_is_told_without_words() -> None:
    calls = [NewUsage(event_id=f"call-{number}") for number in range(ENTRIES_MAX + 1)]
    record = replace(turn(1, unmade=["other"]), usage=calls, holds=["call-1"])
    costs = list(record.costs())
    assert [each.session_id for each in costs] == [None] * 3
    assert not any(each.has_words for each in costs)
    assert [call for each in costs for call in each.usage] == calls
    assert [hold for each in costs for hold in each.holds] == [call.event_id for call in calls]
    assert [each.unmade for each in costs] == [["other"], [], []]
    assert not record.is_empty
    assert replace(record.words(), messages=[]).is_empty


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


async def test_turn_that_nobody_can_record_is_put_aside_as_it_is(
    tmp_path: Path, landing: Landing
) -> None:
    landing.errors["turn-1"] = ValueError("nobody foresaw this")
    async with opened(tmp_path, landing) as spool:
        for number in range(3):
            await spool.put(turn(number))
        assert await spool.flush()
        assert (landing.ids, spool.refused) == (["turn-0", "turn-2"], 1)
    (left,) = files(tmp_path)
    assert read_record((tmp_path / left).read_bytes()) == turn(1)


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
        assert landing.ids == [f"turn-{number}" for number in range(100, 104)]
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
        assert [await spool.flush() for _ in range(READS_MAX)][-2:] == [False, True]
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


async def test_disk_that_takes_nothing_loses_nothing(
    tmp_path: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        (own,) = [path for path in tmp_path.iterdir() if path.name != "refused"]
        hide(own)
        await spool.put(turn(1))
        assert (spool.waiting, spool.unwritten) == (1, 1)
        assert not spool.is_full
        monkeypatch.setattr("hansard.runtime.spool.UNWRITTEN_BYTES_MAX", 1)
        assert spool.is_full
        hide(own, back=True)
    assert len(files(tmp_path)) == 1  # written at last, when it was closed


@pytest.mark.parametrize("bound", ["RECORDS_MAX", "BYTES_MAX"])
async def test_full_spool_says_so(
    tmp_path: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(f"hansard.runtime.spool.{bound}", 1)
    landing.is_up = False
    async with opened(tmp_path, landing) as spool:
        assert not spool.is_full
        await spool.put(turn(1))
        assert spool.is_full


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
