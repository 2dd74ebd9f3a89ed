"""Sessions: one conversation's record, and what callers may ask and change of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from hansard.core import strict_json
from hansard.core.errors import InvalidInput
from hansard.core.ids import Clock, check_new_id, make_ulid
from hansard.core.messages import NewMessage
from hansard.core.paging import check_limit
from hansard.core.strict_json import check_optional_text, check_text
from hansard.core.times import check_us
from hansard.core.usage import TOTAL_MAX, UsageTotals

NAME_LENGTH_MAX = 256
TITLE_LENGTH_MAX = 1_024
AUTO_TITLE_LENGTH: Final = 50
UNTITLED: Final = "New Session"
SYSTEM_PROMPT_LENGTH_MAX = 1_000_000
SORT_FIELDS: Final = {
    "created_at": "created_at_us",
    "updated_at": "updated_at_us",
    "title": "title",
    "message_count": "message_count",
}
SORTS: Final = frozenset({*SORT_FIELDS, *(f"-{name}" for name in SORT_FIELDS)})


_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing."""


class Unset(Enum):
    """The absence of a change, where None is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session without its messages.

    Attributes:
        id: The session's id, unique in its tenant.
        owner: Subject of the token that made it; None without authentication.
        version: Grows by one with every change; the ETag.
        message_count: Messages held, hence also the next ``seq``.
        digest: Digest chain's head as hex.
        forked_at_seq: Number of messages taken over from the parent.
        cost_data: Opaque object of the clients, merged per key.
        legal_hold: Nothing of it may be removed until that is lifted.
    """

    id: str
    owner: str | None
    agent: str | None
    title: str | None
    model: str | None
    system_prompt: str | None
    metadata: dict[str, Any]
    cost_data: dict[str, Any]
    archived: bool
    legal_hold: bool
    parent_session_id: str | None
    forked_at_seq: int | None
    message_count: int
    turn_count: int
    version: int
    usage: UsageTotals
    digest: str
    created_at_us: int
    updated_at_us: int

    @property
    def total_usage(self) -> UsageTotals:
        """What was counted in it, or what its client says in ``cost_data``, if that is more."""
        counted = self.usage._asdict()
        for name in ("input_tokens", "output_tokens", "cached_tokens"):
            counted[name] = max(counted[name], tokens_told(self.cost_data, name))
        return UsageTotals(**counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A checked session to be made, with its first messages."""

    id: str
    owner: str | None
    agent: str | None
    title: str | None
    model: str | None
    system_prompt: str | None
    metadata: str
    cost_data: str
    messages: Sequence[NewMessage]
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanges:
    """Checked changes to a session; ``UNSET`` leaves a field as it is.

    ``metadata`` replaces; ``cost_data`` is merged per top-level key.
    """

    title: str | Unset | None = UNSET
    metadata: dict[str, Any] | Unset = UNSET
    archived: bool | Unset = UNSET
    legal_hold: bool | Unset = UNSET
    cost_data: dict[str, Any] | None = None

    def names(self) -> list[str]:
        """Names of the fields that are to change."""
        fields = ("title", "metadata", "archived", "legal_hold")
        names = [field for field in fields if getattr(self, field) is not UNSET]
        return [*names, "cost_data"] if self.cost_data else names


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions to list; every part given must hold.

    Attributes:
        search: Text that the title, the agent or the id contains, in any case (ASCII).
        sort: One of ``SORT_FIELDS``, with ``-`` from the last to the first.
        created_before_us: Exclusive; the lower bounds are inclusive.
    """

    limit: int = 50
    cursor: str | None = None
    agent: str | None = None
    owner: str | None = None
    search: str | None = None
    archived: bool | None = None
    sort: str = "-created_at"
    created_after_us: int | None = None
    created_before_us: int | None = None
    updated_after_us: int | None = None

    def __post_init__(self) -> None:
        check_limit(self.limit)
        if self.sort not in SORTS:
            raise InvalidInput(
                f"sort must be one of {', '.join(sorted(SORTS))}", code="invalid_sort"
            )
        for field in ("agent", "owner", "search"):
            value = getattr(self, field)
            if value is not None:
                check_text(value, field, length_max=NAME_LENGTH_MAX)
        for field in ("created_after_us", "created_before_us", "updated_after_us"):
            if getattr(self, field) is not None:
                check_us(getattr(self, field), field)
        _check_flag(self.archived, "archived", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReceipt:
    """What a whole-list save did: how many messages were added, and how many gave way."""

    version: int
    message_count: int
    appended: int
    replaced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReceipt:
    """The session after an update, and the names of what changed."""

    session: Session
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Outcome of recomputing a session's digest chain.

    Attributes:
        messages: How many messages were read.
        digest: The recomputed head as hex.
        first_bad_seq: First message that breaks the chain; None if all is well.
    """

    ok: bool
    messages: int
    digest: str
    first_bad_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeReport:
    """Sessions that a purge removed, or would remove."""

    sessions: int
    messages: int
    dry_run: bool


def check_new_session(
    *,
    session_id: str | None = None,
    owner: str | None = None,
    agent: str | None = None,
    title: str | None = None,
    model: str | None = None,
    system_prompt: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    cost_data: Mapping[str, Any] | None = None,
    messages: Sequence[NewMessage] = (),
    clock: Clock,
) -> NewSession:
    """Check a session before it is made; an absent id is made.

    Raises:
        InvalidInput: If any part cannot be recorded.
    """
    now_us = clock()
    return NewSession(
        id="sess_" + make_ulid(now_us) if session_id is None else check_new_id(session_id),
        owner=owner,
        agent=check_optional_text(agent, "agent", length_max=NAME_LENGTH_MAX),
        title=check_optional_text(title, "title", length_max=TITLE_LENGTH_MAX),
        model=check_optional_text(model, "model", length_max=NAME_LENGTH_MAX),
        system_prompt=check_optional_text(
            system_prompt, "system_prompt", length_max=SYSTEM_PROMPT_LENGTH_MAX
        ),
        metadata=strict_json.dumps(check_object(metadata, "metadata")),
        cost_data=strict_json.dumps(check_object(cost_data, "cost_data")),
        messages=messages,
        at_us=now_us,
    )


def check_changes(
    *,
    title: str | Unset | None = UNSET,
    metadata: Mapping[str, Any] | Unset | None = UNSET,
    archived: bool | Unset = UNSET,
    legal_hold: bool | Unset = UNSET,
    cost_data: Mapping[str, Any] | None = None,
) -> SessionChanges:
    """Check changes to a session; metadata of None empties it."""
    _check_flag(archived, "archived", UNSET)
    _check_flag(legal_hold, "legal_hold", UNSET)
    return SessionChanges(
        title=title if title is UNSET or title is None else check_title(title),
        metadata=metadata if metadata is UNSET else check_object(metadata, "metadata"),
        archived=archived,
        legal_hold=legal_hold,
        cost_data=None if cost_data is None else check_object(cost_data, "cost_data"),
    )


def check_title(value: str) -> str:
    """Return a title that a list can show: no line ends and no writing direction turns in it.

    Raises:
        InvalidInput: ``blank_title``, if nothing is left.
    """
    title = _UNSHOWN.sub("", check_text(value, "title", length_max=TITLE_LENGTH_MAX)).strip()
    if not title:
        raise InvalidInput("the title is blank", code="blank_title", field="title")
    return title


def title_of(messages: Iterable[Mapping[str, Any]]) -> str:
    r"""Make a title of what a user said first.

    >>> title_of([{"role": "system", "content": "x"}, {"role": "user", "content": "Hi!\nYou?"}])
    'Hi!'
    """
    for message in messages:
        if message.get("role") == "user":
            lines = _UNSHOWN.sub("", _text_of(message.get("content")).strip().split("\n")[0])
            return lines[:AUTO_TITLE_LENGTH].strip() or UNTITLED
    return UNTITLED


def _text_of(content: object) -> str:
    """The first text of a message: its content, or the first part of it that is one."""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return next((text for text in texts if isinstance(text, str)), "")


def check_filters(filters: Mapping[str, Any]) -> SessionQuery:
    """Make a query of what a caller named.

    Raises:
        InvalidInput: ``invalid_filter`` for a name that no filter has, or as ``SessionQuery``.
    """
    try:
        return SessionQuery(**filters)
    except TypeError as exc:
        raise InvalidInput("no such filter", code="invalid_filter") from exc


def check_object(value: Mapping[str, Any] | None, field: str) -> dict[str, Any]:
    """Return a copy of a JSON object that the record can hold; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{field} must be an object", code="invalid_field", field=field)
    checked: dict[str, Any] = strict_json.loads(strict_json.dumps(value))
    return checked


def tokens_told(cost_data: Mapping[str, Any], name: str) -> int:
    """What a session's client says of its tokens, if that can be."""
    value = cost_data.get(name)
    return value if type(value) is int and 0 <= value <= TOTAL_MAX else 0


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge per top-level key; the new value wins, and None is a value.

    >>> merge({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}, "c": None})
    {'a': {'y': 2}, 'b': 1, 'c': None}
    """
    return {**old, **new}


def _check_flag(value: object, field: str, absent: object) -> None:
    if value is not absent and not isinstance(value, bool):
        raise InvalidInput(f"{field} must be true or false", code="invalid_field", field=field)
