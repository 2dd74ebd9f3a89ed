"""Messages: one JSON object each, kept as given, numbered without gaps from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from hansard.core import strict_json
from hansard.core.errors import InvalidInput
from hansard.core.ids import Clock, make_ulids

ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
MESSAGES_MAX = 1_000_000  # in one call; keeps a history countable and a body finite


class NewMessage(Struct, frozen=True):
    """A checked message, ready to be appended.

    Attributes:
        message_id: ULID with prefix ``msg_``.
        role: One of ``ROLES``; None if a whole-list save brought none that is known.
        text: The JSON object in the caller's order of keys.
        canonical: Its RFC 8785 form, which the digest chain hashes.
        created_at_us: When it was said, if that is known from elsewhere.
    """

    message_id: str
    role: str | None
    text: str
    canonical: bytes
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A recorded message.

    Attributes:
        seq: Position in its session, from 0, without gaps.
        turn_id: Turn that brought it; None if it was appended or saved outside a turn.
        body: The message object as the caller gave it.
        digest: Digest of the history up to and including this message, as hex.
    """

    seq: int
    message_id: str
    turn_id: str | None
    role: str | None
    body: dict[str, Any]
    created_at_us: int
    digest: str

    def stored(self) -> StoredMessage:
        """The message as its row holds it; the inverse of ``StoredMessage.parsed``."""
        return StoredMessage(
            seq=self.seq,
            message_id=self.message_id,
            turn_id=self.turn_id,
            role=self.role,
            text=strict_json.dumps(self.body),
            created_at_us=self.created_at_us,
            digest=bytes.fromhex(self.digest),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message as its row holds it; ``text`` goes out without being parsed."""

    seq: int
    message_id: str
    turn_id: str | None
    role: str | None
    text: str
    created_at_us: int
    digest: bytes

    def parsed(self) -> Message:
        """The message with its body as an object."""
        return Message(
            seq=self.seq,
            message_id=self.message_id,
            turn_id=self.turn_id,
            role=self.role,
            body=strict_json.loads(self.text),
            created_at_us=self.created_at_us,
            digest=self.digest.hex(),
        )


def text_of(content: Any) -> str:
    """Return the text of a message's content, be it one text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join([text for text in texts if isinstance(text, str)])


def check_messages(messages: Sequence[Mapping[str, Any]], clock: Clock) -> list[NewMessage]:
    """Check messages that must have a known role, and give them ids.

    Raises:
        InvalidInput: Naming the index of the first that is no object, has no known role, or
            holds what JSON in the record may not.
    """
    return _check(messages, clock, any_role=False)


def check_any_messages(messages: Sequence[Mapping[str, Any]], clock: Clock) -> list[NewMessage]:
    """Check messages of a whole-list save: any JSON objects, as existing clients send them."""
    return _check(messages, clock, any_role=True)


def _check(
    messages: Sequence[Mapping[str, Any]], clock: Clock, *, any_role: bool
) -> list[NewMessage]:
    if type(messages) is not list and (
        isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence)
    ):
        raise InvalidInput("messages must be a list of objects", code="invalid_messages")
    if len(messages) > MESSAGES_MAX:
        raise InvalidInput(f"more than {MESSAGES_MAX} messages", code="invalid_messages")
    now_us = clock()
    checked = []
    ulids = make_ulids(now_us, len(messages))
    for index, message in enumerate(messages):
        if type(message) is not dict and not isinstance(message, Mapping):
            raise InvalidInput(
                f"message {index} is not an object", code="invalid_messages", index=index
            )
        role = message.get("role")
        role = strict_json.exact(role) if isinstance(role, str) else None
        if role not in ROLES:
            if not any_role:
                raise InvalidInput(
                    f"message {index} has no role of {', '.join(sorted(ROLES))}",
                    code="invalid_role",
                    index=index,
                )
            role = None
        text, canonical = strict_json.write(message)
        checked.append(NewMessage("msg_" + ulids[index], role, text, canonical, now_us))
    return checked
