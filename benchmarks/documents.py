"""Rows: one huge session exported and imported, and real conversations imported."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import ENGINES, Bench, Row
from benchmarks.children import Child
from benchmarks.hansard_side import OpenRecord
from benchmarks.servers import peak_resident, serve
from benchmarks.turns import USAGE, dialogue

FORMAT = "native-stream"
TURN_MESSAGES = 100
RESIDENT_MAX = 150
DATA_VARIABLE = "BENCH_DATA"
NEARBY = Path(__file__).parents[2] / "shared" / "data"


def rows(bench: Bench) -> Iterator[Row]:
    """Memory first, then speed."""
    count = bench.amounts.document
    document = bench.folder() / "session.jsonl"
    for engine in ENGINES:
        url, empty = bench.database(engine), bench.database(engine)
        with Child("benchmarks.documents:Documents", url=url) as child:
            session_id = child.ask("fill", count=count)
        if engine == "SQLite":
            yield _over_http(url, session_id, count)
        with Child("benchmarks.documents:Documents", url=url) as child:
            out = child.ask("export_to", session_id=session_id, path=str(document))
        with Child("benchmarks.documents:Documents", url=empty) as child:
            into = child.ask("import_from", path=str(document))
        size = document.stat().st_size / 2**20
        yield Row(
            f"export, then import, of one session of {count:,} messages, {engine}: resident memory",
            f"{out['resident']:.0f} / {into['resident']:.0f} MB",
            f"≤ {RESIDENT_MAX} MB each",
            max(out["resident"], into["resident"]) <= RESIDENT_MAX,
            f"{size:.0f} MiB of {FORMAT}; {out['seconds']:.0f} / {into['seconds']:.0f} s; "
            f"{into['at_start']:.0f} MB before",
        )
    yield from _conversations(bench)


def _over_http(url: str, session_id: str, count: int) -> Row:
    with serve(url) as server:
        path = f"/v1/sessions/{session_id}/export?format={FORMAT}"
        size = 0
        with urllib.request.urlopen(server.url + path) as answer:
            while piece := answer.read(2**16):
                size += len(piece)
        resident = peak_resident(server.pid)
    return Row(
        f"export of one session of {count:,} messages over HTTP: resident memory of the server",
        f"{resident:.0f} MB",
        f"≤ {RESIDENT_MAX} MB",
        resident <= RESIDENT_MAX,
        f"{size / 2**20:.0f} MiB of {FORMAT}",
    )


class Documents(OpenRecord):
    """A side that writes and reads documents, and watches its own memory."""

    def fill(self, count: int) -> str:
        """Make a session of so many messages; return its id."""
        return self.run(self._fill(count))

    async def _fill(self, count: int) -> str:
        session = await self.record.create()
        for _ in range(0, count, TURN_MESSAGES):
            await self.record.append_turn(session.id, dialogue(TURN_MESSAGES), usage=[USAGE])
        return session.id

    def export_to(self, session_id: str, path: str) -> dict[str, float]:
        """Export a session to a file."""
        at_start, start = peak_resident(), time.perf_counter()
        self.run(self._export(session_id, Path(path)))
        return _told(at_start, start)

    async def _export(self, session_id: str, path: Path) -> None:
        with path.open("wb") as file:
            async for piece in self.record.export_session(session_id, FORMAT):
                file.write(piece)

    def import_from(self, path: str) -> dict[str, float]:
        """Import a session from a file."""
        at_start, start = peak_resident(), time.perf_counter()
        self.run(self.record.import_session(Path(path), FORMAT))
        return _told(at_start, start)


def _told(at_start: float, start: float) -> dict[str, float]:
    seconds = time.perf_counter() - start
    return {"resident": peak_resident(), "at_start": at_start, "seconds": seconds}


def _conversations(bench: Bench) -> Iterator[Row]:
    folder = Path(os.environ.get(DATA_VARIABLE, NEARBY))
    what = "real conversations of a tool-calling agent imported through the CLI"
    files = sorted(folder.glob("*.jsonl.gz"))
    if not files:
        yield Row(what, f"not measured: {DATA_VARIABLE} names no folder of *.jsonl.gz")
        return
    count = sum(_count_messages(file) for file in files)
    for engine in ENGINES:
        url = bench.database(engine)
        command = ["-m", "hansard.cli", "import", "--database", url, "--from", "openai-chat"]
        environment = {name: value for name, value in os.environ.items() if name != DATA_VARIABLE}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *command, *files], env=environment, check=True, capture_output=True
        )
        rate = count / (time.perf_counter() - start)
        yield Row(f"{what}, {engine}", f"{rate:,.0f} messages/s", "", None, f"{count:,} messages")


def _count_messages(file: Path) -> int:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return sum(len(json.loads(line)["messages"]) for line in lines)
