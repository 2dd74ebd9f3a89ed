"""``hansard list``, ``show`` and ``fork``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import click

from hansard.cli import payloads, records, texts
from hansard.cli.errors import RecordCommand
from hansard.cli.options import as_json, takes_settings, takes_window
from hansard.cli.texts import Column
from hansard.cli.times import AGO
from hansard.core.messages import Message
from hansard.core.paging import LIMIT_MAX
from hansard.core.sessions import SORTS, Session, SessionQuery, check_filters
from hansard.face import SessionService
from hansard.settings import Settings

_COLUMNS: Final = (
    Column("id", is_word=True),
    Column("title"),
    Column("agent", is_detail=True),
    Column("messages", number=True, is_detail=True),
    Column("turns", number=True, is_detail=True),
    Column("tokens in", number=True, is_detail=True),
    Column("tokens out", number=True, is_detail=True),
    Column("cost $", number=True),
    Column("updated", is_word=True),
)


@click.command("list", cls=RecordCommand)
@takes_settings()
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many; 0 for all.",
)
@click.option("--agent", help="Only this agent's.")
@click.option("--owner", help="Only this owner's.")
@click.option("--search", help="Only with this in title, agent or id.")
@click.option("--archived/--active", default=None, help="Only archived ones, or only others.")
@click.option("--since", "created_after_us", type=AGO, help="Only made since then.")
@click.option("--until", "created_before_us", type=AGO, help="Only made before then.")
@click.option("--updated-since", "updated_after_us", type=AGO, help="Only changed since then.")
@click.option(
    "--sort",
    type=click.Choice(sorted(SORTS)),
    default="-created_at",
    show_default=True,
    help="Order; with - the newest first.",
)
@as_json
def list_sessions(
    given: Settings, *, limit: int, as_json: bool, **filters: str | int | None
) -> None:
    """List sessions, the newest first.

    Times are like 2026-01-31, 2026-01-31T12:00:00Z, 12h or 30d (ago). With --json: one
    session per line.
    """

    async def act(record: SessionService) -> None:
        found = _iter_sessions(record, check_filters(filters), limit)
        if as_json:
            async for session in found:
                payloads.write(payloads.summary(session))
        else:
            texts.print_table(_COLUMNS, [_row(session) async for session in found])

    records.run(given, act)


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session")
@takes_window
@as_json
def show(given: Settings, *, session: str, count: int, unit: str, as_json: bool) -> None:
    """Show a session and its last messages.

    With --json: one object, its messages under "messages".
    """

    async def act(record: SessionService) -> tuple[Session, tuple[Message, ...]]:
        session_id = await records.find_session(record, session)
        return (
            await record.get(session_id),
            await record.tail(session_id, count, unit=unit) if count else (),
        )

    found, messages = records.run(given, act)
    if as_json:
        rows = [payloads.message(message) for message in messages]
        payloads.write({**payloads.whole(found), "messages": rows})
        return
    _print_session(found)
    click.echo()
    for message in messages:
        texts.print_message(message)


@click.command(cls=RecordCommand)
@takes_settings()
@click.argument("session")
@click.option(
    "--at",
    "count",
    type=click.IntRange(min=0),
    metavar="COUNT",
    help="Share only the first COUNT messages.",
)
@as_json
def fork(given: Settings, *, session: str, count: int | None, as_json: bool) -> None:
    """Make a session that begins with the messages of another.

    Prints the new session's id. With --json: the new session.
    """

    async def act(record: SessionService) -> Session:
        return await record.fork(await records.find_session(record, session), count)

    made = records.run(given, act)
    if as_json:
        payloads.write(payloads.whole(made))
    else:
        click.echo(made.id)


async def _iter_sessions(
    record: SessionService, query: SessionQuery, limit: int
) -> AsyncIterator[Session]:
    """Iterate over pages until there are ``limit`` sessions (0: all)."""
    left = limit or None
    while left != 0:
        page = await record.list(replace(query, limit=min(left or LIMIT_MAX, LIMIT_MAX)))
        for session in page.items:
            yield session
        left = None if left is None else left - len(page.items)
        if page.next_cursor is None:
            return
        query = replace(query, cursor=page.next_cursor)


def _row(session: Session) -> tuple[str | int | None, ...]:
    return (
        session.id,
        session.title,
        session.agent,
        session.message_count,
        session.turn_count,
        session.usage.input_tokens,
        session.usage.output_tokens,
        texts.cost(session.usage),
        texts.local_time(session.updated_at_us),
    )


def _print_session(session: Session) -> None:
    parent = session.parent_session_id
    texts.print_fields(
        {
            "id": session.id,
            "title": session.title,
            "agent": session.agent,
            "owner": session.owner,
            "model": session.model,
            "archived": "yes" if session.archived else None,
            "legal hold": "yes" if session.legal_hold else None,
            "forked from": f"{parent} at {session.forked_at_seq}" if parent else None,
            "messages": session.message_count,
            "turns": session.turn_count,
            "tokens": f"{session.usage.input_tokens} in, {session.usage.output_tokens} out",
            "cost $": texts.cost(session.usage),
            "version": session.version,
            "digest": session.digest,
            "created": texts.local_time(session.created_at_us),
            "updated": texts.local_time(session.updated_at_us),
        }
    )
