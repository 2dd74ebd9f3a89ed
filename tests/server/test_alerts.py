"""Thresholds of budgets, told once to the log and to a receiver that really listens."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from hansard.clock import now_us
from hansard.compose import open_database
from hansard.core.errors import InvalidInput
from hansard.core.usage import NewUsage
from hansard.server.app import create_app
from hansard.server.budget_chores import BudgetChores
from hansard.server.edge import Edge
from hansard.server.logs import make_log
from hansard.service.sessions import DatabaseSessions
from hansard.settings import AlertSettings, ServerSettings, Settings
from tests.places import client_at
from tests.server.applications import client_of, started

USD = 1_000_000_000
SECRET = "between us"
DAY_US = 86_400_000_000
ARRIVES_MAX_S = 30.0


@dataclass(frozen=True)
class Post:
    """What arrived."""

    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Receiver:
    """Takes posts.

    Attributes:
        status: What it answers.
        answers: Whether it answers already.
    """

    url: str
    status: int = 204
    answers: threading.Event = field(default_factory=threading.Event)
    posts: list[Post] = field(default_factory=list)
    arrived: queue.SimpleQueue[Post] = field(default_factory=queue.SimpleQueue)

    def take(self, post: Post) -> None:
        self.posts.append(post)
        self.arrived.put(post)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.take(Post({k.lower(): v for k, v in self.headers.items()}, body))
            found.answers.wait(ARRIVES_MAX_S)
            self.send_response(found.status)
            self.send_header("location", f"{found.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook")
        found.answers.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@dataclass
class Served:
    """A server that has not started: its record, its chores by hand, and its log."""

    app: Edge
    client: httpx.AsyncClient
    written: io.BytesIO
    now_us: int = field(default_factory=now_us)

    def __post_init__(self) -> None:
        self.record.clock = lambda: self.now_us
        self.chores = BudgetChores(self.app.context, self.client)

    @property
    def record(self) -> DatabaseSessions:
        return self.app.context.record

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log of one event."""
        lines = map(json.loads, self.written.getvalue().splitlines())
        return [line for line in lines if line["event"] == name]

    def metric(self, name: str) -> float:
        lines = self.app.context.metrics.write().decode().splitlines()
        (value,) = [line.split()[1] for line in lines if line.split()[0] == name]
        return float(value)


def make_app(url: str, hook: str | None, written: io.BytesIO) -> Edge:
    alerts = AlertSettings(budget_webhook=hook, budget_webhook_secret=SECRET if hook else None)
    settings = Settings(server=ServerSettings(log_level="info"), alerts=alerts)
    log = make_log(settings.server, written)
    return create_app(open_database(url), settings, log=log)


@asynccontextmanager
async def serving(url: str, hook: str | None) -> AsyncIterator[Served]:
    written = io.BytesIO()
    app = make_app(url, hook, written)
    async with app.context.record, client_at() as client:
        yield Served(app, client, written)


@pytest.fixture
async def served(record_url: str, receiver: Receiver) -> AsyncIterator[Served]:
    async with serving(record_url, receiver.url) as served:
        yield served


async def limit(record: DatabaseSessions, limit_usd: int = 1) -> None:
    await record.put_budget("b", scope="tenant", limit_amount=limit_usd * USD)


