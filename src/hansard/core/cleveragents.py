"""The ancestor's session, as it stands in a record.

CleverAgents holds one session in two shapes, an export document and two tables; both are
read into this. What a record has no field for (namespace, linked plans, automation) is kept
in the session's metadata under ``KEY``, from where the export document takes it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hansard.core.errors import InvalidInput

KEY: Final = "cleveragents"
ROLES: Final = ("user", "assistant", "system", "tool")


def defaults() -> dict[str, Any]:
    """Values of the ancestor's own fields that say nothing, and are not kept."""
    return {"namespace": "local", "linked_plan_ids": []}


def message_body(
    role: object, content: object, metadata: object, others: Mapping[str, Any]
) -> dict[str, Any]:
    """Make a message object of the ancestor's fields; absent ones are left out.

    Raises:
        InvalidInput: If role, content or metadata cannot be the ancestor's.
    """
    if role not in ROLES:
        raise InvalidInput(f"role must be one of {', '.join(ROLES)}", code="invalid_role")
    if not isinstance(content, str):
        raise InvalidInput("content must be a string", code="invalid_messages")
    if not isinstance(metadata, (dict, type(None))):
        raise InvalidInput("metadata must be an object", code="invalid_messages")
    body = {"role": role, "content": content}
    body |= {name: value for name, value in others.items() if value is not None}
    return body | ({"metadata": metadata} if metadata else {})


def session_metadata(
    metadata: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Put the ancestor's own fields into the metadata; tell in words what gave way."""
    plain = defaults()
    kept = {
        name: value
        for name, value in own.items()
        if value is not None and not (name in plain and value == plain[name])
    }
    if not kept:
        return dict(metadata), ()
    losses = (f"metadata key {KEY!r} gave way to the source's own fields",)
    return {**metadata, KEY: kept}, losses if KEY in metadata else ()
