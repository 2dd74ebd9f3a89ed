"""A server whose agent says what time it is, so that a reader knows how old a piece of text is.

python -m benchmarks.thread_server sqlite:////tmp/record.db 8080

A prompt is ``{"pieces": 200, "pause_s": 0.005, "at_s": 0}``: how many pieces of text, how far
apart, and when the first, by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from hansard.compose import open_database
from hansard.core.usage import NewUsage
from hansard.runtime.agents.accounts import TurnAccount
from hansard.runtime.agents.protocol import CallDone, CallPlan, Event, MessageDone, Request, Text
from hansard.server.app import create_app
from hansard.server.serve import DrainingServer
from hansard.settings import ChatSettings, ServerSettings, Settings


class Clock:
    """Says what the monotonic clock shows, in nanoseconds; see ``Agent``."""

    name = "clock"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def models(self) -> list[dict[str, Any]]:
        """It has none."""
        return []

    async def run(self, request: Request) -> AsyncGenerator[Event]:
        """Say the time as often as the prompt wants."""
        wanted = json.loads(request.body["messages"][-1]["content"])
        account = TurnAccount(request.gate)
        plan = CallPlan(provider="", model=self.name, input_tokens_bound=1)
        grant = await account.admit(plan)
        said: list[str] = []
        loop = asyncio.get_running_loop()
        start_s = max(loop.time(), wanted["at_s"])
        for number in range(wanted["pieces"]):
            due_s = start_s + number * wanted["pause_s"]
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            said.append(f"{time.monotonic_ns()} ")
            yield Text(said[-1])
        grant.ended()
        account.calls.append(NewUsage(event_id=grant.call_id, model=self.name, output_tokens=1))
        account.messages.append({"role": "assistant", "content": "".join(said)})
        yield CallDone(account.calls[-1])
        yield MessageDone(account.messages[-1])
        yield account.completed("stop")


def main() -> None:
    """Serve a database on a port, until a signal."""
    url, port = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as spool:
        settings = Settings(
            server=ServerSettings(port=port, log_level="error"), chat=ChatSettings(spool=spool)
        )
        app = create_app(open_database(url), settings, agent=Clock())
        DrainingServer(app, settings, notice_s=0.0).run()


if __name__ == "__main__":
    main()
