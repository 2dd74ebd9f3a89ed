"""Documents: sessions taken out in every format, and brought in elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.demo.conversations import Conversation
from examples.demo.service import attempt, run
from hansard import SessionService

SUFFIXES: Final = {
    "native": ".json",
    "native-stream": ".jsonl.gz",
    "openai-chat": ".chat.jsonl",
    "markdown": ".md",
}
EXIT_INTEGRITY: Final = 6


@dataclass(frozen=True)
class Imported:
    """Sessions that an import made, those that were there, and their ids by the old ones."""

    created: int
    present: int
    ids: dict[str, str]


def check_file(name: str, path: Path, conversation: Conversation) -> str | None:
    """Look into an exported file, past Hansard; return what is wrong with it."""
    if not path.exists():
        return "was not written"
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    match name:
        case "native":
            holds = '"checksum"' in text and len(json.loads(text)["messages"]) == len(
                conversation.messages
            )
        case "native-stream":
            holds = all(json.loads(line) for line in text.splitlines())
        case "openai-chat":
            holds = json.loads(text)["messages"] == conversation.messages
        case _:
            holds = conversation.title.rstrip("…") in text
    return None if holds else "does not hold what was said"


async def export_all(
    record: SessionService, conversations: Sequence[Conversation], folder: Path
) -> int:
    """Export every session into a file of its own; return their size in bytes."""
    size = 0
    for conversation in conversations:
        document = b"".join(
            [piece async for piece in record.export_session(conversation.id, "native-stream")]
        )
        path = folder / f"{conversation.id}.jsonl.gz"
        size += await asyncio.to_thread(_write_compressed, path, document)
    return size


def import_all(folder: Path, database_url: str) -> Imported:
    """Import every exported file with the command line."""
    files = sorted(str(path) for path in (folder / "exports").iterdir())
    written = run(database_url, "import", "--from", "native-stream", "--json", *files)
    reports = [json.loads(line) for line in written.splitlines()]
    sessions = [session for report in reports for session in report["sessions"]]
    created = sum(session["created"] for session in sessions)
    return Imported(
        created=created,
        present=len(sessions) - created,
        ids={session["source_session_id"]: session["session_id"] for session in sessions},
    )


def import_altered(path: Path, database_url: str) -> int:
    """Alter one word of an export and try to import it; return the exit code."""
    altered = path.with_name("altered.json")
    altered.write_text(path.read_text().replace("the", "teh", 1))
    return attempt(database_url, "import", str(altered)).returncode


def _write_compressed(path: Path, document: bytes) -> int:
    path.parent.mkdir(exist_ok=True)
    return path.write_bytes(gzip.compress(document))
