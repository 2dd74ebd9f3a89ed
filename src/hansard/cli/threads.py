"""``hansard thread``: agents that live in a server, from a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hansard import compose
from hansard.cli import payloads, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, takes_settings
from hansard.cli.texts import Column
from hansard.core.thread_settings import MODES, POSTURES
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.client.threads import RemoteThreads

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]

_COLUMNS = (
    Column("id", is_word=True),
    Column("title"),
    Column("agent", is_detail=True),
    Column("turns", number=True, is_detail=True),
    Column("status", is_word=True),
    Column("updated", is_word=True),
)


def act(given: Settings, action: Callable[[RemoteThreads], Awaitable[T]]) -> T:
    """Act on the threads of the server that the settings name.

    Raises:
        InvalidInput: ``no_server``, if they name a database.
    """
    remote = compose.open_threads(
        given.record.database,
        token=given.record.token,
        retry_deadline_s=given.record.retry_deadline_s,
    )

    async def run() -> T:
        async with remote as threads:
            return await action(threads)

    return asyncio.run(run())


def takes_manner(command: F) -> F:
    """Give a command the options that say how an agent is to work."""
    mode = click.option("--mode", type=click.Choice(MODES), help="How the agent works.")
    posture = click.option(
        "--posture", "permission_posture", type=click.Choice(POSTURES), help="What needs leave."
    )
    return mode(posture(command))


in_workspace = click.option("--workspace", help="The folder that it is about.")


@click.group()
def thread() -> None:
    """Talk to agents that live in a server.

    A thread is a conversation that is alive: its turns go on whoever listens.
    """


@thread.command(cls=RecordCommand)
@takes_settings()
@click.option("--agent", help="Which agent; the server's first, if not said.")
@click.option("--title", help="What the thread is called.")
@click.option("--model", help="Which model it asks for.")
@takes_manner
@in_workspace
@as_json
def create(given: Settings, *, as_json: bool, **fields: str | None) -> None:
    """Make a thread."""
    made = act(given, lambda threads: threads.create(**fields))
    _write(made, made["id"], as_json=as_json)


@thread.command("list", cls=RecordCommand)
@takes_settings()
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
def list_threads(given: Settings, *, limit: int, as_json: bool) -> None:
    """List threads, the latest changed first."""
    found = act(given, lambda threads: threads.list(limit=str(limit)))
    if as_json:
        for each in found:
            payloads.write(each)
        return
    rows = [
        (
            each["id"],
            each["title"],
            each["agent"],
            each["turn_count"],
            each["latest_turn_status"],
            each["updated_at"],
        )
        for each in found
    ]
    texts.print_table(_COLUMNS, rows)


@thread.command(cls=RecordCommand)
@takes_settings()
@click.argument("thread_id")
@click.argument("prompt")
@click.option("--yes", "-y", "auto_approve", is_flag=True, help="Allow every tool.")
@takes_manner
@as_json
def send(
    given: Settings,
    *,
    thread_id: str,
    prompt: str,
    auto_approve: bool,
    as_json: bool,
    **manner: str | None,
) -> None:
    """Begin a turn, and print the answer as it comes.

    With --json: every event of the turn on a line.
    """

    async def talk(threads: RemoteThreads) -> None:
        begun = await threads.send(thread_id, prompt, auto_approve=auto_approve or None, **manner)
        await print_turn(
            threads, thread_id, begun, write=payloads.write if as_json else print_event
        )

    act(given, talk)


@thread.command(cls=RecordCommand)
@takes_settings()
@click.argument("thread_id")
@click.option("--since", type=click.IntRange(min=0), default=0, help="After which event.")
@as_json
def tail(given: Settings, *, thread_id: str, since: int, as_json: bool) -> None:
    """Print what happens in a thread, first the past, then live, until interrupted."""

    async def follow(threads: RemoteThreads) -> None:
        write = payloads.write if as_json else print_event
        async for event in threads.follow(thread_id, since):
            write(event)

    act(given, follow)


@thread.command(cls=RecordCommand)
@takes_settings()
@click.argument("thread_id")
@as_json
def interrupt(given: Settings, *, thread_id: str, as_json: bool) -> None:
    """End the turn that runs."""

    async def end(threads: RemoteThreads) -> Json:
        detail = await threads.get(thread_id)
        turn_id = detail["thread"]["active_turn_id"] or "none"
        return await threads.interrupt(thread_id, turn_id)

    _write(ended := act(given, end), ended["id"], as_json=as_json)


@thread.command(cls=RecordCommand)
@takes_settings()
@click.argument("thread_id")
@click.argument("approval_id")
@click.option("--deny", is_flag=True, help="Do not allow it.")
@click.option("--remember", is_flag=True, help="Allow all that the thread will ask for.")
@as_json
def approve(
    given: Settings, *, thread_id: str, approval_id: str, deny: bool, remember: bool, as_json: bool
) -> None:
    """Allow a tool that waits to be called."""
    decision = "deny" if deny else "allow"
    told = act(
        given,
        lambda threads: threads.decide(thread_id, approval_id, decision, remember=remember),
    )
    _write(told, told["decision"], as_json=as_json)


@thread.command(cls=RecordCommand)
@takes_settings()
@click.argument("thread_id")
@click.option("--session", help="As which session; the one it was saved as, or a new one.")
@as_json
def save(given: Settings, *, thread_id: str, session: str | None, as_json: bool) -> None:
    """Save what a thread holds as a session, also while a turn runs."""
    saved = act(given, lambda threads: threads.save(thread_id, session))
    _write(saved, saved["session_id"], as_json=as_json)


@thread.command(cls=RecordCommand)
@takes_settings()
@click.argument("session")
@click.option("--agent", help="Who goes on; the server's first agent, if not said.")
@as_json
def resume(given: Settings, *, session: str, agent: str | None, as_json: bool) -> None:
    """Make a thread that goes on where a session stands."""
    made = act(given, lambda threads: threads.resume(session, agent))
    _write(made, made["thread_id"], as_json=as_json)


async def print_turn(
    threads: RemoteThreads,
    thread_id: str,
    begun: Json,
    *,
    write: Callable[[Json], Any],
    ask: Callable[[RemoteThreads, Json], Awaitable[None]] | None = None,
) -> Json:
    """Print a turn until it ends; return its last event."""
    turn_id = begun["turn"]["id"]
    async for event in threads.follow(thread_id, begun["thread"]["latest_seq"]):
        write(event)
        if ask is not None:
            await ask(threads, event)
        if event["event"] == "turn.completed" and event["turn_id"] == turn_id:
            return event
    raise AssertionError("a thread has no end")


def print_event(event: Json) -> None:
    """Print what a person wants to see of an event."""
    payload = event["payload"]
    match event["event"]:
        case "item.delta" if payload["kind"] == "agent_message":
            click.echo(texts.printable(payload["delta"], keep="\n\t"), nl=False)
        case "item.completed" if payload["item"]["kind"] == "agent_message":
            click.echo()
        case "item.started" if payload["item"]["kind"] == "tool_call":
            tool = payload["item"]["tool"]
            click.echo(texts.printable(f"[{tool['name']} {tool['arguments']}]"), err=True)
        case "approval.required" | "user_input.required" | "tool_call.requested":
            said = (
                f"{event['event']}: {payload['tool_name']} {payload['arguments']} ({payload['id']})"
            )
            click.echo(texts.printable(said), err=True)
        case "turn.completed" if payload["turn"]["status"] != "completed":
            error = payload["turn"].get("error") or {}
            said = f"{payload['turn']['status']}: {error.get('message', '')}"
            click.echo(texts.printable(said), err=True)
        case _:
            pass


def _write(answer: Json, text: str, *, as_json: bool) -> None:
    if as_json:
        payloads.write(answer)
    else:
        click.echo(text)
