"""Desks: where the agent of a running turn waits for people, and where they answer it.

agent --approve, ask, run_tool--> told in the log -> a wait -> settled once
|-- by somebody who answers
|-- by its time being over
`-- by the end of the turn
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from hansard.core.errors import InvalidInput, LimitReached, NotFound
from hansard.core.ids import NOISE, make_ulid
from hansard.core.thread_settings import ThreadSettings
from hansard.core.threads import REQUESTED, SETTLED, make_approval_id
from hansard.runtime.agents.protocol import DENIED, Approval, ToolCalled
from hansard.runtime.log import Log
from hansard.runtime.turn_records import clean_text

WAITING_MAX: Final = 128  # of one turn
UNHEARD_MAX: Final = 1_000_000  # characters said to one turn, as many as a prompt may have
DECISIONS: Final = ("allow", "deny")
UNANSWERED: Final = "nobody answered in time"
ALLOWED: Final = Approval(is_allowed=True)
CLOSED: Final = Approval(is_allowed=False, reason="the turn is over")
PLAN_DENIES: Final = Approval(
    is_allowed=False,
    reason="the thread is in mode plan, where no tool is called that needs an approval",
)


@dataclass(slots=True)
class Wait:
    """One question that is open.

    Attributes:
        kind: ``approval``, ``user_input`` or ``tool_call``.
        answer: Settled once.
    """

    id: str
    kind: str
    answer: asyncio.Future[Any]


class TurnDesk:
    """The desk of one turn; see ``Desk`` of the protocol of agents.

    Args:
        settings: How the agent is to work.

    Attributes:
        private: Calls of tools that a person answers, which the record does not hold.
        told: What readers were told of the questions that are open, by id; it is on disk.
    """

    def __init__(
        self,
        log: Log,
        thread_id: str,
        turn_id: str,
        *,
        clock: Callable[[], int],
        wait_s: float,
        settings: ThreadSettings,
    ) -> None:
        self._log = log
        self._thread_id = thread_id
        self._turn_id = turn_id
        self._clock = clock
        self._wait_s = wait_s
        self._settings = settings
        self.private: set[str] = set()
        self.told: dict[str, dict[str, Any]] = {}
        self._waits: dict[str, Wait] = {}
        self._steered: list[str] = []
        self._is_closed = False

    @property
    def kinds(self) -> list[str]:
        """Of what nobody has answered yet."""
        return [wait.kind for wait in self._waits.values()]

    async def approve(self, call: ToolCalled) -> Approval:
        """Ask whether a tool may be called, if the settings do not say it, and the turn runs."""
        if self._is_closed:
            return CLOSED
        if self._settings.allows_all:
            return ALLOWED
        approval_id = make_approval_id(self._thread_id, self._clock())
        if self._settings.denies_all:
            told = self._tell(approval_id, call) | {"decision": "deny", "auto": True}
            self._log.put(SETTLED["approval"], told, turn_id=self._turn_id)
            return PLAN_DENIES
        decision: str | None = await self._wait("approval", call, approval_id)
        if decision == "allow":
            return ALLOWED
        return Approval(is_allowed=False, reason=UNANSWERED if decision is None else DENIED)

    async def run_tool(self, call: ToolCalled) -> str:
        """Let the client run a tool."""
        result = await self._wait("tool_call", call, call.call_id)
        return UNANSWERED if result is None else str(result)

    async def ask(self, call: ToolCalled) -> str:
        """Let a person answer."""
        self.private.add(call.call_id)
        answer = await self._wait("user_input", call, f"input_{self._new_id()}")
        return UNANSWERED if answer is None else str(answer)

    def steered(self) -> list[str]:
        """What was said since it was asked the last time."""
        said, self._steered = self._steered, []
        return said

    def steer(self, prompt: str) -> None:
        """Say something to be heard with the next model call.

        Raises:
            LimitReached: ``too_many_steers``.
        """
        if sum(map(len, self._steered)) + len(prompt) > UNHEARD_MAX:
            raise LimitReached(
                f"{UNHEARD_MAX:,} characters at most wait to be heard", code="too_many_steers"
            )
        self._steered.append(prompt)

    def decide(self, approval_id: str, decision: str, *, remember: bool = False) -> None:
        """Answer whether a tool may be called.

        Raises:
            InvalidInput: ``invalid_decision``.
            NotFound: ``approval_not_found``, if nobody waits for that.
        """
        if decision not in DECISIONS:
            raise InvalidInput(
                f"decision must be one of {', '.join(DECISIONS)}", code="invalid_decision"
            )
        wait = self._find("approval", approval_id)
        if remember and decision == "allow":
            self._settings = replace(self._settings, permission_posture="full_access")
        self._settle(wait, decision, {"decision": decision, "remember": remember})

    def answer(self, input_id: str, answer: str) -> None:
        """Answer a tool's question; the answer is written nowhere.

        Raises:
            NotFound: ``user_input_not_found``.
        """
        self._settle(self._find("user_input", input_id), answer, {})

    def resolve(self, call_id: str, result: str, *, success: bool) -> None:
        """Give the result of a tool that the client ran.

        Raises:
            NotFound: ``tool_call_not_found``.
        """
        self._settle(self._find("tool_call", call_id), result, {"success": success})

    @property
    def is_asking(self) -> bool:
        """Whether somebody is waited for."""
        return bool(self._waits)

    def close(self) -> None:
        """Wait for nobody any more: the turn is to end."""
        self._is_closed = True
        for wait in list(self._waits.values()):
            self._settle(wait, None, {"canceled": True} | _denial(wait.kind))

    async def _wait(self, kind: str, call: ToolCalled, wait_id: str) -> Any:
        if self._is_closed:
            return None
        if len(self._waits) >= WAITING_MAX:
            raise LimitReached(f"{WAITING_MAX} questions are open", code="too_many_waits")
        if wait_id in self._waits:
            wait_id = f"{wait_id}-{self._new_id()}"
        told = self._tell(wait_id, call)
        loop = asyncio.get_running_loop()
        wait = self._waits[wait_id] = Wait(wait_id, kind, loop.create_future())
        self._log.put(
            REQUESTED[kind],
            told,
            turn_id=self._turn_id,
            then=lambda: self.told.update({wait_id: {"kind": kind, **told}}),
        )
        try:
            await asyncio.wait([wait.answer], timeout=self._wait_s)
        except asyncio.CancelledError:
            self._settle(wait, None, {"canceled": True} | _denial(kind))
            raise
        self._settle(wait, None, {"timeout": True} | _denial(kind))  # unless it is answered
        return wait.answer.result()

    def _tell(self, wait_id: str, call: ToolCalled) -> dict[str, Any]:
        return {
            "id": wait_id,
            "turn_id": self._turn_id,
            "tool_name": clean_text(call.name),
            "arguments": clean_text(call.arguments),
            "tool_call_id": call.call_id,
        }

    def _find(self, kind: str, wait_id: str) -> Wait:
        wait = self._waits.get(wait_id)
        if wait is None or wait.kind != kind or wait.answer.done():
            raise NotFound(f"no open {kind} {wait_id!r}", code=f"{kind}_not_found")
        return wait

    def _settle(self, wait: Wait, answer: Any, told: dict[str, Any]) -> None:
        if self._waits.pop(wait.id, None) is None:
            return  # somebody has answered meanwhile
        self._log.put(
            SETTLED[wait.kind],
            {"id": wait.id, **told},
            turn_id=self._turn_id,
            then=partial(self._forget, wait.id),
        )
        if not wait.answer.done():
            wait.answer.set_result(answer)

    def _forget(self, wait_id: str) -> None:
        self.told.pop(wait_id, None)

    def _new_id(self) -> str:
        return make_ulid(self._clock(), NOISE)


def _denial(kind: str) -> dict[str, Any]:
    return {"decision": "deny"} if kind == "approval" else {}
