"""Places a record can live in, fresh for each test, and the one PostgreSQL server behind them.

The server starts when it is first needed, or under xdist before the workers, who share it.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import hansard
from hansard import SessionService
from tests.places import Place, serve
from tests.postgres import PostgresServer, open_server

KINDS = ("sqlite", "postgres", "http")
TESTS = Path(__file__).parent
UNMEASURED = frozenset({"docs", "faults", "house"})
"""Folders whose tests measure no coverage, which would double their cost: they lead through
code that others test, and end most of what they start before it could tell."""

_server_key = pytest.StashKey[PostgresServer]()
_stack_key = pytest.StashKey[ExitStack]()

hypothesis.settings.register_profile(
    "hansard",
    deadline=None,
    max_examples=50,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("hansard")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_stack_key] = ExitStack()
    # A shell that starts us in the background has SIGINT ignored, also by all that we start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_stack_key].close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where the server is."""
    node.workerinput["postgres"] = _server(node.config).admin_url


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in UNMEASURED:
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def _processes_unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no processes either that a test starts which is not measured itself."""
    if request.node.get_closest_marker("no_cover"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def _server(config: pytest.Config) -> PostgresServer:
    if _server_key not in config.stash:
        told = getattr(config, "workerinput", {}).get("postgres")
        config.stash[_server_key] = (
            PostgresServer(told) if told else config.stash[_stack_key].enter_context(open_server())
        )
    return config.stash[_server_key]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> PostgresServer:
    """The running PostgreSQL server."""
    return _server(pytestconfig)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database whose tables are emptied after each test: a tenth of a new one."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def other_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Another such database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'record.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either engine without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgres"])
def record_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A record of either engine with nothing in it, apart from that of ``place``."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'record_apart.db'}"
        return
    url = str(request.getfixturevalue("other_postgres_url"))
    yield url
    Place(kind="postgres", url=url, database_url=url).clear()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place that keeps data: SQLite, PostgreSQL, or a running server."""
    if request.param == "postgres":
        url = str(request.getfixturevalue("shared_postgres_url"))
        place = Place(kind="postgres", url=url, database_url=url)
        yield place
        place.clear()
        return
    sqlite_url = str(request.getfixturevalue("sqlite_url"))
    if request.param == "sqlite":
        yield Place(kind="sqlite", url=sqlite_url, database_url=sqlite_url)
        return
    with serve(sqlite_url) as url:
        yield Place(kind="http", url=url, database_url=sqlite_url)


@pytest.fixture
async def record(place: Place) -> AsyncIterator[SessionService]:
    """An open record, once in each place that keeps data."""
    async with hansard.open(place.url) as record:
        yield record


@pytest.fixture
async def everywhere(
    sqlite_url: str, shared_postgres_url: str, tmp_path: Path
) -> AsyncIterator[dict[Place, SessionService]]:
    """An open record in every place that keeps data, at the same time."""
    served_url = f"sqlite:///{tmp_path / 'served.db'}"
    with serve(served_url) as url:
        places = (
            Place("sqlite", sqlite_url, sqlite_url),
            Place("postgres", shared_postgres_url, shared_postgres_url),
            Place("http", url, served_url),
        )
        async with AsyncExitStack() as stack:
            yield {
                place: await stack.enter_async_context(hansard.open(place.url)) for place in places
            }
        for place in places:
            if place.kind == "postgres":
                place.clear()
