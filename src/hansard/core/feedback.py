"""Feedback: what somebody thought of an answer, and how thumbs add up over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hansard.core.errors import InvalidInput
from hansard.core.ids import NOISE, EntropySource, check_id, make_ulid
from hansard.core.paging import check_limit, check_offset
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.strict_json import check_optional_text
from hansard.core.times import check_us

RATINGS: Final = (1, -1)
COMMENT_LENGTH_MAX = 100_000  # also of a correction: room for a whole answer, written better
LATENCY_MAX_MS = 10**12  # thirty years: nobody waited longer
TURN_INDEX_MAX = 2**53 - 1  # what every reader of JSON can count to
ANONYMOUS: Final = "anonymous"
"""Who gave feedback where nobody was asked for credentials, as existing clients read it."""

_DAY_US = 86_400_000_000
WINDOWS_US: Final[Mapping[str, int]] = {
    "hour": _DAY_US // 24,
    "day": _DAY_US,
    "week": 7 * _DAY_US,
}
"""Windows of statistics, by name, and how long they are."""

ORIGIN_US: Final = -3 * _DAY_US
"""Where windows are counted from: a Monday, 29 December 1969, at midnight UTC."""

COUNTS_MAX = 10_000  # of one answer: a year of hours for an agent, or many years of days


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One thumb, up or down, on what a trace shows; the fields stand in the order of columns.

    Attributes:
        feedback_id: Prefix ``fb_`` and a ULID.
        trace_id: What it is about; an id that names nothing if the giver named none.
        rating: One of ``RATINGS``.
        correction: What the answer should have been.
        latency_ms: How long the answer took, as its giver says.
        turn_index: Which answer of the session it is about, from 0.
        owner: Subject of the giver's token; None without authentication.
    """

    feedback_id: str
    owner: str | None
    trace_id: str
    session_id: str | None
    rating: int
    comment: str | None
    correction: str | None
    model_id: str | None
    latency_ms: float | None
    turn_index: int | None
    agent_type: str | None
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackChanges:
    """Checked changes; None leaves a field as it is."""

    rating: int | None
    comment: str | None
    correction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackQuery:
    """Which feedback to list, newest first; every part given must hold.

    Attributes:
        user_id: The owner; ``ANONYMOUS`` is also who has no name.
        since_us: Inclusive; ``until_us`` is exclusive.
    """

    limit: int = 50
    offset: int = 0
    cursor: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    model_id: str | None = None
    agent_type: str | None = None
    rating: int | None = None
    since_us: int | None = None
    until_us: int | None = None

    def __post_init__(self) -> None:
        check_limit(self.limit)
        check_offset(self.offset)
        for field in ("trace_id", "session_id", "user_id", "model_id", "agent_type"):
            check_optional_text(getattr(self, field), field, length_max=NAME_LENGTH_MAX)
        if self.rating is not None:
            _check_rating(self.rating)
        _check_range(self.since_us, self.until_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """Which thumbs to count, in windows of which length.

    Attributes:
        since_us: Inclusive; ``until_us`` is exclusive. Thumbs are left out, not windows: the
            first and the last window may be counted in part.
    """

    window: str = "day"
    agent_type: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def __post_init__(self) -> None:
        if self.window not in WINDOWS_US:
            raise InvalidInput(
                f"window must be one of {', '.join(WINDOWS_US)}", code="invalid_window"
            )
        check_optional_text(self.agent_type, "agent_type", length_max=NAME_LENGTH_MAX)
        _check_range(self.since_us, self.until_us)

    @property
    def length_us(self) -> int:
        """How long a window is."""
        return WINDOWS_US[self.window]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCount:
    """Thumbs for one type of agent in one window, whose end is exclusive."""

    window_start_us: int
    window_end_us: int
    agent_type: str | None
    thumbs_up: int
    thumbs_down: int


def make_feedback(
    *,
    owner: str | None,
    rating: int,
    trace_id: str | None,
    session_id: str | None,
    comment: str | None,
    correction: str | None,
    model_id: str | None,
    latency_ms: float | None,
    turn_index: int | None,
    agent_type: str | None,
    at_us: int,
    entropy: EntropySource = NOISE,
) -> Feedback:
    """Check feedback before it is kept; its id, and one for a trace, are made.

    Raises:
        InvalidInput: If any part cannot be recorded.
    """
    changes = check_changes(rating=_check_rating(rating), comment=comment, correction=correction)
    return Feedback(
        feedback_id="fb_" + make_ulid(at_us, entropy),
        owner=owner,
        trace_id="trace_" + entropy(8).hex()
        if trace_id is None
        else check_id(trace_id, "trace_id"),
        session_id=check_optional_text(session_id, "session_id", length_max=NAME_LENGTH_MAX),
        rating=rating,
        comment=changes.comment,
        correction=changes.correction,
        model_id=check_optional_text(model_id, "model_id", length_max=NAME_LENGTH_MAX),
        latency_ms=None if latency_ms is None else _check_latency(latency_ms),
        turn_index=None if turn_index is None else _check_turn_index(turn_index),
        agent_type=check_optional_text(agent_type, "agent_type", length_max=NAME_LENGTH_MAX),
        created_at_us=at_us,
    )


def check_changes(
    *, rating: int | None, comment: str | None, correction: str | None
) -> FeedbackChanges:
    """Check changes to feedback."""
    return FeedbackChanges(
        rating=None if rating is None else _check_rating(rating),
        comment=check_optional_text(comment, "comment", length_max=COMMENT_LENGTH_MAX),
        correction=check_optional_text(correction, "correction", length_max=COMMENT_LENGTH_MAX),
    )


def _check_rating(rating: int) -> int:
    if type(rating) is not int or rating not in RATINGS:
        raise InvalidInput("rating must be 1 or -1", code="invalid_field", field="rating")
    return rating


def _check_latency(latency_ms: float) -> float:
    if type(latency_ms) not in {int, float} or not 0 <= latency_ms <= LATENCY_MAX_MS:
        raise InvalidInput(
            f"latency_ms must be from 0 to {LATENCY_MAX_MS}",
            code="invalid_field",
            field="latency_ms",
        )
    return float(latency_ms) + 0.0  # not every database keeps the sign of -0.0


def _check_turn_index(turn_index: int) -> int:
    if type(turn_index) is not int or not 0 <= turn_index <= TURN_INDEX_MAX:
        raise InvalidInput(
            f"turn_index must be a whole number from 0 to {TURN_INDEX_MAX}",
            code="invalid_field",
            field="turn_index",
        )
    return turn_index


def _check_range(since_us: int | None, until_us: int | None) -> None:
    for field, time_us in (("since", since_us), ("until", until_us)):
        if time_us is not None:
            check_us(time_us, field)
