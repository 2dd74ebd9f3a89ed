"""Conversations made up for the demonstration, where no real ones are at hand.

The same ones every time: a rail desk with two tools, in several scripts, with answers of
tools that are long, nested, and full of what is hard to keep: quotes, line ends, emoji.
"""

from __future__ import annotations

import json
import random
from typing import Any

Message = dict[str, Any]

COUNT = 120
SEED = 20_260_101

_POLICY = "You are the agent of a rail company. Look trips up before you change them. " * 12
_NAMES = ("Ada Lovelace", "Grace Hopper", "李雷", "Ñandú Pérez", "Zoë 🚄 Müller", "محمد")
_CITIES = ("København", "Łódź", "São Paulo", "東京", "Reykjavík", "Αθήνα")
_WISHES = (
    "I have to move my trip from {0} to {1} to another day.",
    'My ticket says "{1}", but I booked {0}.\nWhat now?',
    "Please cancel {0} to {1}; how much comes back?",
)
_REPLIES = ("Yes, please.", "No, the other one.", "And the seat by the window?", "Thanks 🙏")


def histories() -> list[list[Message]]:
    """Return the conversations, each as a list of chat messages."""
    source = random.Random(SEED)  # noqa: S311 - wanted: the same every time
    return [_history(source, number) for number in range(COUNT)]


def _history(source: random.Random, number: int) -> list[Message]:
    name = source.choice(_NAMES)
    start, end = source.sample(_CITIES, 2)
    history: list[Message] = [{"role": "system", "content": _POLICY}]
    history.append({"role": "user", "content": source.choice(_WISHES).format(start, end)})
    for step in range(source.randint(2, 9)):
        history += _look_up(source, f"call_{number}_{step}", name, start, end)
        history.append({"role": "assistant", "content": f"{name}, train {step + 1} is free. Ok?"})
        history.append({"role": "user", "content": source.choice(_REPLIES)})
    history.append({"role": "assistant", "content": "Done. Have a good trip!"})
    return history


def _look_up(source: random.Random, call_id: str, name: str, start: str, end: str) -> list[Message]:
    arguments = json.dumps({"passenger": name, "from": start, "to": end}, ensure_ascii=False)
    trains = [
        {"train": f"HX {source.randint(100, 999)}", "price": source.randint(900, 19_900) / 100}
        for _ in range(source.randint(2, 8))
    ]
    function = {"name": "find_trains", "arguments": arguments}
    return [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": json.dumps({"trains": trains})},
    ]
