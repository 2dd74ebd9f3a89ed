"""Messages in SQL: read in windows, and made equal to a whole list.

A whole-list save compares digests, not messages: the digest of message n names the history
up to n, so the longest common prefix is found by bisection in a few look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hansard.core import digest
from hansard.core.actors import Actor
from hansard.core.messages import NewMessage, StoredMessage
from hansard.core.sessions import SaveReceipt
from hansard.core.windows import Cut, Window
from hansard.store import legal_holds
from hansard.store.database import Row, Tx, one
from hansard.store.sessions import Head, advance, not_found
from hansard.store.steps import in_steps

_BODY = 6  # column of a message's row


def list_page(
    tx: Tx,
    actor: Actor,
    session_id: str,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int,
    descending: bool = False,
) -> list[StoredMessage]:
    """Return messages between two positions, both exclusive."""
    bounds = {
        name: value for name, value in (("after", after), ("before", before)) if value is not None
    }
    rows = tx.rows(
        "message_list",
        [*bounds, "descending" if descending else "ascending"],
        tenant_id=actor.tenant_id,
        session_id=session_id,
        limit=limit,
        **bounds,
    )
    return [_stored(row) for row in rows]


def list_texts(tx: Tx, actor: Actor, session_id: str, *, first: int) -> list[str]:
    """Return the message objects from a position on, as JSON texts."""
    rows = tx.rows("message_texts", tenant_id=actor.tenant_id, session_id=session_id, first=first)
    return [row[0] for row in rows]


def list_window(tx: Tx, actor: Actor, session_id: str, window: Window) -> list[StoredMessage]:
    """Return the last messages, as many as the window takes, read from the end and no further."""
    cut = Cut(window)
    found: list[StoredMessage] = []
    while not cut.found:
        step = cut.step
        before = found[-1].seq if found else None
        page = list_page(tx, actor, session_id, before=before, limit=step, descending=True)
        cut.show(page, first=len(page) < step)
        found += page
    return found[: cut.length][::-1]


def save(
    tx: Tx, actor: Actor, head: Head, messages: Sequence[NewMessage], now_us: int
) -> SaveReceipt:
    """Make the history equal to ``messages``, writing only the difference."""
    digests = digest.chain(digest.GENESIS, (message.canonical for message in messages))
    kept = _common_prefix(tx, actor, head, len(digests), digests.__getitem__)
    replaced = _cut_back(tx, actor, head, kept)
    insert(tx, head, messages[kept:], digests[kept:], first_seq=kept, turn_id=None)
    last = digests[-1] if digests else digest.GENESIS
    return _move(tx, head, len(messages), last, kept=kept, replaced=replaced, now_us=now_us)


def save_as(
    tx: Tx,
    actor: Actor,
    head: Head,
    source_id: str,
    count: int,
    rest: Sequence[NewMessage],
    *,
    turn_id: str | None,
    now_us: int,
) -> SaveReceipt:
    """Make the history equal to the first messages of another session and a few of a turn.

    What differs is taken over inside the database, with ids and digests; ``count`` messages are
    there, and stay.
    """
    last = digest_at(tx, actor, source_id, count - 1)
    if not last:
        raise not_found(source_id)
    digests = digest.chain(last, (message.canonical for message in rest))
    total = count + len(rest)

    def digest_of(seq: int) -> bytes:
        return digests[seq - count] if seq >= count else digest_at(tx, actor, source_id, seq)

    kept = _common_prefix(tx, actor, head, total, digest_of)
    replaced = _cut_back(tx, actor, head, kept)
    if kept < count:
        copy(tx, actor, source_id, head.session_id, count, first=kept)
    known = max(kept - count, 0)
    fresh = rest[known:]
    insert(tx, head, fresh, digests[known:], first_seq=count + known, turn_id=turn_id)
    last = digests[-1] if digests else last
    return _move(tx, head, total, last, kept=kept, replaced=replaced, now_us=now_us)


def revert(tx: Tx, actor: Actor, head: Head, count: int, now_us: int) -> None:
    """Cut a history back to its first ``count`` messages."""
    if count == head.message_count:
        return
    head.digest = digest_at(tx, actor, head.session_id, count - 1)
    cut(tx, actor, head.session_id, count)
    head.message_count = count
    touch(tx, head, "messages.replaced", added=0, now_us=now_us)


def touch(tx: Tx, head: Head, kind: str, *, added: int, now_us: int) -> None:
    """Write a moved head back as a new version, with its event."""
    head.version += 1
    head.updated_at_us = max(now_us, head.updated_at_us)
    last = head.message_count - 1 if added else None
    first = head.message_count - added if added else None
    row = (*head.key, head.version, kind, None, first, last, head.message_count, now_us)
    tx.many(("event_insert", [row]), advance([head]))


def insert(
    tx: Tx,
    head: Head,
    messages: Sequence[NewMessage],
    digests: Sequence[bytes],
    *,
    first_seq: int,
    turn_id: str | None,
) -> None:
    """Add rows for messages whose digests are known."""
    rows = (
        row_of(head, seq, message, digest_, turn_id)
        for seq, (message, digest_) in enumerate(zip(messages, digests, strict=True), first_seq)
    )
    for step in in_steps(rows, lambda row: len(row[_BODY])):
        tx.many(("message_insert", step))


def row_of(head: Head, seq: int, message: NewMessage, digest_: bytes, turn_id: str | None) -> Row:
    """The row of one message."""
    return (
        head.tenant_id,
        head.session_id,
        seq,
        message.message_id,
        turn_id,
        message.role,
        message.text,
        digest_,
        message.created_at_us,
    )


def copy(
    tx: Tx, actor: Actor, session_id: str, to_session_id: str, count: int, *, first: int = 0
) -> None:
    """Copy messages of a session from ``first`` to before ``count``, with ids and digests."""
    tx.run(
        "message_copy",
        tenant_id=actor.tenant_id,
        session_id=session_id,
        to_session_id=to_session_id,
        first=first,
        count=count,
    )


def cut(tx: Tx, actor: Actor, session_id: str, first: int) -> None:
    """Remove all messages from a position on, also from the turns that brought them.

    Raises:
        Conflict: ``legal_hold``.
    """
    legal_holds.check_free(tx, (actor.tenant_id, session_id))
    tx.run("message_cut", tenant_id=actor.tenant_id, session_id=session_id, first=first)
    tx.run("turn_cut", tenant_id=actor.tenant_id, session_id=session_id, first=first)


def digest_at(tx: Tx, actor: Actor, session_id: str, seq: int) -> bytes:
    """Return the digest of the history up to ``seq``; -1 is before the first message."""
    if seq < 0:
        return digest.GENESIS
    row = one(tx, "message_digest", tenant_id=actor.tenant_id, session_id=session_id, seq=seq)
    return row[0] if row else b""


def _cut_back(tx: Tx, actor: Actor, head: Head, kept: int) -> int:
    """Remove what comes after the first messages; return how many there were."""
    replaced = head.message_count - kept
    if replaced:
        cut(tx, actor, head.session_id, kept)
    return replaced


def _move(
    tx: Tx, head: Head, count: int, last: bytes, *, kept: int, replaced: int, now_us: int
) -> SaveReceipt:
    """Write the head of a history that was made equal to another, if that changed it."""
    added = count - kept
    if replaced or added:
        head.message_count, head.digest = count, last
        kind = "messages.replaced" if replaced else "messages.appended"
        touch(tx, head, kind, added=added, now_us=now_us)
    return SaveReceipt(version=head.version, message_count=count, appended=added, replaced=replaced)


def _common_prefix(
    tx: Tx, actor: Actor, head: Head, total: int, digest_of: Callable[[int], bytes]
) -> int:
    """Count the stored messages with which a history of that many, and those digests, begins."""
    count = head.message_count
    if count <= total and (count == 0 or digest_of(count - 1) == head.digest):
        return count
    low, high = 0, min(count, total)
    while low < high:
        middle = (low + high + 1) // 2
        if digest_at(tx, actor, head.session_id, middle - 1) == digest_of(middle - 1):
            low = middle
        else:
            high = middle - 1
    return low


def _stored(row: Row) -> StoredMessage:
    return StoredMessage(
        seq=row[0],
        message_id=row[1],
        turn_id=row[2],
        role=row[3],
        text=row[4],
        created_at_us=row[5],
        digest=row[6],
    )
