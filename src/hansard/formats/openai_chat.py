"""The format ``openai-chat``: conversations as lists of OpenAI chat messages.

    {"messages": [...], ...}    one to a line; or one object, a list of such, a list of messages

Written is one line with the messages alone, as for fine-tuning. The shape has no ids, times
or usage; what stands beside ``messages`` in a file becomes the session's metadata.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from hansard.core.documents import Document, DocumentMessage, DocumentSession
from hansard.core.errors import InvalidInput
from hansard.core.messages import check_messages
from hansard.core.sessions import check_object
from hansard.core.strict_json import DEPTH_MAX, canonicalize, dumps, loads
from hansard.formats.files import Source

NAME: Final = "openai-chat"
_AROUND_MESSAGE = 3  # list of conversations, conversation, list of messages


def write(document: Document, exported_at_us: int) -> Iterator[bytes]:
    """Write the messages as one line; nothing else of the session."""
    yield b'{"messages":['
    for index, message in enumerate(document.messages):
        yield (b"," if index else b"") + dumps(message.body).encode()
    yield b"]}\n"


def read(source: Source) -> Iterator[Document]:
    """Check every conversation of the file, then read them one by one.

    A conversation that occurs twice in a file is two documents; the same file again has the
    same keys.

    Raises:
        InvalidInput: Naming the conversation, from 1, that cannot be read.
    """
    number = 0
    for number, conversation in enumerate(_conversations(source), start=1):
        _check(conversation, number)
    if not number:
        raise InvalidInput("no conversation in it", code="invalid_document")
    seen: Counter[str] = Counter()
    for conversation in _conversations(source):
        key = hashlib.sha256(canonicalize(conversation)).hexdigest()
        seen[key] += 1
        yield _document(conversation, f"sha256:{key}:{seen[key]}")


def _conversations(source: Source) -> Iterator[Any]:
    """Give the conversations, unchecked, as the file's first line says they lie there."""
    source.seek(0)
    if _is_lines(source.read_line()):
        source.seek(0)
        while line := source.read_line():
            if line.strip():
                yield loads(line, depth_max=DEPTH_MAX + _AROUND_MESSAGE)
        return
    value = loads(source.read_all(), depth_max=DEPTH_MAX + _AROUND_MESSAGE)
    if not isinstance(value, list):
        yield value
    elif any(isinstance(item, dict) and "messages" in item for item in value):
        yield from value
    elif value:
        yield {"messages": value}


def _is_lines(first: bytes) -> bool:
    """Tell whether the first line is an object by itself."""
    if not first.lstrip().startswith(b"{"):
        return False
    try:
        loads(first, depth_max=DEPTH_MAX + _AROUND_MESSAGE)
    except InvalidInput:
        return False
    return True


def _check(conversation: object, number: int) -> None:
    try:
        if not isinstance(conversation, dict) or "messages" not in conversation:
            raise InvalidInput("not an object with messages", code="invalid_document")
        check_messages(conversation["messages"], _no_clock)
        check_object(_others(conversation), "metadata")
    except InvalidInput as exc:
        raise InvalidInput(
            f"conversation {number}: {exc.message}", code=exc.code, **exc.details
        ) from exc


def _no_clock() -> int:
    return 0


def _others(conversation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conversation.items() if name != "messages"}


def _document(conversation: dict[str, Any], key: str) -> Document:
    return Document(
        session=DocumentSession(session_id=None, metadata=_others(conversation)),
        messages=[DocumentMessage(body=body) for body in conversation["messages"]],
        source_format=NAME,
        source_key=key,
    )
