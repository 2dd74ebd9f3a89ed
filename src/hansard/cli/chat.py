"""``hansard chat``: a conversation with an agent that lives in a server."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from hansard.cli import texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import takes_settings
from hansard.cli.threads import act, in_workspace, print_event, print_turn, takes_manner
from hansard.core.errors import Conflict, HansardError, NotFound
from hansard.settings import Settings

if TYPE_CHECKING:
    from hansard.client.threads import RemoteThreads

HELP = "/save [session]  /undo  /fork  /compact  /quit"


@click.command(cls=RecordCommand)
@takes_settings()
@click.option("--thread", "thread_id", help="Go on with a thread.")
@click.option("--agent", help="Which agent; the server's first, if not said.")
@takes_manner
@in_workspace
def chat(given: Settings, *, thread_id: str | None, **fields: str | None) -> None:
    """Talk to an agent: a line is a prompt, a line that begins with / is a command.

    /save keeps the conversation as a session, /undo takes the last turn back, /fork goes on in a
    copy, /compact sums up what was said, /quit ends. Tools that need it are asked for in line.
    Ctrl-C ends the agent's turn, and between turns the conversation.
    The options beside --thread are for a new one.
    """

    async def talk(threads: RemoteThreads) -> None:
        chosen = thread_id or (await threads.create(**fields))["id"]
        click.echo(f"{chosen}  {HELP}", err=True)
        while (line := await _read()) is not None:
            if line.startswith("/"):
                chosen = await _obey(threads, chosen, line)
                if not chosen:
                    return
            elif line.strip():
                await _say(threads, chosen, line)

    act(given, talk)


async def _say(threads: RemoteThreads, thread_id: str, line: str) -> None:
    """Take a turn; Ctrl-C ends it, and not the conversation."""
    stopped = asyncio.Event()
    try:
        with _on_interrupt(stopped.set):
            begun = await threads.send(thread_id, line)
            async with asyncio.TaskGroup() as group:
                stopping = group.create_task(_stop(threads, begun, stopped))
                await print_turn(threads, thread_id, begun, write=print_event, ask=_ask)
                stopping.cancel()
    except* HansardError as errors:
        for error in errors.exceptions:
            assert isinstance(error, HansardError)
            click.echo(texts.printable(error.message), err=True)


async def _stop(threads: RemoteThreads, begun: dict[str, Any], stopped: asyncio.Event) -> None:
    """End a turn once that is wanted; that it is over already is no matter."""
    await stopped.wait()
    with suppress(Conflict):
        await threads.interrupt(begun["thread"]["id"], begun["turn"]["id"])


@contextmanager
def _on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Do something on Ctrl-C, in place of what ends the program."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _ask(threads: RemoteThreads, event: dict[str, Any]) -> None:
    """Ask the person what the agent waits for, unless that is over by the time of the answer."""
    payload, thread_id = event["payload"], event["thread_id"]
    tool = texts.printable(payload.get("tool_name", ""))
    with suppress(NotFound):
        match event["event"]:
            case "approval.required":
                answer = await _read(f"allow {tool}? [y/N] ")
                decision = "allow" if (answer or "").strip().lower() in {"y", "yes"} else "deny"
                await threads.decide(thread_id, payload["id"], decision)
            case "user_input.required":
                answer = await _read(f"{tool}: ")
                await threads.answer(thread_id, payload["id"], answer or "")
            case _:
                pass


async def _obey(threads: RemoteThreads, thread_id: str, line: str) -> str:
    """Do what a command says; return the thread to go on with, or nothing."""
    command, _, argument = line.strip().partition(" ")
    try:
        match command:
            case "/quit":
                return ""
            case "/save":
                saved = await threads.save(thread_id, argument or None)
                click.echo(f"saved as {saved['session_id']}", err=True)
            case "/undo":
                undone = await threads.undo(thread_id)
                said = undone["original_user_text"] or ""
                click.echo(texts.printable(f"taken back: {said}"), err=True)
                return str(undone["thread"]["id"])
            case "/fork":
                forked = await threads.fork(thread_id)
                click.echo(forked["id"], err=True)
                return str(forked["id"])
            case "/compact":
                begun = await threads.compact(thread_id)
                await print_turn(threads, thread_id, begun, write=print_event)
                click.echo("summed up", err=True)
            case _:
                click.echo(HELP, err=True)
    except HansardError as error:
        click.echo(texts.printable(error.message), err=True)
    return thread_id


async def _read(prompt: str = "> ") -> str | None:
    """Read a line; None at the end of the input. Only a person is shown what to say."""
    shown = prompt if sys.stdin.isatty() else ""

    def read() -> str | None:
        try:
            return input(shown)
        except EOFError:
            return None

    return await asyncio.to_thread(read)
