"""Open a record by its URL; the only module that knows every place a record can live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hansard.clock import now_us
from hansard.core.actors import DEFAULT_TENANT, Actor
from hansard.core.errors import InvalidInput

if TYPE_CHECKING:
    from hansard.client.threads import RemoteThreads
    from hansard.core.price_tables import PriceOverrides
    from hansard.face import SessionService
    from hansard.service.sessions import DatabaseSessions
    from hansard.store.database import Database

RETRY_DEADLINE_S = 10.0


def open(
    url: str,
    *,
    tenant: str = DEFAULT_TENANT,
    owner: str | None = None,
    token: str | None = None,
    retry_deadline_s: float = RETRY_DEADLINE_S,
) -> SessionService:
    """Give the record that lives at a URL; connect with ``async with``.

    Args:
        url: ``sqlite:///file.db``, ``sqlite://`` (in memory), ``postgresql://…``,
            ``https://…`` (a Hansard server) or ``null://`` (keeps nothing).
        tenant: Isolation boundary of every call; a server decides it itself.
        owner: On whose behalf calls are made; None reaches the whole tenant.
        token: Bearer token for a server.
        retry_deadline_s: How long a busy or absent database is tried again, in seconds.

    Raises:
        InvalidInput: ``invalid_url``, if the URL names no place.
    """
    match _scheme(url):
        case "sqlite" | "postgresql" | "postgres":
            actor = Actor(tenant, owner, sees_all=owner is None)
            return open_database(url, actor=actor, retry_deadline_s=retry_deadline_s)
        case "http" | "https":
            from hansard.client.sessions import RemoteSessions

            return RemoteSessions(url, token=token, retry_deadline_s=retry_deadline_s)
        case "null":
            from hansard.service.null import NullSessions

            return NullSessions()
        case _:
            raise InvalidInput(
                "the URL must begin with sqlite://, postgresql://, https:// or null://",
                code="invalid_url",
            )


def open_threads(
    url: str, *, token: str | None = None, retry_deadline_s: float = RETRY_DEADLINE_S
) -> RemoteThreads:
    """Give the threads that live in a server.

    Raises:
        InvalidInput: ``no_server``, if the URL is that of a database.
    """
    if _scheme(url) not in {"http", "https"}:
        raise InvalidInput(
            "threads live in a server: give its URL with --database", code="no_server"
        )
    from hansard.client.threads import RemoteThreads

    return RemoteThreads(url, token=token, retry_deadline_s=retry_deadline_s)


def open_database(
    url: str,
    *,
    actor: Actor | None = None,
    retry_deadline_s: float = RETRY_DEADLINE_S,
    prices: PriceOverrides | None = None,
) -> DatabaseSessions:
    """Give the record in a SQLite or PostgreSQL database.

    ``prices`` count over the table that comes with the program, below those in the database.
    """
    from hansard.service.prices import PriceShelf
    from hansard.service.runner import Runner
    from hansard.service.sessions import DatabaseSessions

    runner = Runner(_opener(url, retry_deadline_s))
    return DatabaseSessions(runner, actor=actor, shelf=PriceShelf(runner, file=prices))


def sqlite_path(url: str) -> Path | None:
    """Return the file of a ``sqlite://`` URL; None for a database in memory.

    >>> sqlite_path("sqlite:///a/b.db"), sqlite_path("sqlite:////a/b.db")
    (PosixPath('a/b.db'), PosixPath('/a/b.db'))
    """
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment:
        raise InvalidInput("a SQLite URL is sqlite:///path or sqlite://", code="invalid_url")
    path = unquote(parts.path).removeprefix("/")
    if "\0" in path:
        raise InvalidInput("a SQLite path holds no NUL", code="invalid_url")
    return Path(path) if path else None


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError as exc:
        raise InvalidInput("not a URL", code="invalid_url") from exc


def _opener(url: str, retry_deadline_s: float) -> Callable[[], Database]:
    from hansard.store.opening import open_database as open_store

    if urlsplit(url).scheme == "sqlite":
        path = sqlite_path(url)
        return lambda: open_store(path, clock=now_us, deadline_s=retry_deadline_s)
    return lambda: open_store(url, clock=now_us, deadline_s=retry_deadline_s)
