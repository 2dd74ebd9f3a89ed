"""The chapters of the demonstration, in the order in which they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import hansard
from examples.demo import chatting, comparing, exchanging, living
from examples.demo.conversations import Conversation
from examples.demo.recording import CLIENTS, record_all
from examples.demo.report import Report
from examples.demo.service import Service, attempt, run
from hansard import SessionService

RECORD: Final = "record.db"  # the service's
SECOND: Final = "second.db"  # where the exports are imported
CHAT: Final = "chat.db"  # of the service that answers
SCRIPT: Final = "script.jsonl"  # what it says
LIVE: Final = "live.db"  # of the servers in which an agent lives


@dataclass(frozen=True)
class Stage:
    """What every chapter needs, and what there is to be found in the end."""

    report: Report
    folder: Path
    conversations: Sequence[Conversation]
    service: Service

    @property
    def count(self) -> int:
        """How many conversations there are."""
        return len(self.conversations)

    @property
    def longest(self) -> Conversation:
        """The conversation with the most messages."""
        return max(self.conversations, key=lambda each: len(each.messages))

    def url(self, name: str) -> str:
        """Where a database of the demonstration is."""
        return f"sqlite:///{self.folder / name}"

    def total(self, name: str) -> int:
        """How many turns, messages or calls there are in all conversations."""
        return sum(len(getattr(each, name)) for each in self.conversations)


def tell_input(stage: Stage, source: str) -> None:
    """Say what there is to record."""
    report = stage.report
    report.chapter("What was said")
    report.fact(f"{stage.count:,} conversations from {source}")
    report.fact(
        f"{stage.total('messages'):,} messages in {stage.total('turns'):,} turns, "
        f"with {stage.total('calls'):,} model calls"
    )
    report.fact("their token counts are estimated, at four characters a token")


async def play(stage: Stage) -> None:
    """Tell the rest of the story."""
    await _record(stage)
    async with hansard.open(stage.service.url) as record:
        await _read_back(stage, record)
        _verify(stage)
        await _fork_and_revert(stage, record)
        _export_in_every_format(stage)
        size = await exchanging.export_all(record, stage.conversations, stage.folder / "exports")
        stage.report.fact(f"and all {stage.count:,} as native-stream, {size:,} bytes compressed")
    await _import_twice(stage)
    await _chat(stage)
    await _live(stage)
    _look(stage)
    _stop(stage)


async def _chat(stage: Stage) -> None:
    """Another service, in front of a model, and a client that does not know of it."""
    report, script, url = stage.report, stage.folder / SCRIPT, stage.url(CHAT)
    report.chapter("Answering an OpenAI client, for money")
    chatting.write_script(script)
    service = Service(url, stage.folder / "chat.log", "--script", str(script))
    report.command(f"hansard serve --database {url} --script {script}")
    try:
        service.start()
        chatted = await asyncio.to_thread(chatting.converse, service, url)
        report.check(
            (chatted.plain, chatted.streamed) == chatting.SAID,
            "the openai package asked twice, plain and streaming, and got what the model said",
        )
        report.check(
            chatted.messages == chatting.MESSAGES,
            f"{chatted.messages} messages are recorded: both questions, both answers",
        )
        report.check(
            chatted.cost_usd == chatting.COST_USD,
            f"they cost ${chatted.cost_usd}, which is what gpt-4o costs",
        )
        await asyncio.to_thread(_spend, stage, service, url)
        for line in ("usage --group-by model", "budget list"):
            report.command(f"hansard {line}")
            report.output(run(url, *line.split()))
        report.check(
            attempt(url, "verify", "--ledger").returncode == 0,
            "every total of the ledger is what its entries say",
        )
        report.check(service.stop() == 0, "stopped in good order")
    finally:
        service.close()


async def _live(stage: Stage) -> None:
    """An agent in a server that is killed, and another that goes on."""
    report, script, url = stage.report, stage.folder / "living.jsonl", stage.url(LIVE)
    report.chapter("An agent that lives in a server, which is killed")
    living.write_script(script)
    options = (*living.OPTIONS, str(script))
    first, other = (Service(url, stage.folder / f"{n}.log", *options) for n in ("first", "other"))
    report.command(f"hansard serve --database {url} {' '.join(options)}")
    try:
        first.start()
        watched = await living.watch(first.url, first.kill)
        await asyncio.to_thread(other.start)
        resumed = await living.go_on(other.url, watched)
        _tell_life(report, watched, resumed)
        report.check(attempt(url, "verify", "--ledger").returncode == 0, "the ledger adds up")
        report.check(other.stop() == 0, "stopped in good order")
    finally:
        first.close()
        other.close()


def _tell_life(report: Report, watched: living.Watched, resumed: living.Resumed) -> None:
    saved, later, end = watched.saved, watched.later, resumed.saved
    report.check(
        watched.asked["tool_name"] == "book" and living.said(saved) == [*living.SAID],
        f"its tools were called, one of them once a person allowed it; saved while it spoke, "
        f"with {len(living.SAID)} messages and {living.tokens(saved)} tokens",
    )
    report.check(
        living.said(later) == [*living.SAID, living.TOLD]
        and living.tokens(later) - living.tokens(saved) == living.CALL_TOKENS,
        "saved again after the turn, there is one message more, and one call",
    )
    report.fact("SIGKILL in the next turn; another server on the same record, on another port")
    seen, known = list(watched.events), list(resumed.events)
    report.check(
        known[: len(seen)] == seen
        and [event["seq"] for event in known] == list(range(1, len(known) + 1)),
        f"all {len(seen)} events that a reader saw stand in its log of {len(known)}, without a gap",
    )
    report.check(
        (resumed.turn["status"], resumed.turn["error"]["code"]) == ("interrupted", "server_lost"),
        f"the turn is {resumed.turn['status']}: {resumed.turn['error']['message']}",
    )
    report.check(
        living.said(end) == [*living.SAID, living.GO_ON, living.TOLD]
        and living.tokens(end) == living.tokens(later),
        f"what was saved goes on there: {len(living.said(end))} messages, "
        f"{living.tokens(end)} tokens",
    )


def _spend(stage: Stage, service: Service, url: str) -> None:
    report = stage.report
    line = f"budget set tenant --limit {chatting.LIMIT_USD} --window day"
    report.command(f"hansard {line}")
    run(url, *line.split())
    count, refusal = chatting.spend_all(service, report.fact)
    spent = json.loads(run(url, "usage", "--group-by", "model", "--json"))["totals"]["cost_usd"]
    report.check(
        refusal is not None and Decimal(spent) <= Decimal(chatting.LIMIT_USD),
        f"after {count} more answers the budget of ${chatting.LIMIT_USD} a day stops the next "
        f"before it is asked: ${spent} are spent",
    )


async def _record(stage: Stage) -> None:
    report = stage.report
    report.chapter("Recording, with a crash half way")
    report.command(f"hansard serve --database {stage.url(RECORD)}")
    report.fact(f"ready after {stage.service.start():.2f} s on {stage.service.url}")
    recorded = await record_all(stage.service, stage.url(RECORD), stage.conversations)
    crash, turns = recorded.crash, stage.total("turns")
    report.fact(f"{CLIENTS} clients at once, turn by turn; SIGKILL for the service half way")
    report.check(
        crash.lost == 0,
        f"{crash.acknowledged:,} turns were acknowledged by then, and {crash.lost} of them are "
        "missing in the file that it left",
    )
    report.fact(f"restarted, it answered {crash.down_s:.2f} s after its end; the clients waited")
    report.fact(
        f"{recorded.replayed} of the turns sent again were on disk already: recorded once, and "
        "answered as at first"
    )
    report.check(
        recorded.acknowledged == turns,
        f"{recorded.acknowledged:,} of {turns:,} turns acknowledged, in {recorded.took_s:.1f} s",
    )


async def _read_back(stage: Stage, record: SessionService) -> None:
    report, count = stage.report, stage.count
    report.chapter("Reading back, over HTTP")
    found = await comparing.compare_all(record, stage.conversations)
    messages = stage.total("messages")
    report.check(found.sessions == count, f"{found.sessions:,} of {count:,} sessions are listed")
    report.check(
        found.same_messages == messages,
        f"{found.same_messages:,} of {messages:,} messages are as they were said, to the order of "
        "their keys",
    )
    report.check(
        found.same_usage == count,
        f"{found.same_usage:,} of {count:,} sessions have the sums of their model calls",
    )
    report.check(
        found.same_digest == count,
        f"{found.same_digest:,} of {count:,} digests equal SHA-256 chains that are computed here, "
        "without Hansard",
    )
    report.table(("", "said", "recorded"), comparing.total_rows(stage.conversations, found))


def _verify(stage: Stage) -> None:
    stage.report.chapter("Verifying, as an auditor does")
    stage.report.command(f"export HANSARD_DATABASE={stage.service.url}")
    written = _run(stage, "verify --all", "--json")
    sound = sum(json.loads(line)["ok"] for line in written.splitlines())
    stage.report.check(sound == stage.count, f"{sound:,} of {stage.count:,} chains hold")


async def _fork_and_revert(stage: Stage, record: SessionService) -> None:
    report, parent = stage.report, stage.longest
    report.chapter("Going back, and another way on")
    said = parent.messages
    half, quarter = len(said) // 2, len(said) // 4
    fork = await record.fork(parent.id, half)
    report.check(
        fork.digest == comparing.digest(said[:half]),
        f"{parent.id}, {len(said)} messages, forked at {half}: the digest is that of the half",
    )
    back = await record.revert(fork.id, quarter)
    report.check(
        back.digest == comparing.digest(said[:quarter]) and (await record.verify(fork.id)).ok,
        f"the fork, cut back to {quarter} messages, has the digest of those",
    )
    kept = await record.get(parent.id)
    report.check(kept.digest == comparing.digest(said), "the parent is as it was")
    await record.delete(fork.id)


def _export_in_every_format(stage: Stage) -> None:
    stage.report.chapter("Taking it out")
    session = stage.longest
    for name, suffix in exchanging.SUFFIXES.items():
        path = stage.folder / f"{session.id}{suffix}"
        _run(stage, f"export {session.id} --format {name} --output {path}")
        problem = exchanging.check_file(name, path, session)
        stage.report.check(
            problem is None, f"{path.stat().st_size:,} bytes{f', but {problem}' if problem else ''}"
        )


async def _import_twice(stage: Stage) -> None:
    report, count = stage.report, stage.count
    report.chapter("Bringing it in elsewhere, twice")
    report.command(f"export HANSARD_DATABASE={stage.url(SECOND)}")
    report.command(f"hansard import --from native-stream {stage.folder}/exports/*")
    first = exchanging.import_all(stage.folder, stage.url(SECOND))
    report.check(first.created == count, f"{first.created:,} of {count:,} sessions were made")
    again = exchanging.import_all(stage.folder, stage.url(SECOND))
    report.check(
        (again.created, again.present) == (0, count),
        f"the second time {again.created} were made, and {again.present:,} were there already",
    )
    async with hansard.open(stage.url(SECOND)) as record:
        found = await comparing.compare_all(record, stage.conversations, ids=first.ids)
    same = min(found.sessions, found.same_digest, found.same_usage)
    report.check(
        same == count and found.same_messages == stage.total("messages"),
        f"{same:,} of {count:,} sessions have the same messages, digest and usage",
    )
    code = exchanging.import_altered(stage.folder / f"{stage.longest.id}.json", stage.url(SECOND))
    report.check(
        code == exchanging.EXIT_INTEGRITY,
        f"an export with one altered word is refused, with exit code {code}",
    )


def _look(stage: Stage) -> None:
    stage.report.chapter("Looking at it")
    for line in ("list --limit 4", f"usage {stage.longest.id}"):
        stage.report.output(_run(stage, line))


def _stop(stage: Stage) -> None:
    report = stage.report
    report.chapter("Stopping")
    code = stage.service.stop()
    report.check(code == 0, f"SIGTERM: requests under way were finished, exit code {code}")
    for line in run(stage.url(RECORD), "doctor", "--json").splitlines():
        finding = json.loads(line)
        report.check(finding["severity"] == "ok", f"doctor: {finding['detail']}")
    report.fact(f"all of it stays in {stage.folder}/; look around, with")
    report.command(f"hansard show {stage.longest.id} --database {stage.url(RECORD)}")


def _run(stage: Stage, line: str, *more: str) -> str:
    """Run a command on the service, show it, and return what it wrote."""
    stage.report.command(f"hansard {line}")
    return run(stage.service.url, *line.split(), *more)
