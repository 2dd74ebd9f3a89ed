"""Wire: the JSON of the HTTP API, read into the shapes of core.

Fields that are not known here are skipped, since a newer server may send more. An answer
without the fields that are needed is no answer of a Hansard server: ``UpstreamFailed``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import convert

from hansard.core.budgets import Budget, BudgetState, Hold
from hansard.core.documents import ImportedSession, ImportReport
from hansard.core.errors import (
    Conflict,
    Corrupt,
    HansardError,
    InvalidInput,
    LimitReached,
    NotFound,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from hansard.core.events import Event
from hansard.core.messages import Message
from hansard.core.money import SUM_MAX_NANOUSD, parse_usd
from hansard.core.paging import Page
from hansard.core.reports import Bucket, ReportQuery, UsageReport
from hansard.core.sessions import SaveReceipt, Session, UpdateReceipt, Verification
from hansard.core.times import parse_us
from hansard.core.turns import AppendReceipt, Turn, TurnReceipt
from hansard.core.usage import TOKEN_FIELDS, ModelUsage, SessionUsage, UsageTotals
from hansard.formats.budgets import BudgetAnswer, BudgetList, HoldPage

T = TypeVar("T")
Json = Mapping[str, Any]

_BY_STATUS: Final[Mapping[int, type[HansardError]]] = {
    400: InvalidInput,
    401: Unauthorized,
    402: LimitReached,
    403: Unauthorized,
    404: NotFound,
    405: InvalidInput,
    408: InvalidInput,
    409: Conflict,
    412: Conflict,
    413: LimitReached,
    415: InvalidInput,
    422: InvalidInput,
    429: LimitReached,
    500: Corrupt,
    502: UpstreamFailed,
    503: Unavailable,
}
CORRUPT_CODES: Final = frozenset(
    {"checksum_mismatch", "damaged_gzip", "digest_mismatch", "truncated"}
)
"""Codes of a damaged document, which the server answers with 422 as the sender's fault."""

_GATEWAY_STATUSES: Final = frozenset({502, 503, 504})
_DETAIL_LENGTH_MAX = 200  # of a foreign answer, in a message


def read(body: bytes, reader: Callable[[Json], T]) -> T:
    """Read an answer.

    Raises:
        UpstreamFailed: With code ``bad_answer``, if it has another shape.
    """
    try:
        return reader(json.loads(body))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as exc:
        raise UpstreamFailed(
            f"not the answer of a Hansard server: {exc!r}"[:_DETAIL_LENGTH_MAX], code="bad_answer"
        ) from exc


def read_error(status: int, body: bytes) -> HansardError:
    """Make the error that the server raised, as it was raised there."""
    try:
        error = json.loads(body)["error"]
        code, message, details = error["code"], error["message"], error["details"]
        failure = _class(status, code)(message, code=code, **details)
    except (KeyError, TypeError, ValueError):
        kind = Unavailable if status in _GATEWAY_STATUSES else UpstreamFailed
        return kind(f"answered {status}, and not as a Hansard server does", status=status)
    return failure


def _class(status: int, code: str) -> type[HansardError]:
    if code == HansardError.default_code:
        return HansardError
    return Corrupt if code in CORRUPT_CODES else _BY_STATUS[status]


def read_totals(value: Json) -> UsageTotals:
    """Read usage totals."""
    return UsageTotals(
        calls=value["calls"],
        cost_nanousd=parse_usd(value["cost_usd"], most_nanousd=SUM_MAX_NANOUSD),
        **{field: value[field] for field in TOKEN_FIELDS},
        unpriced_calls=value.get("unpriced_calls", 0),
    )


def read_report(value: Json, query: ReportQuery) -> UsageReport:
    """Read the answer to a query for a usage report."""
    buckets = tuple(
        Bucket(tuple(item["key"][group] for group in query.group_by), read_totals(item["usage"]))
        for item in value["buckets"]
    )
    return UsageReport(
        tenant_id=value["tenant"],
        query=query,
        totals=read_totals(value["totals"]),
        buckets=buckets,
    )


def read_session(value: Json) -> Session:
    """Read a session; a list leaves out its system prompt and its ``cost_data``."""
    return Session(
        id=value["session_id"],
        owner=value["owner"],
        agent=value["agent"],
        title=value["title"],
        model=value["model"],
        system_prompt=value.get("system_prompt"),
        metadata=value.get("own_metadata", value["metadata"]),
        cost_data=value.get("cost_data") or {},
        archived=value["archived"],
        legal_hold=value.get("legal_hold", False),
        parent_session_id=value["parent_session_id"],
        forked_at_seq=value["forked_at_seq"],
        message_count=value["message_count"],
        turn_count=value["turn_count"],
        version=value["version"],
        usage=read_totals(value["usage"]),
        digest=value["digest"],
        created_at_us=parse_us(value["created_at"]),
        updated_at_us=parse_us(value["updated_at"]),
    )


