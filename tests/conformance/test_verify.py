"""Verify: whatever is changed behind the record's back is found, and where."""

from __future__ import annotations

import pytest

from hansard import SessionService
from tests.places import Place
from tests.samples import call, dialogue, user

WHERE = "WHERE session_id = 's' AND tenant_id = 'default'"

HEAD = f"SELECT digest FROM sessions {WHERE}"
FIRST = f"SELECT digest FROM messages {WHERE} AND seq = 0"
OTHER = "SELECT o.body FROM messages AS o WHERE o.session_id = 's' AND o.seq = 7 - messages.seq"

# What was done to the messages 0 to 5, and the first of them that no longer fits.
TAMPERING = {
    "body": (f'UPDATE messages SET body = \'{{"role":"user"}}\' {WHERE} AND seq = 2', 2),
    "one letter": (
        f"UPDATE messages SET body = replace(body, 'message 5', 'massage 5') {WHERE}",
        5,
    ),
    "body that is no JSON": (f"UPDATE messages SET body = '{{' {WHERE} AND seq = 3", 3),
    "two exchanged": (f"UPDATE messages SET body = ({OTHER}) {WHERE} AND seq IN (3, 4)", 3),
    "digest": (f"UPDATE messages SET digest = ({HEAD}) WHERE seq = 4", 4),
    "message taken from the middle": (f"DELETE FROM messages {WHERE} AND seq = 1", 1),
    "last message taken": (f"DELETE FROM messages {WHERE} AND seq = 5", 5),
    "all taken": (f"DELETE FROM messages {WHERE}", 0),
    "head of the chain": (f"UPDATE sessions SET digest = ({FIRST}) {WHERE}", 6),
    "count": (f"UPDATE sessions SET message_count = 5 {WHERE}", 5),
}


async def test_sound_history_is_verified(record: SessionService) -> None:
    session = await record.create(session_id="s", messages=dialogue(4))
    verification = await record.verify("s")
    assert (verification.ok, verification.messages) == (True, 4)
    assert (verification.digest, verification.first_bad_seq) == (session.digest, None)


async def test_empty_history_is_verified(record: SessionService) -> None:
    await record.create(session_id="s")
    verification = await record.verify("s")
    assert (verification.ok, verification.messages, verification.digest) == (True, 0, "00" * 32)


async def test_history_stays_sound_through_everything(record: SessionService) -> None:
    await record.create(session_id="s", messages=dialogue(4))
    await record.append_turn("s", dialogue(3), usage=[call("c", 1)])
    await record.save_messages("s", [*dialogue(3), user("other"), user("way")])
    await record.revert("s", 4)
    await record.append_messages("s", dialogue(700))
    fork = await record.fork("s", 600)
    for session_id, count in (("s", 704), (fork.id, 600)):
        verification = await record.verify(session_id)
        assert (verification.ok, verification.messages) == (True, count)


@pytest.mark.parametrize(("statement", "first_bad_seq"), TAMPERING.values(), ids=TAMPERING.keys())
async def test_tampering_is_found(
    record: SessionService, place: Place, statement: str, first_bad_seq: int
) -> None:
    await record.create(session_id="s", messages=dialogue(6))
    await record.create(session_id="untouched", messages=dialogue(3))
    place.execute(statement)
    verification = await record.verify("s")
    assert (verification.ok, verification.first_bad_seq) == (False, first_bad_seq)
    assert (await record.verify("untouched")).ok


async def test_forged_chain_gives_another_digest(record: SessionService) -> None:
    """Who rewrites the whole chain cannot keep the digest that somebody wrote down."""
    before = await record.create(session_id="s", messages=dialogue(6))
    await record.save_messages("s", [user("forged"), *dialogue(6)[1:]])
    verification = await record.verify("s")
    assert verification.ok
    assert verification.digest != before.digest
