"""The face: what a record can do, wherever it lives.

Agent code, HTTP routes, the command line and adapters all call a ``SessionService``. Every
method raises ``InvalidInput`` before anything is written when its arguments cannot be
recorded, ``NotFound`` for a session that does not exist or is not the caller's, and
``Unavailable`` when the place behind it does not answer; what else it raises it says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from hansard.core.budgets import WARN_PERCENTS, Budget, BudgetState, Hold
from hansard.core.documents import ImportReport
from hansard.core.events import Event
from hansard.core.messages import Message
from hansard.core.paging import Page
from hansard.core.reports import UsageReport
from hansard.core.sessions import (
    UNSET,
    PurgeReport,
    SaveReceipt,
    Session,
    SessionQuery,
    Unset,
    UpdateReceipt,
    Verification,
)
from hansard.core.turns import AppendReceipt, Turn, TurnReceipt
from hansard.core.usage import NewUsage, SessionUsage, UsageTotals


class SessionService(Protocol):
    """A record of sessions, on behalf of one actor; an async context manager."""

    async def __aenter__(self) -> Self:
        """Open the record: connect, check the schema, migrate it forward if needed."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the writes under way and let go of the place."""
        ...

    async def create(
        self,
        *,
        session_id: str | None = None,
        agent: str | None = None,
        title: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        cost_data: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
    ) -> Session:
        """Make a session, with an id of ours unless one is given.

        Raises:
            Conflict: If the id is taken.
        """
        ...

    async def get(self, session_id: str) -> Session:
        """Return a session without its messages."""
        ...

    async def exists(self, session_id: str) -> bool:
        """Tell whether the session exists within the caller's reach."""
        ...

    async def list(self, query: SessionQuery | None = None, /, **filters: Any) -> Page[Session]:
        """Return a page of sessions, without messages; ``filters`` are fields of the query."""
        ...

    async def find_ids(self, prefix: str, *, limit: int = 10) -> Sequence[str]:
        """Return ids of sessions that begin with ``prefix``, in order."""
        ...

    async def update(
        self,
        session_id: str,
        *,
        title: str | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        archived: bool | Unset = UNSET,
        legal_hold: bool | Unset = UNSET,
        cost_data: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> UpdateReceipt:
        """Change a session's own fields; ``cost_data`` is merged per top-level key.

        Under ``legal_hold`` nothing of the session can be removed; only some may say so.

        Raises:
            Conflict: With code ``version_mismatch``, if ``expected_version`` is not current.
            Unauthorized: ``forbidden``, if the caller may not set ``legal_hold``.
        """
        ...

    async def get_cost_data(self, session_id: str) -> dict[str, Any]:
        """Return the clients' own cost object."""
        ...

    async def delete(self, session_id: str) -> None:
        """Remove a session with its messages, turns and events; what it cost stays.

        Raises:
            Conflict: ``legal_hold``, if the session or its tenant is under one.
        """
        ...

    async def append_turn(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        usage: Sequence[NewUsage | Mapping[str, Any]] = (),
        turn_id: str | None = None,
        status: str = "completed",
        expected_seq: int | None = None,
        create: bool = False,
    ) -> TurnReceipt:
        """Record one exchange: messages, model calls and totals together, once.

        Sent again with the same ``turn_id`` and content, it writes nothing and returns the
        first receipt. With ``create``, an unknown session is made on the way.

        Raises:
            Conflict: ``turn_conflict`` if the id names another turn, ``usage_conflict`` if
                an ``event_id`` names another call, ``seq_conflict`` (with ``next_seq``) if
                ``expected_seq`` is not the next.
        """
        ...

    async def append_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_seq: int | None = None,
    ) -> AppendReceipt:
        """Append messages that belong to no turn.

        Raises:
            Conflict: ``seq_conflict`` if ``expected_seq`` is not the next.
        """
        ...

    async def append_message(
        self, session_id: str, role: str, content: Any, **fields: Any
    ) -> Message:
        """Append one message, given by its parts, and return it as recorded."""
        ...

    async def save_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_version: int | None = None,
    ) -> SaveReceipt:
        """Make the history equal to this list, writing only the difference; upsert.

        Raises:
            Conflict: ``version_mismatch`` if ``expected_version`` is not current;
                ``legal_hold`` if messages would give way that are under one.
        """
        ...

    def messages(
        self, session_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncIterator[Message]:
        """Iterate over a session's messages in order; ``after`` and ``before`` are exclusive."""
        ...

    async def list_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[Message]:
        """Return a page of messages; the cursor is the ``after`` (``before``) of the next."""
        ...

    async def tail(
        self, session_id: str, count: int, *, unit: str = "messages"
    ) -> tuple[Message, ...]:
        """Return a window on the last messages that has no tool's result without its call.

        ``unit`` says what ``count`` counts. ``messages``: so many, or more where a call would
        be cut off. ``turns``: from the first message of the last turn but ``count - 1`` on,
        or from earlier; where messages belong to no turn, each message of a user begins one.
        ``tokens``: as many whole messages as fit, or fewer; a message's tokens are taken as
        the bytes of its JSON text by 4, rounded up, as there is no tokenizer for every model.
        """
        ...

    async def list_turns(
        self, session_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[Turn]:
        """Return a page of turns, oldest first."""
        ...

    async def usage(self, session_id: str) -> SessionUsage:
        """Return a session's token totals, also by model."""
        ...

    async def usage_report(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        group_by: Sequence[str] = ("day",),
        **filters: str | None,
    ) -> UsageReport:
        """Report what was used, by one or two of ``hansard.core.reports.GROUPS``.

        ``filters`` are ``provider``, ``model``, ``agent``, ``owner`` and ``session_id``. The
        bounds are widened to full hours; ``until_us`` is exclusive.

        Raises:
            LimitReached: ``too_many_buckets``.
        """
        ...

    async def update_token_usage(
        self,
        session_id: str,
        *,
        event_id: str,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        provider: str = "",
        model: str = "",
        cost_nanousd: int | None = None,
        corrects: str | None = None,
    ) -> UsageTotals:
        """Add one model call's tokens (a delta, never a running total), once per event id.

        A call whose cost is not given is priced by the record's price table. One that
        ``corrects`` another takes that one back, and counts in its place, when it was made;
        ``session_id`` may then be what a deleted session is called, or ``~`` for none.

        Raises:
            Conflict: ``usage_conflict`` if the id names another call, or the call that it
                corrects was corrected before.
            NotFound: ``usage_not_found``, if there is no call to correct.
            Unauthorized: ``forbidden``, if the caller may correct nothing.
        """
        ...

    async def fork(self, session_id: str, from_message_index: int | None = None) -> Session:
        """Make a session that shares the first messages (all, unless told how many).

        Raises:
            InvalidInput: ``index_out_of_range``.
        """
        ...

    async def revert(self, session_id: str, to_message_index: int) -> Session:
        """Cut a session back to its first ``to_message_index`` messages; usage stays.

        Raises:
            Conflict: ``legal_hold``, if messages would go that are under one.
            InvalidInput: ``index_out_of_range``.
        """
        ...

    async def verify(self, session_id: str) -> Verification:
        """Recompute a session's digest chain and compare."""
        ...

    async def purge(self, *, updated_before_us: int, dry_run: bool = False) -> PurgeReport:
        """Remove the sessions that nobody touched since, within the caller's reach.

        Those under legal hold stay.
        """
        ...

    def export_session(self, session_id: str, format: str = "native") -> AsyncIterator[bytes]:
        """Write a session as a document, in pieces."""
        ...

    async def import_session(
        self, source: bytes | Path | str, format: str = "native", *, dry_run: bool = False
    ) -> ImportReport:
        """Read a document into new sessions, in one transaction, once.

        ``source`` is the document, or the file that holds it, or (for ``cleveragents-db`` and
        ``fipsagents-db``) the URL or file of a database.

        Raises:
            InvalidInput: If version, shape or content cannot be read.
            Corrupt: If a checksum or the digest chain does not match.
        """
        ...

    async def put_budget(
        self,
        budget_id: str,
        *,
        scope: str,
        limit_amount: int,
        unit: str = "usd",
        subject: str = "",
        period: str = "total",
        time_zone: str = "UTC",
        mode: str = "enforce",
        warn_percents: Sequence[int] = WARN_PERCENTS,
    ) -> Budget:
        """Make a budget, or change one; it counts from the start of the present window.

        Another limit for the same scope, subject, window and unit goes on with what was spent
        and held; anything else begins anew.

        Raises:
            Unauthorized: ``forbidden``, if the caller may not.
            InvalidInput: ``invalid_budget``.
            LimitReached: ``too_many_budgets``.
            Conflict: ``budget_replaced``, if another sets or removes it meanwhile.
        """
        ...

    async def delete_budget(self, budget_id: str) -> None:
        """Remove a budget; what was spent stays in the ledger.

        Raises:
            NotFound: ``budget_not_found``.
            Unauthorized: ``forbidden``, if the caller may not.
        """
        ...

    async def get_budget(
        self, budget_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[Budget, Page[BudgetState]]:
        """Return a budget, and a page of what is left of it by subject, as far as one may see.

        Raises:
            NotFound: ``budget_not_found``.
        """
        ...

    async def list_budgets(self) -> Sequence[tuple[Budget, Page[BudgetState]]]:
        """Return all budgets that one may see, by id, each with what is left.

        Of a budget that each has by itself, the first few subjects are told; its cursor is
        one for ``get_budget``.
        """
        ...

    async def list_holds(
        self, *, state: str = "unknown", limit: int = 100, cursor: str | None = None
    ) -> Page[Hold]:
        """Return a page of holds in a state, by call."""
        ...

    async def resolve_hold(self, call_id: str, usage: NewUsage | None) -> None:
        """Say what became of a call of which nobody knew: its usage, or (None) nothing at all.

        It counts on the account that the hold was taken on, at the time when it was, and in
        its session, as one that was deleted if that is not there. If its usage is in the
        ledger, without a price, what is said takes the place of that.

        Raises:
            NotFound: ``hold_not_found``.
            Unauthorized: ``forbidden``, if the caller may not.
            Conflict: ``hold_ended``, maybe by another who says otherwise at once;
                ``hold_open``, while the call may be under way; and ``usage_conflict``, if the
                call was corrected since.
            InvalidInput: ``invalid_resolution``, if it does not say what a call cost that has
                no price.
        """
        ...

    def events(self, session_id: str, *, since: int = 0) -> AsyncIterator[Event]:
        """Iterate over the changes after version ``since``: first the past, then live."""
        ...
