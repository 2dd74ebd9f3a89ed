"""What the SQLite engine does to its file."""

from __future__ import annotations

import stat
from pathlib import Path

from hansard.compose import open_database


async def test_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    async with open_database(f"sqlite:///{path}") as record:
        await record.create()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


async def test_mode_of_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    path.touch(0o640)
    path.chmod(0o640)
    async with open_database(f"sqlite:///{path}"):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
