"""The runtime as the settings want it: the agents that may live in threads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from hansard.runtime.agents.protocol import Agent
from hansard.runtime.agents.upstream_threads import ThreadUpstream
from hansard.runtime.chat import Chat
from hansard.runtime.threads import Runtime
from hansard.server.chat_opening import drain_s, load_agent
from hansard.server.context import Context
from hansard.settings import ChatSettings, refuse

ANSWER_S: Final = 300.0  # for which an agent waits for people


@asynccontextmanager
async def running(context: Context, chat: Chat | None) -> AsyncIterator[Runtime | None]:
    """Run the threads of a server; None where no agent answers.

    Raises:
        InvalidInput: ``invalid_setting``, if an agent cannot be found.
    """
    if chat is None:
        yield None
        return
    settings = context.settings
    async with AsyncExitStack() as stack:
        first = _living(chat.agent, settings.chat)
        named = {
            name: await stack.enter_async_context(load_agent("agents", reference, name))
            for name, reference in _others(first, settings.chat).items()
        }
        runtime = Runtime(
            context.record,
            {first.name: first, **named},
            chat.turn_parts(ANSWER_S),
            url=settings.server.public_url,
            lease_s=settings.server.lease_s,
            drain_s=drain_s(settings),
        )
        yield await stack.enter_async_context(runtime)


def _living(agent: Agent, settings: ChatSettings) -> Agent:
    """The agent of the chat, as threads talk to it: one that passes bytes on is read here."""
    return agent if settings.upstream is None else ThreadUpstream(agent)


def _others(first: Agent, settings: ChatSettings) -> dict[str, str]:
    """The agents of the settings beside the first, which may be one of them."""
    others = dict(settings.agents or {})
    if first.name in others and (settings.upstream or settings.agent or settings.script):
        raise refuse("agents", f"may not name another {first.name!r}: that is who answers the chat")
    others.pop(first.name, None)
    return others
