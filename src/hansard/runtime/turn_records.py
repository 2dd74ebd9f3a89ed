"""Turn records: how a turn ended, ready for the record, also after a detour over a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.messages import ROLES
from hansard.core.shapes import described
from hansard.core.usage import ENTRIES_MAX, NewUsage

VERSION: Final = 1  # of the form in which they lie in files
_AROUND_MESSAGE = 2  # levels above what the record holds: the turn, its list of messages


@described
class TurnRecord(Struct, frozen=True, kw_only=True):
    """One ended turn.

    Attributes:
        actor: On whose behalf.
        session_id: None for a turn of no session: its usage counts for the tenant.
        creates: Make the session; False where it was there when the turn began.
        messages: What is new in the session, the answer included.
        sent: Where the history could not be read: all that the client sent, of which only a
            part may be new. ``messages`` is then the answer alone.
        way: What the client says that it sends, see ``core.history``.
        usage: Its model calls, as far as they are known.
        holds: Those of their holds that are settled by this.
        unmade: Holds of calls that were certainly not made.
        unknown: Holds of calls of which nobody knows whether they were billed.
        at_us: When it began.
        model: That the client asked for.
    """

    actor: Actor
    session_id: str | None
    creates: bool = True
    turn_id: str
    status: str
    at_us: int
    messages: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] | None = None
    way: str = "auto"
    usage: list[NewUsage] = []
    holds: list[str] = []
    unmade: list[str] = []
    unknown: list[str] = []
    agent: str | None = None
    model: str | None = None
    version: int = VERSION

    @property
    def key(self) -> tuple[str, str] | None:
        """The session whose order it keeps."""
        return None if self.session_id is None else (self.actor.tenant_id, self.session_id)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record, as when no call was let through."""
        return not (self.has_words or self.usage or self.holds or self.unmade or self.unknown)

    @property
    def has_words(self) -> bool:
        """Whether something was said."""
        return bool(self.messages or self.sent)

    def words(self) -> TurnRecord:
        """What was said, without what it cost."""
        return replace(self, usage=[], holds=[], unmade=[], unknown=[])

    def costs(self) -> Iterator[TurnRecord]:
        """What it cost, without what was said: turns of no session."""
        bare = replace(self, session_id=None, messages=[], sent=None, model=None)
        yield replace(bare, usage=[], holds=[])
        for start in range(0, len(self.usage), ENTRIES_MAX):
            usage = self.usage[start : start + ENTRIES_MAX]
            holds = [call.event_id for call in usage]
            yield replace(bare, usage=usage, holds=holds, unmade=[], unknown=[])


def write_record(record: TurnRecord) -> bytes:
    """Write a turn as JSON.

    Raises:
        InvalidInput: If a message is not what the record can hold.
    """
    depth_max = strict_json.DEPTH_MAX + _AROUND_MESSAGE
    return strict_json.dumps(msgspec.to_builtins(record), depth_max=depth_max).encode()


def read_record(data: bytes) -> TurnRecord:
    """Read a turn that ``write_record`` wrote.

    Raises:
        Corrupt: If it is none, or one of a newer version.
    """
    depth_max = strict_json.DEPTH_MAX + _AROUND_MESSAGE
    try:
        record = msgspec.convert(strict_json.loads(data, depth_max=depth_max), TurnRecord)
    except (InvalidInput, msgspec.ValidationError) as exc:
        raise Corrupt("a spooled turn cannot be read", code="bad_spool_file") from exc
    if record.version != VERSION:
        raise Corrupt("a spooled turn is of another version", code="bad_spool_file")
    return record


def recordable(message: dict[str, Any]) -> dict[str, Any]:
    """Return a model's message as the record can hold it.

    Fields that say nothing are left out. What no text of the record may hold (NUL, half a
    surrogate pair) becomes U+FFFD, and what is no message at all becomes the text of one: an
    answer that was paid for is recorded all the same.
    """
    said = {key: value for key, value in message.items() if value is not None and value != []}
    if not (isinstance(said.get("role"), str) and said["role"] in ROLES):
        said["role"] = "assistant"
    if _is_recordable(said):
        return said
    cleaned: dict[str, Any] = clean(said)
    if _is_recordable(cleaned):
        return cleaned
    return {"role": "assistant", "content": clean(repr(message))}


def clean_text(text: str) -> str:
    """A text as the record can hold it."""
    if text.isascii() and "\0" not in text:
        return text
    cleaned: str = clean(text)
    return cleaned


def _is_recordable(message: dict[str, Any]) -> bool:
    try:
        strict_json.write(message)
    except InvalidInput:
        return False
    return True


def clean(value: Any) -> Any:
    """A value whose texts are as the record can hold them."""
    match value:
        case str():
            whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return whole.replace("\0", "\ufffd")
        case dict():
            return {clean(key): clean(item) for key, item in value.items()}
        case list():
            return [clean(item) for item in value]
        case _:
            return value
