"""Suite 1: one call each, on a record of ordinary size."""

from __future__ import annotations

import itertools
import json

from suites.records import EXCHANGE, USAGE, RecordSuite, dialogue

SESSIONS = 200
HISTORY = 100
FORMAT = "native"


class TimeCalls(RecordSuite):
    """The seven calls of a session service."""

    def setup(self) -> None:
        super().setup()
        self.number = itertools.count()
        self.run(self._fill())
        self.document = self.run(self.exported("session-0", FORMAT))

    async def _fill(self) -> None:
        for number in range(SESSIONS):
            await self.record.create(session_id=f"session-{number}", title=f"Session {number}")
        await self.record.append_messages("session-0", dialogue(HISTORY))

    def time_create(self) -> None:
        self.run(self.record.create(agent="local/agent"))

    def time_get(self) -> None:
        self.run(self.record.get("session-0"))

    def time_list(self) -> None:
        self.run(self.record.list(limit=50))

    def time_append(self) -> None:
        self.run(self.record.append_turn("session-1", EXCHANGE, usage=USAGE))

    def time_export(self) -> None:
        self.run(self.exported("session-0", FORMAT))

    def time_token_update(self) -> None:
        event_id = f"call-{next(self.number)}"
        self.run(self.record.update_token_usage("session-2", event_id=event_id, input_tokens=1200))

    def time_import(self) -> None:
        """The document is new each time, or it would be found to be there already."""
        messages = dialogue(HISTORY)
        messages[0] = {"role": "user", "content": f"Conversation {next(self.number)}"}
        line = json.dumps({"messages": messages}).encode()
        self.run(self.record.import_session(line, "openai-chat"))
