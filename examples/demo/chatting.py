"""An OpenAI client that only changed its ``base_url``: recorded, priced and kept in budget.

The model is the scripted one, so no account is needed; it claims to be ``gpt-4o`` and counts
its tokens, so that there is something to pay.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openai import APIStatusError, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from examples.demo.service import Service, attempt, run

SESSION: Final = "trip"
MODEL: Final = "gpt-4o"
EXIT_REFUSED: Final = 402
LIMIT_USD: Final = "0.05"
OUTPUT_MAX: Final = 1_000
QUESTIONS_MAX: Final = 50

_DEFAULTS: Final = {"model": "gpt-4o-2024-08-06", "provider": "openai"}
_ANSWERS: Final = (
    ("Lisbon in October: mild, and the trams are empty.", 1_200, 300),
    ("Two nights in Alfama, one in Sintra; trains every twenty minutes.", 1_800, 420),
    ("About 540 euros for two, with breakfast.", 2_300, 180),
)

SAID: Final = (_ANSWERS[0][0], _ANSWERS[1][0])
MESSAGES: Final = 4
COST_USD: Final = "0.0147"  # 3,000 tokens in at $2.50 a million, 720 out at $10


def write_script(path: Path) -> None:
    """Write what the scripted model says, and what it says that it used."""
    lines: list[dict[str, Any]] = [{"defaults": _DEFAULTS}]
    for text, sent, made in _ANSWERS:
        lines.append({"text": text, "usage": {"prompt_tokens": sent, "completion_tokens": made}})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@dataclass(frozen=True)
class Chatted:
    """What a conversation came to: said by the model, and as recorded."""

    plain: str
    streamed: str
    messages: int
    cost_usd: str
    ledger: bool


def connect(service: Service) -> OpenAI:
    """Make the client; nothing but its address and a header is about Hansard."""
    return OpenAI(
        base_url=f"{service.url}/v1",
        api_key="unused",
        max_retries=0,
        default_headers={"X-Session-Id": SESSION},
    )


def converse(service: Service, database_url: str) -> Chatted:
    """Ask twice, once for a stream, sending only what is new."""
    with connect(service) as client:
        plain = ask(client, "Where to in October?")
        streamed = stream(client, "And where to stay?")
    usage = json.loads(run(service.url, "usage", SESSION, "--json"))
    shown = json.loads(run(service.url, "show", SESSION, "--json"))
    proof = attempt(database_url, "verify", "--ledger", "--json")
    return Chatted(
        plain=plain,
        streamed=streamed,
        messages=shown["message_count"],
        cost_usd=usage["usage"]["cost_usd"],
        ledger=proof.returncode == 0,
    )


def ask(client: OpenAI, question: str) -> str:
    """Ask, and wait for the whole answer."""
    answer = client.chat.completions.create(
        model=MODEL, messages=_said(question), max_completion_tokens=OUTPUT_MAX
    )
    return answer.choices[0].message.content or ""


def stream(client: OpenAI, question: str) -> str:
    """Ask, and take the answer as it comes."""
    pieces = client.chat.completions.create(
        model=MODEL, messages=_said(question), max_completion_tokens=OUTPUT_MAX, stream=True
    )
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def spend_all(service: Service, tell: Callable[[str], None]) -> tuple[int, dict[str, Any] | None]:
    """Ask until the budget says no; return how often it said yes, and how it said no."""
    with connect(service) as client:
        for count in range(QUESTIONS_MAX):
            try:
                ask(client, "What will it cost?")
            except APIStatusError as error:
                tell(f"the client gets {error.status_code}: {error.message}")
                details: dict[str, Any] = error.response.json()["error"]["details"]
                return count, details if error.status_code == EXIT_REFUSED else None
    return QUESTIONS_MAX, None


def _said(question: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]
