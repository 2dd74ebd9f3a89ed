"""Messages over HTTP."""

from __future__ import annotations

from hansard.server import answers, bodies
from hansard.server.calls import Call, Reply, etag, page_limit, to_json


async def list_messages(call: Call[bodies.MessagesQuery, None]) -> Reply:
    """Return a page of a history, each message as it was given."""
    query = call.query
    page = await call.record.list_stored_messages(
        call.session_id,
        after=query.after,
        before=query.before,
        limit=page_limit(call, query.limit),
        order=query.order,
    )
    rows = [answers.MessageRow.of(item) for item in page.items]
    return Reply(to_json(answers.MessagePage(rows, page.next_cursor)))


async def append_messages(call: Call[bodies.NoQuery, bodies.AppendBody]) -> Reply:
    """Append messages that belong to no turn."""
    receipt = await call.record.append_messages(
        call.session_id, call.body.messages, expected_seq=call.body.expected_seq
    )
    answer = answers.Appended(receipt.first_seq, receipt.last_seq, receipt.version)
    return Reply(to_json(answer), headers=(etag(receipt.version),))
