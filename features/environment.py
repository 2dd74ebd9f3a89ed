"""Every scenario runs on an empty record, once on SQLite and once on PostgreSQL.

behave features                      both engines
behave features -D engine=sqlite     one of them
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from behave import use_fixture
from behave.fixture import fixture
from behave.model import ScenarioOutline

import hansard
from hansard import HansardError
from tests.postgres import PostgresServer, open_server

if TYPE_CHECKING:
    from behave.model import Feature, Scenario
    from behave.runner import Context, Runner

ENGINES = ("sqlite", "postgres")


def before_all(context: Context) -> None:
    asked = context.config.userdata.get("engine")
    context.engines = [asked] if asked else list(ENGINES)
    if unknown := set(context.engines) - set(ENGINES):
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {unknown}")
    if "postgres" in context.engines:
        context.server = use_fixture(postgres_server, context)


def before_feature(context: Context, feature: Feature) -> None:
    for scenario in feature.walk_scenarios():
        if not isinstance(scenario, ScenarioOutline):
            scenario.run = _on_each_engine(context, scenario)


def before_scenario(context: Context, scenario: Scenario) -> None:
    context.url = use_fixture(empty_database, context, engine=context.engine)
    context.loop = use_fixture(event_loop, context)
    context.record = open_record(context)


def open_record(context: Context, **whom: str) -> hansard.SessionService:
    """Open the scenario's database; it is closed when the scenario ends."""
    return use_fixture(record, context, **whom)


def _on_each_engine(context: Context, scenario: Scenario) -> Callable[[Runner], bool]:
    run, name = scenario.run, scenario.name

    def run_on_each(runner: Runner) -> bool:
        """Tell whether it failed; a failure on one engine is not hidden by the next."""
        for engine in context.engines:
            context.engine = engine
            scenario.name = f"{name} [{engine}]"
            if run(runner):
                return True
        return False

    return run_on_each


@fixture
def postgres_server(_context: Context) -> Any:
    with open_server() as server:
        yield server


@fixture
def empty_database(context: Context, *, engine: str) -> Any:
    if engine == "sqlite":
        folder = Path(tempfile.mkdtemp())
        yield f"sqlite:///{folder / 'record.db'}"
        shutil.rmtree(folder)
        return
    server: PostgresServer = context.server
    url = server.create_database()
    yield url
    server.drop_database(url)


@fixture
def event_loop(context: Context) -> Any:
    with asyncio.Runner() as runner:
        context.call = runner.run
        context.attempt = lambda call: runner.run(_attempt(context, call))
        yield runner


@fixture
def record(context: Context, **whom: str) -> Any:
    opened = hansard.open(context.url, **whom)
    context.call(opened.__aenter__())
    yield opened
    context.call(opened.__aexit__(None, None, None))


async def _attempt(context: Context, call: Awaitable[Any]) -> None:
    """Keep what a call came to: its result, or the error that refused it."""
    context.result = context.error = None
    try:
        context.result = await call
    except HansardError as error:
        context.error = error
