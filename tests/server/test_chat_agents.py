"""Agents of other kinds behind the chat, and those that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import openai
import pytest

from hansard.core.errors import InvalidInput
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import (
    AgentFailed,
    CallPlan,
    Completed,
    Event,
    Request,
    Text,
    ToolCalled,
    ToolReturned,
)
from hansard.runtime.agents.scripted import Line, Scripted
from tests.samples import assistant, user
from tests.server.chats import MODEL, Chat, chatting, until

QUESTION: Any = {"model": MODEL, "messages": [user("hi")]}
LOUD = "word " * 20_000


class Talker:
    """An agent that makes as many calls as it is told, and then what it is told."""

    def __init__(self, calls: int = 1, error: Exception | None = None, text: str = "Hello") -> None:
        self.name = "talker"
        self.error = error
        self._calls = calls
        self._text = text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to let go of."""

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        calls = []
        for number in range(self._calls):
            grant = await request.gate(
                CallPlan(provider="openai", model=MODEL, input_tokens_bound=100, output_tokens=10)
            )
            calls.append(
                NewUsage(
                    event_id=grant.call_id,
                    provider="openai",
                    model=MODEL,
                    input_tokens=10,
                    output_tokens=1,
                )
            )
            yield ToolCalled(f"t{number}", "look", "{}")
            yield ToolReturned(f"t{number}", "seen")
        yield Text(self._text)
        if self.error is not None:
            raise self.error
        yield Completed(messages=[assistant(self._text)], calls=calls, finish_reason="stop")

    async def models(self) -> list[dict[str, Any]]:
        raise AgentFailed(InvalidInput("none", code="no_models"), status=502)


@asynccontextmanager
async def talking(record_url: str, folder: Path, agent: Talker, **more: Any) -> AsyncIterator[Chat]:
    async with chatting(record_url, folder, agent=agent, **more) as chat:
        yield chat


async def test_script_answers_with_tools_and_reasons(record_url: str, tmp_path: Path) -> None:
    agent = Scripted([Line(text="Hello", reasoning="Well.")])
    async with chatting(record_url, tmp_path, agent=agent) as chat:
        completions = chat.client("s").chat.completions
        whole = await completions.create(**QUESTION)
        assert whole.choices[0].message.content == "Hello"
        stream = await completions.create(**QUESTION, stream=True)
        parts = [part.choices[0].delta.content or "" async for part in stream]
        assert "".join(parts) == "Hello"
        assert (await chat.record.get("s")).agent == "scripted"


async def test_every_call_of_a_turn_is_counted(record_url: str, tmp_path: Path) -> None:
    async with talking(record_url, tmp_path, Talker(calls=3)) as chat:
        reply = await chat.client("s").chat.completions.create(**QUESTION)
        assert reply.usage.total_tokens == 33
        session = await chat.record.get("s")
        assert (session.usage.calls, session.usage.input_tokens) == (3, 30)
        assert session.turn_count == 1
        assert not (await chat.record.list_holds(state="open")).items


async def test_crash_of_an_agent_is_an_error_like_others(record_url: str, tmp_path: Path) -> None:
    agent = Talker(error=ZeroDivisionError("a secret"))
    async with talking(record_url, tmp_path, agent) as chat:
        with pytest.raises(openai.InternalServerError) as refused:
            await chat.client("s").chat.completions.create(**QUESTION)
        assert "secret" not in refused.value.message
        agent.error = None
        await chat.client("s").chat.completions.create(**QUESTION)  # the next one goes well
        assert not chat.turns


async def test_refusal_in_the_middle_of_a_turn_keeps_what_was_billed(
    record_url: str, tmp_path: Path
) -> None:
    call = NewUsage(event_id="call_1", provider="openai", model=MODEL, input_tokens=10)
    failed = AgentFailed(
        InvalidInput("no more", code="no_more"),
        status=418,
        messages=[assistant("Hel")],
        calls=[call],
    )
    async with talking(record_url, tmp_path, Talker(error=failed)) as chat:
        with pytest.raises(openai.APIStatusError) as refused:
            await chat.client("s").chat.completions.create(**QUESTION)
        assert (refused.value.status_code, refused.value.code) == (418, "no_more")
        assert await chat.said("s") == [user("hi"), assistant("Hel")]
        assert await chat.statuses("s") == ["failed"]
        assert (await chat.record.get("s")).usage.calls == 1


async def test_request_that_an_agent_cannot_answer_is_refused(
    record_url: str, tmp_path: Path
) -> None:
    agent = Talker(calls=0, error=InvalidInput("not that", code="unsupported", field="tools"))
    async with talking(record_url, tmp_path, agent) as chat:
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await chat.client("s").chat.completions.create(**QUESTION)
        assert (refused.value.code, refused.value.param) == ("unsupported", "tools")
        assert not (await chat.record.list()).items


async def test_answer_that_json_cannot_hold_is_recorded_all_the_same(
    record_url: str, tmp_path: Path
) -> None:
    async with talking(record_url, tmp_path, Talker(text="a\0b")) as chat:
        reply = await chat.client("s").chat.completions.create(**QUESTION)
        assert reply.choices[0].message.content == "a\0b"
        assert await chat.said("s") == [user("hi"), assistant("a\ufffdb")]
        assert not chat.files()


async def test_models_that_cannot_be_listed_are_an_error(sqlite_url: str, tmp_path: Path) -> None:
    async with talking(sqlite_url, tmp_path, Talker()) as chat:
        with pytest.raises(openai.InternalServerError) as refused:
            await chat.client().models.list()
        assert (refused.value.status_code, refused.value.code) == (502, "no_models")


async def test_client_that_reads_nothing_is_left_behind(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hansard.runtime.turns.STALL_S", 0.1)
    agent = Scripted([Line(text=LOUD)])  # more than sockets hold, one event for each word
    async with chatting(sqlite_url, tmp_path, agent=agent) as chat:
        parts = httpx.URL(chat.url)
        _, writer = await asyncio.open_connection(parts.host, parts.port)
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-session-id: s\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket can be read
        await until(lambda: chat.turns == 1)
        await until(lambda: not chat.turns)
        assert await chat.said("s") == [user("hi"), assistant(LOUD)]
        writer.transport.abort()


async def test_two_servers_share_a_budget(postgres_url: str, tmp_path: Path) -> None:
    """Fifty calls of a cent each at once, for ten cents: ten are made."""
    agent = Talker()
    async with (
        talking(postgres_url, tmp_path / "a", agent, output_bound_tokens=10) as one,
        talking(postgres_url, tmp_path / "b", agent, output_bound_tokens=10) as other,
    ):
        await one.record.put_budget("all", scope="tenant", unit="tokens", limit_amount=1_100)
        clients = [one.client(), other.client()]
        answers = await asyncio.gather(
            *(clients[n % 2].chat.completions.create(**QUESTION) for n in range(50)),
            return_exceptions=True,
        )
        refused = [each for each in answers if isinstance(each, openai.APIStatusError)]
        assert {each.status_code for each in refused} == {402}
        _, page = await one.record.get_budget("all")
        (state,) = page.items
        assert (state.held, state.spent) == (0, 11 * (50 - len(refused)))
        assert state.spent <= 1_100
        assert (await one.record.verify_ledger()).ok
