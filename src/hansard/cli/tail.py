"""``hansard tail``: the last messages of a session, and those that come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import click

from hansard.cli import payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, takes_settings, takes_window
from hansard.core.events import Event
from hansard.core.messages import Message
from hansard.core.sessions import Session
from hansard.face import SessionService
from hansard.settings import Settings


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session")
@takes_window
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until interrupted.")
@as_json
def tail(
    given: Settings, *, session: str, count: int, unit: str, follow: bool, as_json: bool
) -> None:
    """Print the last messages of a session, the newest last.

    A tool's result is never printed without its call: more messages or turns than asked for
    are printed instead, but never more tokens. With --json: one message per line.
    """
    write = _write_json if as_json else texts.print_message

    async def act(record: SessionService) -> None:
        session_id = await records.find_session(record, session)
        seen = await record.get(session_id)
        messages = await record.tail(session_id, count, unit=unit) if count else ()
        for message in messages:
            write(message)
        position = messages[-1].seq if messages else seen.message_count - 1
        if follow:
            async for message in followed(record, seen, position):
                write(message)

    records.run(given, act)


async def followed(record: SessionService, seen: Session, position: int) -> AsyncIterator[Message]:
    """Iterate over the messages after ``position`` as they come, without end.

    ``seen`` is the session as it was before the messages up to ``position`` were read.
    """
    async for event in record.events(seen.id, since=seen.version):
        position = _cut_back(event, position)
        async for message in record.messages(seen.id, after=position):
            yield message
            position = message.seq


def _cut_back(event: Event, position: int) -> int:
    """Return the last message that still stands, and tell if some do not."""
    if event.kind != "messages.replaced":
        return position
    kept = event.message_count if event.first_seq is None else event.first_seq
    if kept <= position:
        click.echo(f"the messages from {kept} on were taken back", err=True)
    return min(position, kept - 1)


def _write_json(message: Message) -> None:
    payloads.write(payloads.message(message))
