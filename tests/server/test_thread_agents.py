"""Agents that live in threads, as the settings name them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.settings import ChatSettings
from tests.server.applications import QUIET, application, client_of

POLITE = "tests.runtime.agents_of_users:polite"


async def test_first_agent_that_is_named_answers_the_chat_too(sqlite_url: str) -> None:
    named = ChatSettings(agents={"airline": POLITE, "billing": POLITE})
    async with application(sqlite_url, chat=named) as app, client_of(app) as api:
        by_default = (await api.post("/v1/threads")).json()
        other = (await api.post("/v1/threads", json={"agent": "billing"})).json()
        assert (by_default["agent"], other["agent"]) == ("airline", "billing")
        question = {"model": "airline", "messages": [{"role": "user", "content": "hi"}]}
        answer = (await api.post("/v1/chat/completions", json=question)).json()
        assert answer["choices"][0]["message"]["content"] == "How do you do?"


@pytest.mark.parametrize(
    ("named", "reason"), [({"scripted": POLITE}, "another 'scripted'"), ({"a": "x:y"}, "x:y")]
)
async def test_agents_that_cannot_live_here_are_refused(
    named: dict[str, str], reason: str, sqlite_url: str
) -> None:
    twice = replace(QUIET, chat=ChatSettings(script="echo", agents=named))
    app = create_app(open_database(sqlite_url), twice)
    told: list[str] = []

    async def asked() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def tell(message: Any) -> None:
        told.append(message["message"])

    await app({"type": "lifespan"}, asked, tell)
    assert len(told) == 1
    assert reason in told[0]
