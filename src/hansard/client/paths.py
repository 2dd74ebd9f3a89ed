"""Paths: every route of the HTTP API that the client calls, and nothing else.

A test compares them with the server's endpoint table.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from hansard.core.ids import check_id, check_ledger_name

_PARAMETER: Final = re.compile(r"{(\w+)}")

LONG_S: Final = 600.0  # for calls whose work grows with the history
HEARTBEAT_S: Final = 15.0  # between signs of life in a stream of events


class Route(NamedTuple):
    """A method and a path.

    Attributes:
        repeatable: Whether the call, done twice, has the effect of being done once.
        silence_s: How long the server may be silent, where the client's usual patience is
            not enough.
    """

    method: str
    path: str
    repeatable: bool = True
    silence_s: float | None = None

    def to(self, *names: str) -> str:
        """The path, with the ids of what it is about escaped in it.

        >>> GET_USAGE.to("event:a.b")
        '/v1/sessions/event%3Aa.b/usage'

        Raises:
            InvalidInput: If one can be no id; of a session, what it is called when it is gone
                may stand there, and the server knows where that means something.
        """
        parts = _PARAMETER.split(self.path)
        escaped = map(_escape, names, parts[1::2])
        return "".join(
            [parts[0], *[id + rest for id, rest in zip(escaped, parts[2::2], strict=True)]]
        )


def _escape(name: str, noun: str) -> str:
    checked = check_ledger_name(name) or "~" if noun == "session_id" else check_id(name, noun)
    escaped = quote(checked, safe="")
    if escaped.strip("."):
        return escaped
    return escaped.replace(".", "%2E")  # "." and ".." mean something in a path


CREATE_SESSION: Final = Route("POST", "/v1/sessions", repeatable=False)
LIST_SESSIONS: Final = Route("GET", "/v1/sessions")
IMPORT_SESSION: Final = Route("POST", "/v1/sessions/import", silence_s=LONG_S)
GET_SESSION: Final = Route("GET", "/v1/sessions/{session_id}")
HAS_SESSION: Final = Route("HEAD", "/v1/sessions/{session_id}")
SAVE_MESSAGES: Final = Route("PUT", "/v1/sessions/{session_id}", silence_s=LONG_S)
UPDATE_SESSION: Final = Route("PATCH", "/v1/sessions/{session_id}")
DELETE_SESSION: Final = Route("DELETE", "/v1/sessions/{session_id}")
GET_COST_DATA: Final = Route("GET", "/v1/sessions/{session_id}/cost_data")
LIST_MESSAGES: Final = Route("GET", "/v1/sessions/{session_id}/messages")
APPEND_MESSAGES: Final = Route("POST", "/v1/sessions/{session_id}/messages", repeatable=False)
LIST_TURNS: Final = Route("GET", "/v1/sessions/{session_id}/turns")
APPEND_TURN: Final = Route("POST", "/v1/sessions/{session_id}/turns")
GET_USAGE: Final = Route("GET", "/v1/sessions/{session_id}/usage")
REPORT_USAGE: Final = Route("GET", "/v1/usage", silence_s=LONG_S)
ADD_USAGE: Final = Route("POST", "/v1/sessions/{session_id}/usage")
FORK_SESSION: Final = Route(
    "POST", "/v1/sessions/{session_id}/fork", repeatable=False, silence_s=LONG_S
)
REVERT_SESSION: Final = Route(
    "POST", "/v1/sessions/{session_id}/revert", repeatable=False, silence_s=LONG_S
)
VERIFY_SESSION: Final = Route("GET", "/v1/sessions/{session_id}/verify", silence_s=LONG_S)
EXPORT_SESSION: Final = Route("GET", "/v1/sessions/{session_id}/export", silence_s=LONG_S)
FOLLOW_EVENTS: Final = Route("GET", "/v1/sessions/{session_id}/events", silence_s=3 * HEARTBEAT_S)
LIST_BUDGETS: Final = Route("GET", "/v1/budgets")
GET_BUDGET: Final = Route("GET", "/v1/budgets/{budget_id}")
PUT_BUDGET: Final = Route("PUT", "/v1/budgets/{budget_id}", silence_s=LONG_S)
DELETE_BUDGET: Final = Route("DELETE", "/v1/budgets/{budget_id}")
LIST_HOLDS: Final = Route("GET", "/v1/holds")
RESOLVE_HOLD: Final = Route("POST", "/v1/holds/{call_id}/resolve", repeatable=False)
CREATE_THREAD: Final = Route("POST", "/v1/threads", repeatable=False)
LIST_THREADS: Final = Route("GET", "/v1/threads")
GET_THREAD: Final = Route("GET", "/v1/threads/{thread_id}")
CHANGE_THREAD: Final = Route("PATCH", "/v1/threads/{thread_id}")
LOAD_THREAD: Final = Route("POST", "/v1/threads/{thread_id}/resume")
RESOLVE_TOOL_CALL: Final = Route(
    "POST",
    "/v1/threads/{thread_id}/turns/{turn_id}/tool-calls/{call_id}/result",
    repeatable=False,
)
RETRY_TURN: Final = Route("POST", "/v1/threads/{thread_id}/retry", repeatable=False)
START_TURN: Final = Route("POST", "/v1/threads/{thread_id}/turns", repeatable=False)
STEER_TURN: Final = Route("POST", "/v1/threads/{thread_id}/turns/{turn_id}/steer", repeatable=False)
INTERRUPT_TURN: Final = Route(
    "POST", "/v1/threads/{thread_id}/turns/{turn_id}/interrupt", repeatable=False
)
DECIDE: Final = Route("POST", "/v1/threads/{thread_id}/approvals/{approval_id}", repeatable=False)
ANSWER_INPUT: Final = Route("POST", "/v1/user-input/{thread_id}/{input_id}", repeatable=False)
FORK_THREAD: Final = Route("POST", "/v1/threads/{thread_id}/fork", repeatable=False)
UNDO_TURNS: Final = Route("POST", "/v1/threads/{thread_id}/undo", repeatable=False)
COMPACT_THREAD: Final = Route("POST", "/v1/threads/{thread_id}/compact", repeatable=False)
SAVE_THREAD: Final = Route("PUT", "/v1/sessions", silence_s=LONG_S)
RESUME_SESSION: Final = Route(
    "POST", "/v1/sessions/{session_id}/resume-thread", repeatable=False, silence_s=LONG_S
)
FOLLOW_THREAD: Final = Route("GET", "/v1/threads/{thread_id}/events", silence_s=3 * HEARTBEAT_S)
