"""Endpoints: what the table says of one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from hansard.core.errors import HansardError
from hansard.core.shapes import described
from hansard.server.answers import Failure
from hansard.server.bodies import NoQuery
from hansard.server.calls import Handler, Reply
from hansard.server.errors import failure as write_failure
from hansard.server.requests import JSON_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a call takes.

    Attributes:
        shape: None for bytes that the handler reads itself.
        large: A whole history, for which the larger limit holds.
        whole: The handler gets the object with all its fields, once it is known to fit.
    """

    shape: type[Struct] | None
    required: bool = True
    large: bool = False
    whole: bool = False
    media_types: frozenset[bytes] = JSON_TYPES

    def __post_init__(self) -> None:
        if self.shape is not None:
            described(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A request header that a call heeds."""

    name: str
    text: str
    pattern: str


IF_MATCH: Final = Header(
    name="If-Match",
    text="ETag of the version that must still be there.",
    pattern=r'^("[0-9]{1,18}"|\*)$',
)
PREFER: Final = Header(
    name="Prefer",
    text="`return=minimal` leaves the history out.",
    pattern=r"^return=(minimal|representation)$",
)
IDEMPOTENCY_KEY: Final = Header(
    name="Idempotency-Key",
    text="The turn's id, instead of in the body.",
    pattern=r"^[A-Za-z0-9_\-:.]{1,128}$",
)
LAST_EVENT_ID: Final = Header(
    name="Last-Event-ID",
    text="The last event seen; counts more than `since`.",
    pattern=r"^[0-9]{1,15}$",
)
SESSION_ID: Final = Header(
    name="X-Session-Id",
    text="The session, instead of in the body.",
    pattern=r"^[A-Za-z0-9_\-:.]{1,128}$",
)
SESSION_HISTORY: Final = Header(
    name="X-Session-History",
    text="Whether the messages are the whole history or what is new; found out, if not said.",
    pattern=r"^(auto|full|new|retry)$",
)
QUESTION_KEY: Final = Header(
    name="Idempotency-Key",
    text="A name of the question, the same if it is sent once more.",
    pattern=r"^[!-~]+$",
)
BUDGET_FIT: Final = Header(
    name="X-Budget-Fit",
    text="The same as `fit`.",
    pattern=r"^(clamp|refuse)$",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row.

    Attributes:
        name: Stable name of the operation.
        answer: Shape of the body; None if there is none, or it is not of one shape.
        else_answer: Its other shape, where the query asks for that.
        listed: The body is an array of such shapes.
        status: On success, unless the handler says otherwise.
        also: Other statuses of success, and what they mean.
        errors: Statuses of failure beside those that follow from the rest of the row.
        media_type: Of the answer, where it is not JSON.
        open: Needs no credentials.
        write_failure: How an error is answered; ``failure`` is the shape.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    query: type[Struct] = NoQuery
    body: Body | None = None
    headers: tuple[Header, ...] = ()
    answer: type[Struct] | None = None
    else_answer: type[Struct] | None = None
    listed: bool = False
    status: int = 200
    also: tuple[tuple[int, str], ...] = ()
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
    open: bool = False
    write_failure: Callable[[HansardError], Reply] = write_failure
    failure: type[Struct] = Failure

    @property
    def safe(self) -> bool:
        """Whether the call changes nothing."""
        return self.method in {"GET", "HEAD"}

    @property
    def conditional(self) -> bool:
        """Whether the call heeds ``If-Match``."""
        return IF_MATCH in self.headers

    @property
    def noun(self) -> str:
        """What the call is about: the module of its handler."""
        return self.handler.__module__.rpartition(".")[2]
