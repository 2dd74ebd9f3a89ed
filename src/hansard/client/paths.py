"""Paths: every route of the HTTP API that the client calls, and nothing else.

A test compares them with the server's endpoint table.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

from hansard.core.ids import check_ledger_name

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

    def to(self, session_id: str | None = None) -> str:
        """The path, with the session's id escaped in it.

        >>> GET_USAGE.to("event:a.b")
        '/v1/sessions/event%3Aa.b/usage'

        Raises:
            InvalidInput: If that can be neither a session's id nor what it is called when it
                is gone; the server knows where the latter means something.
        """
        if session_id is None:
            return self.path
        escaped = quote(check_ledger_name(session_id) or "~", safe="")
        if not escaped.strip("."):  # "." and ".." mean something in a path
            escaped = escaped.replace(".", "%2E")
        return self.path.replace("{session_id}", escaped)


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
