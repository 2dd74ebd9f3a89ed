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
TOKENS: Final = (1200, 800, 0, 180, 0, 0)
DIGEST: Final = bytes(range(32))
RECEIPT: Final = (
    '[123456,123457,61729,{"calls":61728,"input_tokens":74073600,"cached_tokens":49382400,'
    '"cache_write_tokens":0,"output_tokens":11111040,"reasoning_tokens":0,"cost_nanousd":0}]'
)


def session_id(number: int) -> str:
    """The id of the session that caller ``number`` writes to."""
    return f"session-{number:04}"


def dialogue(count: int) -> list[dict[str, str]]:
    """A history of so many messages."""
    return [MESSAGES[index % 2] for index in range(count)]
