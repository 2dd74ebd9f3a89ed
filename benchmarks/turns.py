"""What everybody records in these benchmarks: a turn of two messages and one model call."""

from __future__ import annotations

from typing import Any, Final

TENANT: Final = "default"
PROVIDER: Final = "openai"
MODEL: Final = "gpt-4o"
MESSAGE_BYTES: Final = 500

_WORDS: Final = "The record holds what was said, what was done and what it cost. "


def message(role: str, size_bytes: int = MESSAGE_BYTES) -> dict[str, str]:
    """A message whose JSON has so many bytes."""
    frame = len(f'{{"role":"{role}","content":""}}')
    return {"role": role, "content": (_WORDS * (size_bytes // 60 + 1))[: size_bytes - frame]}


MESSAGES: Final = [message("user"), message("assistant")]

USAGE: Final[dict[str, Any]] = {
    "provider": PROVIDER,
    "model": MODEL,
    "input_tokens": 1200,
    "cached_tokens": 800,
    "output_tokens": 180,
}

# What those who write rows without our code put where we compute.
TOKENS: Final = (1200, 800, 0, 180, 0)
COST_NANOUSD: Final = 3_800_000
PRICE_VERSION: Final = "builtin-2026-11-21-f5caf5512083"
HOUR_US: Final = 3_600_000_000
DIGEST: Final = bytes(range(32))
RECEIPT: Final = "[123456,123457,61729,[61728,74073600,49382400,0,11111040,0,234566400000,0]]"


def session_id(number: int) -> str:
    """The id of the session that caller ``number`` writes to."""
    return f"session-{number:04}"


def dialogue(count: int) -> list[dict[str, str]]:
    """A history of so many messages."""
    return [MESSAGES[index % 2] for index in range(count)]
