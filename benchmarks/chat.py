"""Rows: chat through Hansard, against the same upstream asked directly, and through LiteLLM.

    client --> upstream
    client --> Hansard --> upstream     every turn recorded, on SQLite whose fsync costs 1 ms
    client --> LiteLLM --> upstream     nothing recorded

Clients send what is new in a turn; Hansard sends the upstream the whole conversation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median

import uvloop

from benchmarks import litellm, stream_client
from benchmarks.bench import Bench, Row, at_least, at_most, sqlite_url
from benchmarks.http_client import request
from benchmarks.servers import Server, resident, serve, serve_bare
from benchmarks.stream_client import Streams
from benchmarks.turns import MESSAGES, MODEL

CLIENTS = 32
SPREAD_S = 2.0  # over which clients of a thinking model begin, as they do not come all at once
ADDED_MAX_MS = 3
FLAT = 1.2
FIRST_SHARE = 0.2  # of the turns over which memory must not grow


@dataclass(frozen=True)
class Kind:
    """What clients ask for: answers of so many tokens, in sessions of so many turns."""

    turns: int
    tokens: int

    def __str__(self) -> str:
        session = f"sessions of {self.turns} turns" if self.turns > 1 else "a session each turn"
        return f"chat, {CLIENTS} streams of {self.tokens} tokens, {session}"


KINDS = (Kind(10, 180), Kind(1, 180), Kind(1, 20))
SHORT = KINDS[-1]


class Clients:
    """So many connections that are always busy."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._name = f"chat-{time.time_ns()}"
        self._begun = 0
        self._sessions: dict[int, int] = {}

    def stream(self, server: Server, seconds: float, *, spread_s: float = 0.0) -> Streams:
        """Ask a server for streams."""
        return uvloop.run(
            stream_client.run(
                server.port, self._ask, connections=CLIENTS, seconds=seconds, spread_s=spread_s
            )
        )

    def _ask(self, connection: int, number: int) -> bytes:
        if number % self._kind.turns == 0:
            self._begun += 1
            self._sessions[connection] = self._begun
        headers = {
            "x-session-id": f"{self._name}-{self._sessions[connection]}",
            "authorization": f"Bearer {litellm.KEY}",
        }
        body = {
            "model": MODEL,
            "stream": True,
            "max_tokens": self._kind.tokens,
            "messages": MESSAGES[:1],
        }
        return request("POST", "/v1/chat/completions", body, headers)


def rows(bench: Bench) -> Iterator[Row]:
    """First tokens of an upstream that thinks, and the rest of one that does not."""
    with ExitStack() as stack:
        thinking = stack.enter_context(serve_bare("benchmarks.bare_model:thinking"))
        ours = stack.enter_context(_serve(bench, thinking))
        for kind in KINDS:
            yield _first_token(bench, ours, thinking, kind)
    with ExitStack() as stack:
        instant = stack.enter_context(serve_bare("benchmarks.bare_model:instant"))
        ours = stack.enter_context(_serve(bench, instant))
        for kind in KINDS:
            yield _throughput(bench, ours, instant, kind)
        yield _beside_litellm(bench, ours, instant)
        with _serve(bench, instant) as fresh:
            yield _memory(bench, fresh)


def _serve(bench: Bench, upstream: Server) -> AbstractContextManager[Server]:
    preload = bench.slow_fsync
    url = sqlite_url(bench.folder(in_memory=preload is not None))
    return serve(url, "--upstream", f"{upstream.url}/v1", preload=preload)


def _first_token(bench: Bench, ours: Server, direct: Server, kind: Kind) -> Row:
    seconds, pairs, clients = bench.amounts.seconds, [], Clients(kind)
    for _ in range(bench.amounts.rounds + 1):
        waits = [
            clients.stream(server, seconds, spread_s=SPREAD_S).first_s for server in (ours, direct)
        ]
        pairs.append([1e3 * median(first_s) for first_s in waits])
    added = median(our - their for our, their in pairs[1:])
    our, their = (median(pair[side] for pair in pairs[1:]) for side in (0, 1))
    return Row(
        f"{kind}: added time to first token, median",
        f"{added:.1f} ms",
        f"≤ {ADDED_MAX_MS} ms",
        added <= ADDED_MAX_MS,
        f"{our:.1f} / {their:.1f} ms",
    )


def _throughput(bench: Bench, ours: Server, direct: Server, kind: Kind) -> Row:
    seconds, pairs, clients = bench.amounts.seconds, [], Clients(kind)
    for _ in range(bench.amounts.rounds + 1):
        our = clients.stream(ours, seconds).rate
        pairs.append((our, clients.stream(direct, seconds).rate))
    ratio = median(our / their for our, their in pairs[1:])
    our, their = (median(pair[side] for pair in pairs[1:]) for side in (0, 1))
    detail = f"{our:,.0f} / {their:,.0f} a second"
    return at_least(0.6, ratio, f"{kind}: throughput", than="direct", detail=detail)


def _memory(bench: Bench, server: Server) -> Row:
    turns, clients, done = bench.amounts.turns, Clients(SHORT), 0
    held = []
    for until in (FIRST_SHARE * turns, turns):
        while done < until:
            done += clients.stream(server, bench.amounts.seconds / 4).count
        held.append(resident(server.pid))
    first, last = held
    what = f"chat, {turns:,} turns in as many sessions: memory of the server"
    than = f"that after {FIRST_SHARE * turns:,.0f}"
    detail = f"{last:.0f} / {first:.0f} MB"
    return at_most(FLAT, last / first, what, than=than, detail=detail)


def _beside_litellm(bench: Bench, ours: Server, upstream: Server) -> Row:
    program = litellm.find()
    if program is None:
        return Row(f"{SHORT}: CPU of the server", "not measured: no litellm", "≤ 1 x litellm")
    seconds, pairs, clients = bench.amounts.seconds, [], Clients(SHORT)
    with litellm.serve(program, upstream, bench.folder()) as proxy:
        for _ in range(bench.amounts.rounds + 1):
            our = _cpu(ours, clients, seconds)
            pairs.append((our, _cpu(proxy, clients, seconds)))
    ratio = median(our / their for our, their in pairs[1:])
    our, their = (1e3 * median(pair[side] for pair in pairs[1:]) for side in (0, 1))
    than = f"litellm {litellm.version(program)}, which records nothing"
    detail = f"{our:.1f} / {their:.1f} ms of CPU"
    return at_most(1, ratio, f"{SHORT}: CPU of the server", than=than, detail=detail)


def _cpu(server: Server, clients: Clients, seconds: float) -> float:
    """CPU seconds that a server spends on one turn."""
    before = server.cpu_seconds()
    count = clients.stream(server, seconds).count
    return (server.cpu_seconds() - before) / count
