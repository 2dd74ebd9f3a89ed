"""Findings: what the durability of a record rests on, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: Stable name, such as ``synchronous``.
        severity: ``error`` if an acknowledged write may be lost, ``warning`` if that depends.
        detail: What was found and what to do, in words.
    """

    name: str
    severity: Severity
    detail: str
