"""Bodies and query parameters: what a caller may send, as shapes.

Only types are checked here; what a value may be, ``core`` decides, so that every face
refuses the same things with the same words. A body of our own refuses fields that it does
not know (``forbid_unknown_fields``); the three that existing clients send let them pass.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from hansard.core.ids import ID_MAX
from hansard.core.messages import ROLES
from hansard.core.money import parse_usd
from hansard.core.paging import LIMIT_MAX
from hansard.core.peeks import ENTRIES_MAX
from hansard.core.sessions import SORTS
from hansard.core.shapes import Time
from hansard.core.turns import STATUSES
from hansard.core.usage import CONFIDENCES
from hansard.formats.registry import FORMATS

_ID_PATTERN = rf"^[A-Za-z0-9_\-:.]{{1,{ID_MAX}}}$"
_STRICT_ID_PATTERN = rf"^[A-Za-z0-9_-]{{1,{ID_MAX}}}$"
_USD_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"

Id = Annotated[str, Meta(extra_json_schema={"pattern": _ID_PATTERN})]
NewSessionId = Annotated[str, Meta(extra_json_schema={"pattern": _STRICT_ID_PATTERN})]
AnyMessage = Annotated[dict[str, Any], Meta(description="Any JSON object; kept as given.")]
RoleMessage = Annotated[
    dict[str, Any],
    Meta(
        description="A JSON object with a role; kept as given.",
        extra_json_schema={
            "required": ["role"],
            "properties": {"role": {"type": "string", "enum": sorted(ROLES)}},
        },
    ),
]
Count = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 10**12})]
Index = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 2**53 - 1})]
Limit = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LIMIT_MAX})]
Status = Annotated[str, Meta(extra_json_schema={"enum": sorted(STATUSES)})]


class CreateBody(Struct):
    """A session to be made; all of it may be absent.

    With ``thread_id`` it is made of what the record holds of that thread, and only ``title`` is
    heeded beside it.
    """

    session_id: NewSessionId | None = None
    thread_id: Id | None = None
    title: str | None = None
    agent: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    metadata: dict[str, Any] | None = None
    cost_data: dict[str, Any] | None = None
    messages: list[RoleMessage] = []


class SaveBody(Struct):
    """A whole history."""

    messages: list[AnyMessage] = []


class UpdateBody(Struct):
    """Changes to a session; what is absent stays as it is.

    ``cost_data`` is merged per top-level key, ``metadata`` is replaced. The scope
    ``retention:write`` opens ``legal_hold``.
    """

    cost_data: dict[str, Any] | None = None
    title: str | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET
    legal_hold: bool | UnsetType = UNSET


class AppendBody(Struct, forbid_unknown_fields=True):
    """Messages that belong to no turn."""

    messages: list[RoleMessage]
    expected_seq: Index | None = None


class UsageBody(Struct, forbid_unknown_fields=True):
    """One model call; the parts (cached, written to cache, reasoning) lie within the wholes."""

    event_id: Id | None = None
    provider: str = ""
    model: str = ""
    input_tokens: Count = 0
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_tokens: Count = 0
    cost_usd: Annotated[str, Meta(extra_json_schema={"pattern": _USD_PATTERN})] | None = None
    model_asked: str = ""
    service_tier: str = ""
    cache_write_1h_tokens: Count = 0
    input_audio_tokens: Count = 0
    cached_audio_tokens: Count = 0
    output_audio_tokens: Count = 0
    web_searches: Count = 0
    confidence: Annotated[str, Meta(extra_json_schema={"enum": list(CONFIDENCES)})] = ""
    raw: str | None = None

    def given(self) -> dict[str, Any]:
        """The entry as ``core.usage.check_usage`` takes it."""
        names = UsageBody.__struct_fields__
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        cost_usd = given.pop("cost_usd", None)
        return given if cost_usd is None else given | {"cost_nanousd": parse_usd(cost_usd)}


class UsageEntryBody(UsageBody, forbid_unknown_fields=True, kw_only=True):
    """One model call, counted outside a turn, once per ``event_id``; maybe as a correction."""

    event_id: Id
    corrects: Id | None = None


class TurnBody(Struct, forbid_unknown_fields=True):
    """One exchange, recorded whole and once."""

    turn_id: Id | None = None
    messages: list[RoleMessage] = []
    usage: list[UsageBody] = []
    status: Status = "completed"
    expected_seq: Index | None = None


class ForkBody(Struct, forbid_unknown_fields=True):
    """How many messages a fork takes over; all, if that is not said."""

    from_message_index: Index | None = None


class RevertBody(Struct, forbid_unknown_fields=True):
    """How many messages stay."""

    to_message_index: Index


class NoQuery(Struct, frozen=True):
    """No parameters."""


class SessionsQuery(Struct, frozen=True):
    """Which sessions to list; bounds of time are inclusive below, exclusive above."""

    limit: Limit = 50
    cursor: str | None = None
    agent: str | None = None
    owner: str | None = None
    search: str | None = None
    archived: bool | None = None
    sort: Annotated[str, Meta(extra_json_schema={"enum": sorted(SORTS)})] = "-created_at"
    created_after: Time | None = None
    created_before: Time | None = None
    updated_after: Time | None = None


class ViewQuery(Struct, frozen=True):
    """How much of the history to give.

    ``all``, ``none``, or a window: the last messages (``tail:N``), turns (``turns:N``), or as
    many whole messages as fit into so many tokens (``tokens:N``; estimated, a quarter of the
    bytes of their JSON). No window holds a tool's result without its call.
    """

    messages: Annotated[
        str,
        Meta(extra_json_schema={"pattern": r"^(all|none|(tail|turns|tokens):[1-9][0-9]{0,6})$"}),
    ] = "all"


class SessionViewQuery(ViewQuery, frozen=True):
    """The same, or with ``peek`` the last ``entries`` things said, short and masked."""

    peek: bool = False
    entries: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": ENTRIES_MAX})] = (
        ENTRIES_MAX
    )


class MessagesQuery(Struct, frozen=True):
    """Which messages to list; ``after`` and ``before`` are exclusive."""

    after: Index | None = None
    before: Index | None = None
    limit: Limit = 100
    order: Annotated[str, Meta(extra_json_schema={"enum": ["asc", "desc"]})] = "asc"


class PageQuery(Struct, frozen=True):
    """One page of a list."""

    limit: Limit = 100
    cursor: str | None = None


class TurnQuery(Struct, frozen=True):
    """Whether an unknown session is made on the way."""

    create: bool = False


class ExportQuery(Struct, frozen=True):
    """In which format."""

    format: Annotated[
        str, Meta(extra_json_schema={"enum": [n for n, f in FORMATS.items() if f.can_write]})
    ] = "native"


class ImportQuery(Struct, frozen=True):
    """In which format; with ``dry_run`` everything is checked and nothing kept."""

    format: Annotated[
        str, Meta(extra_json_schema={"enum": [n for n, f in FORMATS.items() if f.can_read]})
    ] = "native"
    dry_run: bool = False


class EventsQuery(Struct, frozen=True):
    """After which event to begin; a ``Last-Event-ID`` header counts more."""

    since: Index = 0