def read_update_receipt(value: Json) -> UpdateReceipt:
    """Read the answer to an update."""
    return UpdateReceipt(session=read_session(value), changes=tuple(value["changes"]))


def read_message(value: Json) -> Message:
    """Read a row of a history."""
    return Message(
        seq=value["seq"],
        message_id=value["message_id"],
        turn_id=value["turn_id"],
        role=value["role"],
        body=value["message"],
        created_at_us=parse_us(value["created_at"]),
        digest=value["digest"],
    )


def read_turn(value: Json) -> Turn:
    """Read a row of a session's turns."""
    return Turn(
        turn_id=value["turn_id"],
        status=value["status"],
        first_seq=value["first_seq"],
        last_seq=value["last_seq"],
        version=value["version"],
        usage=read_totals(value["usage"]),
        created_at_us=parse_us(value["created_at"]),
    )


def read_page(key: str, reader: Callable[[Json], T]) -> Callable[[Json], Page[T]]:
    """Make the reader of a page whose rows stand under ``key``."""

    def read_rows(value: Json) -> Page[T]:
        return Page(tuple(reader(row) for row in value[key]), value["next_cursor"])

    return read_rows


def read_turn_receipt(value: Json, *, replayed: bool) -> TurnReceipt:
    """Read the answer to a turn; whether it was replayed stands in a header."""
    return TurnReceipt(
        turn_id=value["turn_id"],
        first_seq=value["first_seq"],
        last_seq=value["last_seq"],
        version=value["version"],
        usage=read_totals(value["usage"]),
        replayed=replayed,
    )


def read_append_receipt(value: Json) -> AppendReceipt:
    """Read the answer to appended messages."""
    return AppendReceipt(
        first_seq=value["first_seq"], last_seq=value["last_seq"], version=value["version"]
    )


def read_save_receipt(value: Json) -> SaveReceipt:
    """Read the answer to a saved history."""
    return SaveReceipt(
        version=value["version"],
        message_count=value["message_count"],
        appended=value["appended"],
        replaced=value["replaced"],
    )


def read_session_usage(value: Json) -> SessionUsage:
    """Read a session's totals, also by model."""
    return SessionUsage(
        session_id=value["session_id"],
        turns=value["turns"],
        totals=read_totals(value["usage"]),
        models=tuple(
            ModelUsage(
                provider=part["provider"], model=part["model"], totals=read_totals(part["usage"])
            )
            for part in value["models"]
        ),
    )


def read_verification(value: Json) -> Verification:
    """Read the outcome of a check."""
    return Verification(
        ok=value["ok"],
        messages=value["messages"],
        digest=value["digest"],
        first_bad_seq=value.get("first_bad_seq"),
    )


def read_import_report(value: Json) -> ImportReport:
    """Read what an import kept."""
    return ImportReport(
        format=value["format"],
        dry_run=value["dry_run"],
        sessions=tuple(
            ImportedSession(
                source_session_id=line["source_session_id"],
                session_id=line["session_id"],
                created=line["created"],
                messages=line["messages"],
                turns=line["turns"],
                usage_entries=line["usage_entries"],
            )
            for line in value["sessions"]
        ),
        losses=tuple(value["losses"]),
    )


def read_budget(value: Json) -> tuple[Budget, Page[BudgetState]]:
    """Read a budget and what is left of it."""
    return convert(value, BudgetAnswer).parsed()


def read_budgets(value: Json) -> Sequence[tuple[Budget, Page[BudgetState]]]:
    """Read a list of budgets."""
    return [budget.parsed() for budget in convert(value, BudgetList).budgets]


def read_holds(value: Json) -> Page[Hold]:
    """Read a page of holds."""
    page = convert(value, HoldPage)
    return Page(tuple(hold.parsed() for hold in page.holds), page.next_cursor)


def read_event(value: Json) -> Event:
    """Read the data of one event."""
    return Event(
        number=value["number"],
        kind=value["kind"],
        turn_id=value["turn_id"],
        first_seq=value["first_seq"],
        last_seq=value["last_seq"],
        message_count=value["message_count"],
        created_at_us=parse_us(value["created_at"]),
    )
