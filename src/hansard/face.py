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

    def events(self, session_id: str, *, since: int = 0) -> AsyncIterator[Event]:
        """Iterate over the changes after version ``since``: first the past, then live."""
        ...
