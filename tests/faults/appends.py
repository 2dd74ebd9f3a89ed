"""Turns as the store takes them, for tests that run its transactions themselves."""

from __future__ import annotations

from hansard import Actor
from hansard.clock import now_us
from hansard.core.sessions import check_new_session
from hansard.core.turns import check_turn
from hansard.store.turns import Append
from tests.faults.history import Sent


def make_append(sent: Sent, expected_seq: int | None = None) -> Append:
    """A checked turn on its way into a session that is made on the way."""
    turn = check_turn(
        sent.messages,
        usage=sent.usage,
        turn_id=sent.turn_id,
        status="completed",
        expected_seq=expected_seq,
        clock=now_us,
    )
    session = check_new_session(session_id=sent.session_id, clock=now_us)
    actor = Actor()
    return Append(actor, (actor.tenant_id, sent.session_id), turn, session)
