"""Turns over HTTP."""

from __future__ import annotations

from typing import Final

from hansard.core.errors import InvalidInput
from hansard.server import answers, bodies
from hansard.server.calls import Call, Headers, Reply, page_limit, to_json
from hansard.server.requests import idempotency_key

_REPLAYED: Final[Headers] = ((b"idempotent-replayed", b"true"),)


async def append_turn(call: Call[bodies.TurnQuery, bodies.TurnBody]) -> Reply:
    """Record one exchange; sent again, it is answered as before and written no more."""
    body = call.body
    receipt = await call.record.append_turn(
        call.session_id,
        body.messages,
        usage=[entry.given() for entry in body.usage],
        turn_id=_turn_id(call),
        status=body.status,
        expected_seq=body.expected_seq,
        create=call.query.create,
    )
    answer = to_json(answers.TurnAnswer.of(receipt))
    return Reply(answer, 200, _REPLAYED) if receipt.replayed else Reply(answer)


async def list_turns(call: Call[bodies.PageQuery, None]) -> Reply:
    """Return a page of turns, oldest first."""
    page = await call.record.list_turns(
        call.session_id, limit=page_limit(call, call.query.limit), cursor=call.query.cursor
    )
    rows = [answers.TurnRow.of(item) for item in page.items]
    return Reply(to_json(answers.TurnPage(rows, page.next_cursor)))


def _turn_id(call: Call[bodies.TurnQuery, bodies.TurnBody]) -> str | None:
    key, named = idempotency_key(call.headers), call.body.turn_id
    if key is not None and named is not None and key != named:
        raise InvalidInput(
            "Idempotency-Key and turn_id name different turns", code="invalid_turn_id"
        )
    return named if key is None else key
