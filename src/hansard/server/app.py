"""The application: the endpoint table on a record, as one ASGI app."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

import httpx
from starlette.routing import Route, Router

from hansard import __version__
from hansard.runtime.agents.protocol import Agent
from hansard.server.auth import Authenticator, Everybody, KeyHolders
from hansard.server.budget_chores import BudgetChores
from hansard.server.calls import to_json
from hansard.server.chat_opening import open_chat
from hansard.server.chores import doing
from hansard.server.context import Context
from hansard.server.docs import to_html
from hansard.server.edge import Edge
from hansard.server.endpoint import Endpoint
from hansard.server.endpoints import ENDPOINTS
from hansard.server.forwarding import Forwarder
from hansard.server.jwks import FETCH_MAX_S, IssuerKeys
from hansard.server.logs import Log, make_log
from hansard.server.oidc import TokenHolders
from hansard.server.openapi import document
from hansard.server.operation import Resource
from hansard.server.retention_chore import RetentionChore
from hansard.server.telemetry import telling
from hansard.server.thread_opening import running
from hansard.service.keys import KeyService
from hansard.service.sessions import DatabaseSessions
from hansard.settings import AccessSettings, Settings
from hansard.trust import trusted


def create_app(
    record: DatabaseSessions,
    settings: Settings,
    *,
    agent: Agent | None = None,
    log: Log | None = None,
) -> Edge:
    """Make the ASGI application on a record, which it opens and closes with its lifespan.

    ``agent`` answers chat requests, in place of the one that the settings name.
    """
    openapi, docs = _described(secured=settings.access.auth != "none")
    context = Context(
        record, settings, log=log or make_log(settings.server), openapi=openapi, docs=docs
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(record)
            client = await stack.enter_async_context(_client())
            context.authenticator = _authenticator(context, client)
            context.forwarder = Forwarder(await stack.enter_async_context(_neighbour()))
            await _tell_durability(record, context.log)
            told = await stack.enter_async_context(telling(settings.telemetry, record.clock))
            chat = await open_chat(context, agent, told)
            context.chat = chat and await stack.enter_async_context(chat)
            context.runtime = await stack.enter_async_context(running(context, chat))
            chores = [*BudgetChores(context, client).list(), RetentionChore(context).chore()]
            await stack.enter_async_context(doing(chores, context.log))
            yield

    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    resources = {path: Resource(rows, context) for path, rows in by_path.items()}
    routes = [
        Route(path, resource, methods=resource.methods) for path, resource in resources.items()
    ]
    return Edge(Router(routes, redirect_slashes=False), context, lifespan)


@cache
def _described(*, secured: bool) -> tuple[bytes, bytes]:
    """The description of the API as JSON, and as a page."""
    api = document(ENDPOINTS, version=__version__, secured=secured)
    return to_json(api), to_html(api).encode()


async def _tell_durability(record: DatabaseSessions, log: Log) -> None:
    """Say plainly, once, where an acknowledged write might be lost."""
    for finding in await record.look():
        if finding.severity != "ok":
            log.warning("durability", name=finding.name, detail=finding.detail)


def key_service(record: DatabaseSessions, access: AccessSettings) -> KeyService:
    """Give the API keys of an open record."""
    pepper = access.key_pepper
    secret = record.runner.database.secret if pepper is None else pepper.encode()
    return KeyService(record.runner, clock=record.clock, pepper=secret)


def _authenticator(context: Context, client: httpx.AsyncClient) -> Authenticator:
    access, record = context.settings.access, context.record
    if access.auth == "none":
        return Everybody(record.actor)
    keys = KeyHolders(key_service(record, access), context.patience, record.clock)
    if access.auth == "key":
        return keys
    issuer, audience = access.oidc_issuer, access.oidc_audience
    assert issuer is not None  # the settings have been checked
    assert audience is not None
    return TokenHolders(
        keys,
        IssuerKeys(issuer, access.oidc_jwks_url, client, time.monotonic),
        issuer=issuer,
        audience=audience,
        tenant_claim=access.oidc_tenant_claim,
    )


def _client() -> httpx.AsyncClient:
    """The client for the issuer and the webhook: bounded, and without redirects."""
    return httpx.AsyncClient(verify=trusted(), timeout=FETCH_MAX_S / 2, follow_redirects=False)


def _neighbour() -> httpx.AsyncClient:
    """The client for other servers of the record: past proxies, which would see credentials."""
    return httpx.AsyncClient(verify=trusted(), follow_redirects=False, trust_env=False)