async def spend(record: DatabaseSessions, percent: int, name: str = "e") -> None:
    await record.settle_turn(
        None,
        [],
        usage=[NewUsage(event_id=name, cost_nanousd=percent * USD // 100)],
        turn_id=name,
        status="completed",
        holds=[],
        at_us=record.clock(),
    )


async def test_crossing_is_posted_and_signed(served: Served, receiver: Receiver) -> None:
    await limit(served.record)
    await spend(served.record, 79)
    await served.chores.tell_alerts()
    assert receiver.posts == []
    await spend(served.record, 1, "f")
    await served.chores.tell_alerts()
    (post,) = receiver.posts
    said = post.json()
    assert (said["event"], said["tenant"], said["budget_id"]) == (
        "budget.threshold",
        "default",
        "b",
    )
    assert (said["percent"], said["used"], said["limit"]) == (80, "0.8", "1")
    timestamp = post.headers["x-hansard-timestamp"]
    assert timestamp == str(served.now_us // 1_000_000)
    signed = hmac.digest(SECRET.encode(), timestamp.encode() + b"." + post.body, hashlib.sha256)
    assert post.headers["x-hansard-signature"] == f"sha256={signed.hex()}"
    assert post.headers["x-hansard-event-id"] == said["event_id"]
    (line,) = served.events("budget.threshold")
    assert {name: line[name] for name in said if name != "event"} == {
        name: said[name] for name in said if name != "event"
    }
    assert served.metric("hansard_budget_alerts_total") == 1
    assert served.metric('hansard_webhook_posts_total{result="delivered"}') == 1


async def test_crossing_is_told_once(served: Served, receiver: Receiver) -> None:
    await limit(served.record)
    await spend(served.record, 90)
    await spend(served.record, 1, "f")
    for _ in range(3):
        await served.chores.tell_alerts()
        served.now_us += DAY_US
    assert [post.json()["percent"] for post in receiver.posts] == [80]
    await spend(served.record, 9, "g")
    await served.chores.tell_alerts()
    assert [post.json()["percent"] for post in receiver.posts] == [80, 100]


async def test_crossing_of_another_limit_is_told_again(served: Served, receiver: Receiver) -> None:
    await limit(served.record)
    await spend(served.record, 90)
    await limit(served.record, 10)
    await spend(served.record, 750, "f")
    await limit(served.record, 10)
    await spend(served.record, 1, "g")
    await served.chores.tell_alerts()
    told = [(post.json()["percent"], post.json()["limit"]) for post in receiver.posts]
    assert told == [(80, "1"), (80, "10")]
    assert len({post.json()["event_id"] for post in receiver.posts}) == 2


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_post_that_fails_is_tried_again(
    served: Served, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    await limit(served.record)
    await spend(served.record, 80)
    await served.chores.tell_alerts()
    await served.chores.tell_alerts()  # not yet
    assert len(receiver.posts) == 1
    served.now_us += 10_000_000
    await served.chores.tell_alerts()
    served.now_us += 10_000_000  # the second pause is longer
    await served.chores.tell_alerts()
    assert len(receiver.posts) == 2
    receiver.status = 200
    served.now_us += 10_000_000
    await served.chores.tell_alerts()
    served.now_us += DAY_US
    await served.chores.tell_alerts()
    assert len(receiver.posts) == 3
    assert len({post.headers["x-hansard-event-id"] for post in receiver.posts}) == 1
    assert len(served.events("budget.threshold")) == 1
    failures = served.events("budget.webhook_failed")
    assert [(line["attempts"], line["status"]) for line in failures] == [(1, status), (2, status)]
    assert served.metric('hansard_webhook_posts_total{result="failed"}') == 2


async def test_receiver_that_stays_away_is_given_up(served: Served, receiver: Receiver) -> None:
    receiver.status = 500
    await limit(served.record)
    await spend(served.record, 80)
    for _ in range(5):
        await served.chores.tell_alerts()
        served.now_us += DAY_US
    assert len(receiver.posts) == 5
    receiver.status = 200
    served.now_us += DAY_US
    await served.chores.tell_alerts()
    assert len(receiver.posts) == 5


async def test_nobody_listening_is_a_failure(record_url: str, receiver: Receiver) -> None:
    with receiving() as gone:
        pass
    async with serving(record_url, gone.url) as served:
        await limit(served.record)
        await spend(served.record, 80)
        await served.chores.tell_alerts()
        assert [line["status"] for line in served.events("budget.webhook_failed")] == [None]


async def test_without_a_webhook_the_log_has_it(record_url: str) -> None:
    async with serving(record_url, None) as served:
        await limit(served.record)
        await spend(served.record, 100)
        for _ in range(2):
            await served.chores.tell_alerts()
        assert [line["percent"] for line in served.events("budget.threshold")] == [80, 100]


async def test_several_servers_tell_it_once(record_url: str, receiver: Receiver) -> None:
    async with (
        serving(record_url, receiver.url) as one,
        serving(record_url, receiver.url) as other,
    ):
        await limit(one.record)
        await spend(one.record, 100)
        await asyncio.gather(*(served.chores.tell_alerts() for served in (one, other) * 3))
        assert sorted(post.json()["percent"] for post in receiver.posts) == [80, 100]
        lines = one.events("budget.threshold") + other.events("budget.threshold")
        assert sorted(line["percent"] for line in lines) == [80, 100]


async def test_claim_of_a_server_that_died_ends(record_url: str, receiver: Receiver) -> None:
    async with serving(record_url, receiver.url) as served:
        await limit(served.record)
        await spend(served.record, 80)
        receiver.answers.clear()
        telling = asyncio.ensure_future(served.chores.tell_alerts())
        await asyncio.to_thread(receiver.arrived.get, timeout=ARRIVES_MAX_S)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        receiver.answers.set()
        await served.chores.tell_alerts()
        assert len(receiver.posts) == 1
        served.now_us += 61_000_000
        await served.chores.tell_alerts()
        assert len(receiver.posts) == 2
        assert len({post.json()["event_id"] for post in receiver.posts}) == 1
        assert len(served.events("budget.threshold")) == 1


async def test_started_server_tells_and_watches(record_url: str, receiver: Receiver) -> None:
    async with open_database(record_url) as record:
        await limit(record)
        await spend(record, 80)
    async with started(make_app(record_url, receiver.url, io.BytesIO())) as app:
        post = await asyncio.to_thread(receiver.arrived.get, timeout=ARRIVES_MAX_S)
        assert post.json()["percent"] == 80
        async with client_of(app) as client:
            assert "hansard_holds" in (await client.get("/metrics")).text


async def test_deleted_budget_tells_nothing(served: Served, receiver: Receiver) -> None:
    await limit(served.record)
    await spend(served.record, 80)
    await served.record.delete_budget("b")
    await served.chores.tell_alerts()
    assert receiver.posts == []


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://example.org/hook", SECRET),
        ("ftp://127.0.0.1/hook", SECRET),
        ("https://", SECRET),
        ("https://user:word@example.org/", SECRET),
        ("http://[::1", SECRET),
        ("https://example.org/hook", None),
    ],
)
def test_unsafe_webhook_is_refused(url: str, secret: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        AlertSettings(budget_webhook=url, budget_webhook_secret=secret)
    assert caught.value.code == "invalid_setting"


def test_webhook_may_be_local_or_secured() -> None:
    for url in ("https://example.org/hook", "http://localhost:8081/", "http://[::1]:80/"):
        settings = AlertSettings(budget_webhook=url, budget_webhook_secret=SECRET)
        assert SECRET not in repr(replace(Settings(), alerts=settings))
