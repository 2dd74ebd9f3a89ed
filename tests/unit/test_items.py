"""Items of a running turn, as its events tell it."""

from __future__ import annotations

import json

from hansard.core.items import fold
from hansard.core.threads import REQUESTED, SETTLED, ThreadEvent, thread_of_approval


def happened(*kinds: tuple[str, str]) -> list[ThreadEvent]:
    return [
        ThreadEvent(
            seq=seq,
            kind=kind,
            turn_id="turn_1",
            item_id=None,
            payload=json.dumps({"id": wait_id}),
            created_at_us=0,
        )
        for seq, (kind, wait_id) in enumerate(kinds, 1)
    ]


def test_waits_are_open_until_they_are_settled() -> None:
    folded = fold(happened(*((REQUESTED[kind], kind) for kind in REQUESTED)))
    for kind in REQUESTED:
        assert folded.open_waits(kind) == [{"id": kind}]
        fold(happened((SETTLED[kind], kind)), folded)
        assert folded.open_waits(kind) == []


def test_what_names_no_approval_names_no_thread() -> None:
    thread = "01J00000000000000000000000"
    for stranger in ("appr_1", f"appr_{thread}", f"input_{thread}_{thread}", ""):
        assert thread_of_approval(stranger) is None
    assert thread_of_approval(f"appr_{thread}_{thread}") == f"thr_{thread}"
