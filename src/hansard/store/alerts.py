"""Alerts in SQL: found when they are due, claimed, told or put off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hansard.core.alerts import Alert
from hansard.store.budgets import budget_of
from hansard.store.database import Row, Tx


def list_due(tx: Tx, now_us: int, *, limit: int) -> list[Alert]:
    """Return alerts of all tenants that are to be told, the oldest first."""
    return [_alert(row) for row in tx.rows("alert_list_due", now_us=now_us, limit=limit)]


def claim(tx: Tx, alert: Alert, until_us: int) -> Alert | None:
    """Make an alert one's own until a time; None if another was faster."""
    rows = tx.rows("alert_claim", until_us=until_us, attempts=alert.attempts, **_key(alert))
    return replace(alert, attempts=rows[0][0]) if rows else None


def finish(tx: Tx, alert: Alert, *, delivered_at_us: int | None) -> None:
    """Say that an alert was told, or (None) that nobody will try any more."""
    tx.run("alert_finish", delivered_at_us=delivered_at_us, **_key(alert))


def put_off(tx: Tx, alert: Alert, due_at_us: int) -> None:
    """Say when to tell an alert again."""
    tx.run("alert_put_off", due_at_us=due_at_us, **_key(alert))


def _key(alert: Alert) -> dict[str, Any]:
    return {
        "tenant_id": alert.budget.tenant_id,
        "budget_id": alert.budget.budget_id,
        "subject": alert.subject,
        "start_us": alert.start_us,
        "percent": alert.percent,
        "limit_amount": alert.limit_amount,
    }


def _alert(row: Row) -> Alert:
    return Alert(
        subject=row[0],
        start_us=row[1],
        percent=row[2],
        used=row[3],
        limit_amount=row[4],
        created_at_us=row[5],
        attempts=row[6],
        budget=budget_of(row[7:]),
    )
