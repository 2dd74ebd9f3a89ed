"""Items of a running turn, as its events tell it."""

from __future__ import annotations

import json
from typing import Any

from hansard.core.items import Folded, fold
from hansard.core.threads import REQUESTED, SETTLED, ThreadEvent, thread_of_approval
from tests.samples import assistant


def happened(*kinds: tuple[str, str]) -> list[ThreadEvent]:
    return [told(kind, {"id": wait_id}) for kind, wait_id in kinds]


def told(kind: str, payload: dict[str, Any]) -> ThreadEvent:
    return ThreadEvent(
        seq=1,
        kind=kind,
        turn_id="turn_1",
        item_id="i",
        payload=json.dumps(payload),
        created_at_us=0,
    )


def test_waits_are_open_until_they_are_settled() -> None:
    folded = fold(happened(*((REQUESTED[kind], kind) for kind in REQUESTED)))
    for kind in REQUESTED:
        assert folded.open_waits(kind) == [{"id": kind}]
        fold(happened((SETTLED[kind], kind)), folded)
        assert folded.open_waits(kind) == []


def test_text_grows_from_page_to_page_until_it_is_whole() -> None:
    item = {"id": "i", "kind": "agent_message"}
    events = [
        told("item.started", {"item": {**item, "status": "in_progress", "text": ""}}),
        *(told("item.delta", {"delta": word}) for word in ("one ", "two ", "three ")),
    ]
    whole = told("item.completed", {"item": {**item, "status": "completed", "text": "one, two"}})
    for size in (1, 2, 4):
        folded = Folded()
        for place in range(0, len(events), size):
            fold(events[place : place + size], folded)
        assert folded.unfinished() == assistant("one two three ")
        assert fold([whole], folded).items["i"]["text"] == "one, two"
    assert fold([*events, whole]).items["i"]["text"] == "one, two"


def test_what_names_no_approval_names_no_thread() -> None:
    thread = "01J00000000000000000000000"
    for stranger in ("appr_1", f"appr_{thread}", f"input_{thread}_{thread}", ""):
        assert thread_of_approval(stranger) is None
    assert thread_of_approval(f"appr_{thread}_{thread}") == f"thr_{thread}"
