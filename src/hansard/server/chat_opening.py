"""The chat as the settings want it: which agent, with which bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hansard.compose import sqlite_path
from hansard.core.errors import InvalidInput
from hansard.core.prices import PriceBook
from hansard.formats.prices import load_builtin
from hansard.runtime.agents.protocol import Agent
from hansard.runtime.chat import Chat, ChatLimits
from hansard.runtime.observers import Observer
from hansard.server.context import Context
from hansard.service.sessions import DatabaseSessions
from hansard.settings import ChatSettings, Settings, refuse

SPOOL = "hansard-spool"
END_S: Final = 5.0  # of a server's drain: interrupted turns are recorded, and clients told


async def open_chat(
    context: Context, agent: Agent | None, observers: Sequence[Observer] = ()
) -> Chat | None:
    """Give the chat of a server, told to observers; None if nothing is to answer.

    Raises:
        InvalidInput: ``invalid_setting``, if the agent cannot be found.
    """
    settings = context.settings
    chat = settings.chat
    if agent is None and not (chat.upstream or chat.agent or chat.script or chat.agents):
        return None
    book = await asyncio.to_thread(load_builtin)  # before the first turn waits for it
    agent = agent or find_agent(chat, book)
    if agent is None:
        return None
    return Chat(
        context.record,
        agent,
        patience=context.patience,
        prices=_prices,
        spool=spool_folder(settings),
        limits=ChatLimits(
            output_tokens=chat.output_bound_tokens,
            turns=chat.max_turns,
            turns_by_tenant=context.share_of(chat.max_turns),
            size_bytes=chat.max_turns_bytes,
            size_bytes_by_tenant=context.share_of(chat.max_turns_bytes),
            turn_s=chat.turn_deadline_s,
            waiting=chat.session_queue,
            wait_s=chat.session_wait_s,
            left_s=chat.left_s,
            drain_s=drain_s(settings),
        ),
        is_record_required=chat.require_record,
        observers=[context.metrics.chats, *observers],
        log=context.log,
    )


def drain_s(settings: Settings) -> float:
    """How long turns may go on once the server is to stop."""
    return max(settings.server.drain_s - END_S, settings.server.drain_s / 2)


def find_agent(settings: ChatSettings, book: PriceBook) -> Agent | None:
    """Make the agent that the settings name; None if they name none.

    Each is imported when it is chosen: aiohttp and pydantic-ai take longer than the rest.

    Raises:
        InvalidInput: If it cannot be found or read.
    """
    if settings.upstream is not None:
        from hansard.runtime.agents.upstream import Upstream
        from hansard.runtime.agents.upstream_answers import UpstreamLimits

        provider = settings.provider or provider_at(settings.upstream, book)
        limits = UpstreamLimits(
            idle_s=settings.upstream_idle_s or settings.turn_deadline_s,
            total_s=settings.turn_deadline_s,
            connections=settings.max_turns + 1,  # one for the list of models
        )
        return Upstream(
            settings.upstream, api_key=settings.upstream_key, provider=provider, limits=limits
        )
    if settings.agent is not None:
        return load_agent("agent", settings.agent)
    if settings.script is not None:
        from hansard.runtime.agents.scripted import Scripted

        return Scripted.open(settings.script)
    for name, reference in (settings.agents or {}).items():
        return load_agent("agents", reference, name)
    return None


def load_agent(setting: str, reference: str, name: str | None = None) -> Agent:
    """Import an agent of pydantic-ai, which a setting names.

    Raises:
        InvalidInput: If there is none.
    """
    try:
        from hansard.runtime.agents.pydantic_ai import PydanticAgent
    except ImportError as exc:
        raise refuse(setting, "needs pydantic-ai: pip install 'hansard[agents]'") from exc
    return PydanticAgent.load(reference, name=name)


def provider_at(url: str, book: PriceBook) -> str:
    """Who serves models at a URL: by the price table, or else the name of the host.

    A host of one's own is nobody else, whatever its models are called: their prices are not
    taken for its.
    """
    return book.provider_of(url) or urlsplit(url).hostname or ""


def spool_folder(settings: Settings) -> Path:
    """Where turns wait that the record does not take yet."""
    if settings.chat.spool is not None:
        return Path(settings.chat.spool)
    try:
        file = sqlite_path(settings.record.database)
    except InvalidInput:
        file = None
    return Path(SPOOL) if file is None else file.with_name(file.name + ".spool")


async def _prices(record: DatabaseSessions) -> PriceBook:
    return await record.shelf.book(record.actor.tenant_id)
