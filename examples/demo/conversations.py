"""What the demonstration records: conversations, cut into turns, with the model calls in them.

They come from the file that ``HANSARD_DEMO_DATA`` names, else from ``../shared/data`` where
that is, else they are made up here. A file holds one ``{"messages": [...]}`` a line, may be
compressed, and carries no token counts; those are estimated, at four characters a token.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from examples.demo import invented

Message = dict[str, Any]

DATA_VARIABLE = "HANSARD_DEMO_DATA"
NEARBY = Path(__file__).parents[3] / "shared" / "data"

AGENT = "local/airline-agent"
PROVIDER = "openai"
MODEL = "gpt-4o"
CHARACTERS_PER_TOKEN = 4
TITLE_MAX = 36  # characters; fits a table
INPUT_NANOUSD, CACHED_NANOUSD, OUTPUT_NANOUSD = 2_500, 1_250, 10_000  # a token


@dataclass(frozen=True)
class Turn:
    """What a user said and everything up to the next word of the user."""

    id: str
    messages: list[Message]
    usage: list[dict[str, Any]]


@dataclass(frozen=True)
class Conversation:
    """One session to be."""

    id: str
    title: str
    turns: list[Turn]

    @property
    def messages(self) -> list[Message]:
        """All messages, in order."""
        return [message for turn in self.turns for message in turn.messages]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """All model calls, in order."""
        return [call for turn in self.turns for call in turn.usage]

    def total(self, field: str) -> int:
        """Sum of one field of all model calls."""
        return sum(call[field] for call in self.calls)


def load() -> tuple[str, list[Conversation]]:
    """Return where the conversations come from, and the conversations."""
    path = _find_file()
    if path is None:
        histories, source = invented.histories(), "made up here; see examples/demo/invented.py"
    else:
        histories, source = list(_read(path)), str(path)
    conversations = [_conversation(number, history) for number, history in enumerate(histories)]
    return source, conversations


def _find_file() -> Path | None:
    named = os.environ.get(DATA_VARIABLE)  # noqa: TID251 - a variable of the demonstration's own
    if named:
        return Path(named)
    return next(iter(sorted(NEARBY.glob("*.jsonl.gz"))), None)


def _read(path: Path) -> Iterator[list[Message]]:
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
        yield json.loads(line)["messages"]


def _conversation(number: int, history: Sequence[Message]) -> Conversation:
    return Conversation(
        id=f"demo-{number:04d}",
        title=_title(history),
        turns=[
            Turn(f"turn-{index}", messages, _usage(before, messages))
            for index, (before, messages) in enumerate(_cut(history), 1)
        ],
    )


def _title(history: Sequence[Message]) -> str:
    asked = next((message["content"] for message in history if message["role"] == "user"), "")
    line = " ".join(asked.split())
    return line if len(line) <= TITLE_MAX else line[: TITLE_MAX - 1].rstrip() + "…"


def _cut(history: Sequence[Message]) -> Iterator[tuple[list[Message], list[Message]]]:
    """Give each turn with the history before it; a turn begins where the user speaks again."""
    starts = [index for index, message in enumerate(history) if message["role"] == "user"]
    bounds = [0, *starts[1:], len(history)]
    for first, end in pairwise(bounds):
        yield list(history[:first]), list(history[first:end])


def _usage(before: Sequence[Message], messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Estimate the model calls of a turn: each sends all that came before and says one message."""
    sent = cached = sum(map(_tokens, before))
    calls = []
    for message in messages:
        size = _tokens(message)
        if message["role"] == "assistant":
            cost = (sent - cached) * INPUT_NANOUSD + cached * CACHED_NANOUSD + size * OUTPUT_NANOUSD
            calls.append(
                {
                    "provider": PROVIDER,
                    "model": MODEL,
                    "input_tokens": sent,
                    "cached_tokens": cached,
                    "output_tokens": size,
                    "cost_nanousd": cost,
                }
            )
            cached = sent
        sent += size
    return calls


def _tokens(message: Message) -> int:
    return -(-len(json.dumps(message)) // CHARACTERS_PER_TOKEN)
