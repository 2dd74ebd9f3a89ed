"""Databases: what only makes sense where the record lies, not through a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hansard import compose
from hansard.cli import records
from hansard.core.errors import InvalidInput, LimitReached
from hansard.settings import Settings, refuse

if TYPE_CHECKING:
    from hansard.core.price_tables import PriceOverrides
    from hansard.service.sessions import DatabaseSessions
    from hansard.store.database import Engine

T = TypeVar("T")


def run(given: Settings, action: Callable[[DatabaseSessions], Awaitable[T]]) -> T:
    """Open the database that the settings name, act on it, and close it.

    Raises:
        InvalidInput: With code ``not_a_database``, if the URL names a server or nothing.
        NotFound: If that is a SQLite file and there is none; only ``run_new`` makes one.
    """
    check_database(given)
    records.check_exists(given)
    return run_new(given, action)


def run_new(given: Settings, action: Callable[[DatabaseSessions], Awaitable[T]]) -> T:
    """Do the same, and make the database if there is none."""
    return records.act_on(open_record(given), action)


def open_record(given: Settings) -> DatabaseSessions:
    """Give the record in the database, not yet connected."""
    check_database(given)
    return compose.open_database(
        given.record.database,
        retry_deadline_s=given.record.retry_deadline_s,
        prices=read_prices(given),
    )


def read_prices(given: Settings) -> PriceOverrides | None:
    """Read the file of prices that the settings name; None if they name none.

    Raises:
        InvalidInput: With code ``invalid_setting``, if it cannot be read or is not right.
    """
    path = given.prices.prices
    if path is None:
        return None
    from hansard.formats.prices import read_toml

    try:
        return read_toml(Path(path).read_bytes())
    except OSError as exc:
        raise refuse("prices", f"{path} cannot be read: {exc.strerror}") from exc
    except (InvalidInput, LimitReached) as exc:
        raise refuse("prices", f"{path}: {exc.message}") from exc


def connect(given: Settings) -> Engine:
    """Give the engine of the database, without changing anything in it."""
    from hansard.store.opening import make_engine

    check_database(given)
    return make_engine(place(given), deadline_s=given.record.retry_deadline_s)


def place(given: Settings) -> Path | str | None:
    """Where the database is: a SQLite file, a PostgreSQL URL, or (None) memory."""
    url = given.record.database
    return compose.sqlite_path(url) if is_sqlite(given) else url


def is_sqlite(given: Settings) -> bool:
    """Tell whether the database is SQLite."""
    return given.record.database.startswith("sqlite:")


def is_database(given: Settings) -> bool:
    """Tell whether the record is a database, and not behind a server or nowhere."""
    return given.record.database.startswith(("sqlite:", "postgresql:", "postgres:"))


def check_database(given: Settings) -> None:
    """Refuse the URL of a server."""
    if not is_database(given):
        raise InvalidInput(
            "this works on a database (sqlite:///… or postgresql://…); through a server, use its "
            "HTTP API (/docs there)",
            code="not_a_database",
        )
