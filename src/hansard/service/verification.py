"""Recompute a session's digest chain, and compare it with what is stored."""

from __future__ import annotations

from hansard.core import digest, strict_json
from hansard.core.actors import Actor
from hansard.core.errors import HansardError
from hansard.core.sessions import Session, Verification
from hansard.store import messages
from hansard.store.database import Tx

_STEP = 500  # messages held at a time


def verify(tx: Tx, actor: Actor, session: Session) -> Verification:
    """Recompute the chain of one snapshot; a gap or a missing end is a break too."""
    head, count = digest.GENESIS, 0
    while True:
        page = messages.list_page(tx, actor, session.id, after=count - 1, limit=_STEP)
        for message in page:
            recomputed = _advance(head, message.text)
            if message.seq != count or recomputed != message.digest:
                return Verification(
                    ok=False, messages=count, digest=head.hex(), first_bad_seq=count
                )
            head, count = recomputed, count + 1
        if len(page) < _STEP:
            break
    ok = count == session.message_count and head.hex() == session.digest
    first_bad_seq = None if ok else min(count, session.message_count)
    return Verification(ok=ok, messages=count, digest=head.hex(), first_bad_seq=first_bad_seq)


def _advance(head: bytes, text: str) -> bytes | None:
    try:
        return digest.advance(head, strict_json.canonicalize(strict_json.loads(text)))
    except HansardError:
        return None
