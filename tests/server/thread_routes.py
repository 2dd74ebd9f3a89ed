"""How routes are called in tests of isolation; those that name a thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """How a route that names a session is called, with a body that its owner may send."""

    body: Any = None
    query: str = ""


THREAD = "/v1/threads/{thread_id}"
TURN = f"{THREAD}/turns/{{turn_id}}"
NAMES_A_THREAD = {
    ("GET", THREAD): Case(),
    ("PATCH", THREAD): Case({"title": "mine"}),
    ("GET", f"{THREAD}/events"): Case(),
    ("POST", f"{THREAD}/resume"): Case(),
    ("POST", f"{THREAD}/fork"): Case(),
    ("POST", f"{THREAD}/undo"): Case({}),
    ("POST", f"{THREAD}/patch-undo"): Case({}),
    ("POST", f"{THREAD}/retry"): Case({}),
    ("POST", f"{THREAD}/compact"): Case({}),
    ("POST", f"{THREAD}/turns"): Case({"prompt": "hi"}),
    ("POST", f"{TURN}/steer"): Case({"prompt": "hi"}),
    ("POST", f"{TURN}/interrupt"): Case(),
    ("POST", f"{TURN}/tool-calls/{{call_id}}/result"): Case({"success": True}),
    ("POST", f"{THREAD}/approvals/{{approval_id}}"): Case({"decision": "allow"}),
    ("POST", "/v1/approvals/{approval_id}"): Case({"decision": "allow"}),
    ("GET", f"{THREAD}/goal"): Case(),
    ("PUT", f"{THREAD}/goal"): Case({"objective": "sell seats"}),
    ("DELETE", f"{THREAD}/goal"): Case(),
    ("POST", f"{THREAD}/goal/complete"): Case(),
    ("POST", f"{THREAD}/goal/block"): Case(),
    ("POST", "/v1/user-input/{thread_id}/{input_id}"): Case({"answers": [{"id": "", "value": ""}]}),
}
"""Routes that name a thread."""
