"""Usage reports: what was used in a stretch of time, by up to two things at once.

A report is made of sums by the hour, so its bounds are full hours; days and months are those
of UTC. A session that was deleted is told as ``<session_id>~<ULID>``, since another may have
its name by now; usage outside of any session has no session.

Whoever may record may make up names. Where they are too many, the least of them are summed up
as ``other``, each at all times or at none: what is told by its name is told whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress
from typing import Any, Final

from hansard.core.errors import InvalidInput, LimitReached
from hansard.core.ids import check_id
from hansard.core.names import OTHER
from hansard.core.strict_json import check_text
from hansard.core.times import check_us, format_us
from hansard.core.usage import MODEL_LENGTH_MAX, NO_USAGE, UsageTotals, add_totals

TIMES: Final = ("hour", "day", "month")
NAMES: Final = ("model", "provider", "agent", "owner", "session")
GROUPS: Final = (*TIMES, *NAMES, "tenant")
SKU: Final = "sku"
"""A group for bills: provider and model in one, ``openai/gpt-4o``."""
GROUPS_MAX: Final = 2
BUCKETS_MAX: Final = 10_000  # of one report
NAMES_MIN: Final = 100  # beside ``other``; with room for fewer, it is the time that is too long

HOUR_US: Final = 3_600_000_000
Key = tuple[str | None, ...]
"""What a bucket is about, in the order of the groups; None for what has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportQuery:
    """What to report on; every part given must hold.

    Attributes:
        since_us: A full hour; None for the beginning.
        until_us: A full hour, exclusive; None for the end.
        group_by: One or two of ``GROUPS``.
    """

    since_us: int | None = None
    until_us: int | None = None
    group_by: tuple[str, ...] = ("day",)
    provider: str | None = None
    model: str | None = None
    agent: str | None = None
    owner: str | None = None
    session_id: str | None = None

    @property
    def by_session(self) -> bool:
        """Whether sessions have to be told apart."""
        return "session" in self.group_by or self.session_id is not None


@dataclass(frozen=True, slots=True)
class Bucket:
    """One line of a report."""

    key: Key
    totals: UsageTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What a tenant used; the buckets, sorted by their keys, sum to the totals."""

    tenant_id: str
    query: ReportQuery
    totals: UsageTotals
    buckets: tuple[Bucket, ...]

    def named(self, bucket: Bucket) -> dict[str, str | None]:
        """A bucket's key by the names of its groups."""
        return dict(zip(self.query.group_by, bucket.key, strict=True))


def check_report(
    *,
    since_us: int | None = None,
    until_us: int | None = None,
    group_by: Sequence[str] = ("day",),
    **filters: str | None,
) -> ReportQuery:
    """Check what to report on; bounds within an hour are widened to full hours.

    Raises:
        InvalidInput: ``invalid_report`` or ``invalid_time``.
    """
    groups = tuple(group_by)
    if not 1 <= len(groups) <= GROUPS_MAX or len(set(groups)) < len(groups):
        raise _invalid("group_by", f"must name one or {GROUPS_MAX} different groups")
    if unknown := set(groups) - {*GROUPS, SKU}:
        raise _invalid("group_by", f"{min(unknown)!r} is not one of {', '.join(GROUPS)}")
    if len(set(groups) & set(TIMES)) > 1:
        raise _invalid("group_by", "takes one of hour, day and month at most")
    if since_us is not None:
        since_us = check_us(since_us, "since") // HOUR_US * HOUR_US
    if until_us is not None:
        until_us = -(-check_us(until_us, "until") // HOUR_US) * HOUR_US
    if since_us is not None and until_us is not None and since_us > until_us:
        raise _invalid("since", "is after until")
    return ReportQuery(
        since_us=since_us, until_us=until_us, group_by=groups, **_check_filters(filters)
    )


def make_report(
    query: ReportQuery, tenant_id: str, rows: Iterable[tuple[Sequence[Any], UsageTotals]]
) -> UsageReport:
    """Make a report of sums, each with the values of its groups as they are stored.

    Raises:
        LimitReached: ``too_many_buckets``.
    """
    sums: dict[Key, UsageTotals] = {}
    for values, part in rows:
        key = tuple(
            tenant_id if group == "tenant" else _write(group, value)
            for group, value in zip(query.group_by, values, strict=False)
        )
        add_totals(sums, key, part)
    if len(sums) > BUCKETS_MAX:
        sums = _sum_up_least(query, sums)
    buckets = [Bucket(key, sums[key]) for key in sorted(sums, key=_order)]
    totals = UsageTotals._make(map(sum, zip(NO_USAGE, *sums.values(), strict=True)))
    return UsageReport(tenant_id=tenant_id, query=query, totals=totals, buckets=tuple(buckets))


def too_many_buckets() -> LimitReached:
    """The error for a report that nobody could read."""
    return LimitReached(
        f"the report has more than {BUCKETS_MAX} buckets; ask for less time or coarser groups",
        code="too_many_buckets",
        limit=BUCKETS_MAX,
    )


def _sum_up_least(query: ReportQuery, sums: Mapping[Key, UsageTotals]) -> dict[Key, UsageTotals]:
    """Tell the dearest names, and of those that cost the same the largest, while there is room.

    Raises:
        LimitReached: ``too_many_buckets``, if that is for too few.
    """
    is_name = [group in {*NAMES, SKU} for group in query.group_by]
    others: dict[Key, Key] = {}
    by_name: dict[Key, list[Key]] = {}
    for key in sums:
        parts = zip(key, is_name, strict=True)
        others[key] = tuple(OTHER if named else part for part, named in parts)
        by_name.setdefault(tuple(compress(key, is_name)), []).append(key)

    def weigh(keys: list[Key]) -> tuple[int, int]:
        found = [sums[key] for key in keys]
        tokens = sum(totals.input_tokens + totals.output_tokens for totals in found)
        return sum(totals.cost_nanousd for totals in found), tokens

    room, told = BUCKETS_MAX - len(set(others.values())), 0
    folded: dict[Key, UsageTotals] = {}
    for keys in sorted(by_name.values(), key=weigh, reverse=True):
        room -= len(keys)
        told += room >= 0
        for key in keys:
            add_totals(folded, key if room >= 0 else others[key], sums[key])
    if told < NAMES_MIN:
        raise too_many_buckets()
    return folded


def _check_filters(filters: Mapping[str, str | None]) -> dict[str, str]:
    given = {name: value for name, value in filters.items() if value is not None}
    if unknown := given.keys() - {"provider", "model", "agent", "owner", "session_id"}:
        raise _invalid(min(unknown), "is not a filter")
    if "session_id" in given:
        check_id(given["session_id"], "session_id")
    return {
        name: check_text(value, name, length_max=MODEL_LENGTH_MAX) for name, value in given.items()
    }


def _write(group: str, value: Any) -> str | None:
    return _write_time(group, int(value)) if group in TIMES else value or None


@lru_cache(maxsize=4_096)
def _write_time(group: str, start_us: int) -> str:
    if group == "hour":
        return format_us(start_us)
    day = datetime.fromtimestamp(start_us // 1_000_000, UTC).date().isoformat()
    return day if group == "day" else day[: len("2026-01")]


def _order(key: Key) -> tuple[tuple[bool, str], ...]:
    """What has no name stands last."""
    return tuple((value is None, value or "") for value in key)


def _invalid(field: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{field} {reason}", code="invalid_report", field=field)
