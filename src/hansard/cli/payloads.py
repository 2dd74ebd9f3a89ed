"""Payloads: what ``--json`` writes, in the shapes of the HTTP API.

One object on one line; a list is one object per line (NDJSON), so that it can be read while
it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from msgspec import to_builtins

from hansard.cli.texts import json_line
from hansard.core.budgets import Budget, BudgetState, Hold
from hansard.core.documents import ImportReport
from hansard.core.durability import Finding
from hansard.core.keys import ApiKey
from hansard.core.ledger import LedgerReport
from hansard.core.messages import Message
from hansard.core.money import format_usd
from hansard.core.paging import Page
from hansard.core.reports import UsageReport
from hansard.core.retention import Removal, RetentionRule
from hansard.core.sessions import PurgeReport, Session, Verification
from hansard.core.times import format_us
from hansard.core.usage import TOKEN_FIELDS, SessionUsage, UsageTotals
from hansard.formats.budgets import BudgetAnswer, HoldAnswer

Payload = dict[str, Any]


def write(payload: Payload) -> None:
    """Write one payload to standard output."""
    click.echo(json_line(payload))


def totals(value: UsageTotals) -> Payload:
    """Usage totals; the cost as a decimal string of US dollars."""
    return {
        "calls": value.calls,
        **{field: getattr(value, field) for field in TOKEN_FIELDS},
        "cost_usd": format_usd(value.cost_nanousd),
        "unpriced_calls": value.unpriced_calls,
    }


def summary(session: Session) -> Payload:
    """A session as a list shows it."""
    return {
        "session_id": session.id,
        "title": session.title,
        "agent": session.agent,
        "owner": session.owner,
        "model": session.model,
        "metadata": session.metadata,
        "archived": session.archived,
        "legal_hold": session.legal_hold,
        "parent_session_id": session.parent_session_id,
        "forked_at_seq": session.forked_at_seq,
        "message_count": session.message_count,
        "turn_count": session.turn_count,
        "version": session.version,
        "usage": totals(session.usage),
        "digest": session.digest,
        "created_at": format_us(session.created_at_us),
        "updated_at": format_us(session.updated_at_us),
    }


def whole(session: Session) -> Payload:
    """A session by itself."""
    return {
        **summary(session),
        "system_prompt": session.system_prompt,
        "cost_data": session.cost_data,
    }


def message(value: Message) -> Payload:
    """A row of a history."""
    return {
        "seq": value.seq,
        "message_id": value.message_id,
        "turn_id": value.turn_id,
        "role": value.role,
        "created_at": format_us(value.created_at_us),
        "digest": value.digest,
        "message": value.body,
    }


def usage(value: SessionUsage) -> Payload:
    """A session's totals, also by model."""
    return {
        "session_id": value.session_id,
        "turns": value.turns,
        "usage": totals(value.totals),
        "models": [
            {"provider": part.provider, "model": part.model, "usage": totals(part.totals)}
            for part in value.models
        ],
    }


def report(value: UsageReport) -> Payload:
    """What was used, by some things."""
    query = value.query
    return {
        "tenant": value.tenant_id,
        "since": _time(query.since_us),
        "until": _time(query.until_us),
        "group_by": list(query.group_by),
        "totals": totals(value.totals),
        "buckets": [
            {"key": value.named(bucket), "usage": totals(bucket.totals)} for bucket in value.buckets
        ],
    }


def verification(session_id: str, value: Verification) -> Payload:
    """The outcome of recomputing a digest chain."""
    return {
        "session_id": session_id,
        "ok": value.ok,
        "messages": value.messages,
        "digest": value.digest,
        "first_bad_seq": value.first_bad_seq,
    }


def ledger(value: LedgerReport) -> Payload:
    """The outcome of recomputing the ledger's totals."""
    return {
        "ok": value.ok,
        "tenant": value.tenant_id,
        "entries": value.entries,
        "windows": value.windows,
        "drifts": [
            {
                "what": drift.what,
                "subject": drift.subject,
                "excess": drift.excess if isinstance(drift.excess, int) else totals(drift.excess),
            }
            for drift in value.drifts
        ],
    }


def import_report(source: str, value: ImportReport) -> Payload:
    """What an import kept, and from where."""
    return {
        "source": source,
        "format": value.format,
        "dry_run": value.dry_run,
        "sessions": [
            {
                "source_session_id": line.source_session_id,
                "session_id": line.session_id,
                "created": line.created,
                "messages": line.messages,
                "turns": line.turns,
                "usage_entries": line.usage_entries,
            }
            for line in value.sessions
        ],
        "id_map": value.id_map,
        "losses": list(value.losses),
    }


def purge(value: PurgeReport) -> Payload:
    """What a purge removed."""
    return {"sessions": value.sessions, "messages": value.messages, "dry_run": value.dry_run}


def retention(
    tenant: str, rules: Sequence[RetentionRule], legal_hold_since_us: int | None
) -> Payload:
    """The rules that a tenant goes by."""
    return {
        "tenant": tenant,
        "legal_hold_since": _time(legal_hold_since_us),
        "rules": [retention_rule(rule) for rule in rules],
    }


def retention_rule(value: RetentionRule) -> Payload:
    """How long what is of a kind stays; no days are for ever."""
    return {"kind": value.kind, "keep_days": value.keep_days, "set_for": value.scope}


def removal(value: Removal, *, dry_run: bool) -> Payload:
    """How much of a kind went because of its age, or would go."""
    return {
        "tenant": value.tenant_id,
        "kind": value.kind,
        "keep_days": value.keep_days,
        "before": format_us(value.before_us),
        "count": value.count,
        "dry_run": dry_run,
    }


def api_key(value: ApiKey) -> Payload:
    """An API key without its secret."""
    return {
        "key_id": value.key_id,
        "tenant": value.tenant_id,
        "owner": value.owner,
        "scopes": list(value.scopes),
        "created_at": format_us(value.created_at_us),
        "expires_at": _time(value.expires_at_us),
        "revoked_at": _time(value.revoked_at_us),
    }


def budget(value: Budget, states: Page[BudgetState]) -> Payload:
    """A budget, and what is left of it now, by subject."""
    return dict(to_builtins(BudgetAnswer.of(value, states)))


def hold(value: Hold) -> Payload:
    """What a call may cost at most, and what became of it."""
    return dict(to_builtins(HoldAnswer.of(value)))


def finding(value: Finding) -> Payload:
    """One thing that durability rests on."""
    return {"name": value.name, "severity": value.severity, "detail": value.detail}


def _time(value_us: int | None) -> str | None:
    return None if value_us is None else format_us(value_us)
