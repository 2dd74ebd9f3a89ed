"""Bodies and queries: checked values, written as the HTTP API takes them.

Messages were written as JSON when they were checked; they are joined here, not written
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import msgspec

from hansard.core.budgets import Budget
from hansard.core.messages import NewMessage
from hansard.core.money import format_usd
from hansard.core.reports import ReportQuery
from hansard.core.sessions import NewSession, SessionChanges, SessionQuery
from hansard.core.strict_json import dumps
from hansard.core.times import format_us
from hansard.core.turns import NewTurn
from hansard.core.usage import PART_FIELDS, TOKEN_FIELDS, NewUsage
from hansard.formats.budgets import BudgetBody

_RARE: Final = (*PART_FIELDS, "model_asked", "service_tier", "confidence", "raw")


def write_session(new: NewSession) -> bytes:
    """Write a session to be made."""
    names = ("agent", "title", "model", "system_prompt")
    plain = {name: dumps(getattr(new, name)) for name in names}
    return _object(
        {
            "session_id": dumps(new.id),
            **plain,
            "metadata": new.metadata,
            "cost_data": new.cost_data,
            "messages": _array(new.messages),
        }
    )


def write_changes(changes: SessionChanges) -> bytes:
    """Write what is to change of a session."""
    return _object({name: dumps(getattr(changes, name)) for name in changes.names()})


def write_turn(turn: NewTurn) -> bytes:
    """Write a turn."""
    return _object(
        {
            "turn_id": dumps(turn.turn_id),
            "status": dumps(turn.status),
            "messages": _array(turn.messages),
            "usage": dumps([_usage(charged.usage) for charged in turn.usage]),
            "expected_seq": dumps(turn.expected_seq),
        }
    )


def write_append(new: NewTurn) -> bytes:
    """Write messages to be appended outside a turn."""
    return _object({"messages": _array(new.messages), "expected_seq": dumps(new.expected_seq)})


def write_history(messages: Sequence[NewMessage]) -> bytes:
    """Write a whole history."""
    return _object({"messages": _array(messages)})


def write_usage(entry: NewUsage, corrects: str | None) -> bytes:
    """Write one model call, and the one that it corrects."""
    return dumps(_usage(entry) | ({} if corrects is None else {"corrects": corrects})).encode()


def write_budget(budget: Budget) -> bytes:
    """Write a budget to be made or changed."""
    return msgspec.json.encode(BudgetBody.of(budget))


def write_resolution(usage: NewUsage | None) -> bytes:
    """Write what a call used, or that it is written off."""
    return dumps({"written_off": True} if usage is None else {"usage": _usage(usage)}).encode()


def write_index(name: str, index: int | None) -> bytes:
    """Write a position in a history."""
    return _object({name: dumps(index)})


def list_query(query: SessionQuery) -> dict[str, str]:
    """Write which sessions are asked for."""
    given = {field.name.removesuffix("_us"): getattr(query, field.name) for field in fields(query)}
    for name in ("created_after", "created_before", "updated_after"):
        if given[name] is not None:
            given[name] = format_us(given[name])
    return write_query(given)


def write_query(given: Mapping[str, str | int | None]) -> dict[str, str]:
    """Write what is given of a query; truth is ``true``, as in JSON."""
    return {
        name: value if isinstance(value, str) else dumps(value)
        for name, value in given.items()
        if value is not None
    }


def report_query(query: ReportQuery) -> dict[str, str]:
    """Write what to report on."""
    since_us, until_us = query.since_us, query.until_us
    return write_query(
        {
            "since": None if since_us is None else format_us(since_us),
            "until": None if until_us is None else format_us(until_us),
            "group_by": ",".join(query.group_by),
            "provider": query.provider,
            "model": query.model,
            "agent": query.agent,
            "owner": query.owner,
            "session_id": query.session_id,
        }
    )


def if_match(version: int | None) -> dict[str, str]:
    """Write the demand that a session is still at a version."""
    return {} if version is None else {"If-Match": f'"{version}"'}


def _usage(entry: NewUsage) -> dict[str, Any]:
    """Write a call; what it says nothing of is left out, as an older server knows less."""
    cost = entry.cost_nanousd
    given = {field: getattr(entry, field) for field in _RARE if getattr(entry, field)}
    return {
        "event_id": entry.event_id,
        "provider": entry.provider,
        "model": entry.model,
        **{field: getattr(entry, field) for field in TOKEN_FIELDS},
        **({} if cost is None else {"cost_usd": format_usd(cost)}),
        **given,
    }


def _array(messages: Sequence[NewMessage]) -> str:
    return f"[{','.join(message.text for message in messages)}]"


def _object(members: Mapping[str, str]) -> bytes:
    written = ",".join(f'"{name}":{text}' for name, text in members.items())
    return f"{{{written}}}".encode()
