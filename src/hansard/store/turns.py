"""Turns in SQL: on their way into a session, and as they are kept."""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct
from msgspec.json import Encoder

from hansard.core.actors import Actor
from hansard.core.budgets import Subjects
from hansard.core.documents import DocumentTurn
from hansard.core.ids import is_session_id
from hansard.core.sessions import NewSession
from hansard.core.threads import ThreadStep
from hansard.core.turns import NewTurn, Turn, TurnReceipt
from hansard.core.usage import UsageTotals
from hansard.store.database import Row, Tx
from hansard.store.sessions import Head, Key

KIND_TURN = "turn.recorded"
_RECEIPTS: Final = Encoder()


class Append(Struct, frozen=True):
    """A turn on its way into the session ``key``; ``create`` makes it if there is none.

    Attributes:
        key: Tenant and session. Of none (``''``), or of one that was deleted and goes on as
            ``<session_id>~<ULID>``, only usage is recorded.
        agent: Who made the calls; None: the session says so.
        account: On whose account the calls go, where that is known: of a correction.
        holds: Calls of the turn whose holds end with it, at ``ended_at_us``.
        tells_cost_data: Whether ``cost_data`` gets the session's running totals.
        step: What is written into the log of the thread whose journal the session is.
    """

    actor: Actor
    key: Key
    turn: NewTurn
    create: NewSession | None = None
    agent: str | None = None
    account: Subjects | None = None
    holds: tuple[str, ...] = ()
    ended_at_us: int = 0
    tells_cost_data: bool = False
    step: ThreadStep | None = None

    @property
    def has_session(self) -> bool:
        """Whether there is a session to be moved on: not for calls of none, or of a deleted one."""
        return is_session_id(self.key[1])

    @property
    def size_bytes(self) -> int:
        """About what it adds to a batch."""
        log_bytes = 0 if self.step is None else self.step.size_bytes
        return log_bytes + sum([len(message.canonical) for message in self.turn.messages])


def list_page(
    tx: Tx, actor: Actor, session_id: str, *, after: int, limit: int
) -> list[tuple[int, Turn]]:
    """Return a session's turns after an event number, each with its own."""
    rows = tx.rows(
        "turn_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    return [(row[6], _turn(row)) for row in rows]


def list_documents(
    tx: Tx, actor: Actor, session_id: str, *, after: int, limit: int
) -> list[tuple[int, DocumentTurn]]:
    """Return the same as they travel."""
    rows = tx.rows(
        "turn_list", tenant_id=actor.tenant_id, session_id=session_id, after=after, limit=limit
    )
    return [
        (
            row[6],
            DocumentTurn(
                turn_id=row[0],
                status=row[1],
                first_seq=row[2],
                last_seq=row[3],
                created_at_us=row[5],
                content_hash=row[7].hex(),
                usage=read_receipt(row[0], row[4]).usage,
            ),
        )
        for row in rows
    ]


def row_of(
    head: Head,
    receipt: TurnReceipt,
    told: str,
    status: str,
    content_hash: bytes,
    created_at_us: int,
) -> Row:
    """The row of one turn; ``told`` is its receipt as it is kept."""
    return (
        *head.key,
        receipt.turn_id,
        status,
        content_hash,
        receipt.first_seq,
        receipt.last_seq,
        told,
        created_at_us,
    )


def write_receipt(receipt: TurnReceipt) -> str:
    """Write a receipt as it is kept, to be told again."""
    told = (receipt.first_seq, receipt.last_seq, receipt.version, receipt.usage)
    return _RECEIPTS.encode(told).decode()


def read_receipt(turn_id: str, told: str) -> TurnReceipt:
    """Read a receipt that ``write_receipt`` wrote."""
    first_seq, last_seq, version, totals = json.loads(told)
    return TurnReceipt(
        turn_id=turn_id,
        first_seq=first_seq,
        last_seq=last_seq,
        version=version,
        usage=UsageTotals(*totals),
        replayed=True,
    )


def _turn(row: Row) -> Turn:
    receipt = read_receipt(row[0], row[4])
    return Turn(
        turn_id=row[0],
        status=row[1],
        first_seq=row[2],
        last_seq=row[3],
        version=receipt.version,
        usage=receipt.usage,
        created_at_us=row[5],
    )
