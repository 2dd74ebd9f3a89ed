"""Conversations that the steps speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from behave.runner import Context

Body = dict[str, object]


def conversation(context: Context) -> list[Body]:
    """The messages of a step's table."""
    return [{"role": row["role"], "content": row["content"]} for row in context.table]


def exchange(count: int, word: str = "message") -> list[Body]:
    """So many messages of two speakers in turn."""
    return [
        {"role": ("user", "assistant")[number % 2], "content": f"{word} {number}"}
        for number in range(count)
    ]
