"""Hansard: the official record of AI agents.

What was said, what was done, what it cost: sessions of messages, turns and usage, kept on
SQLite, on PostgreSQL, on a Hansard server, or nowhere, behind one face.

>>> import hansard
>>> record = hansard.open("sqlite://")
"""

from hansard.compose import open  # noqa: A004 - the face of the package
from hansard.core.actors import Actor
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
from hansard.core.messages import Message
from hansard.core.paging import Page
from hansard.core.sessions import Session, SessionQuery
from hansard.core.turns import Turn, TurnReceipt
from hansard.core.usage import NewUsage, SessionUsage, UsageTotals
from hansard.face import SessionService

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "Conflict",
    "Corrupt",
    "HansardError",
    "InvalidInput",
    "LimitReached",
    "Message",
    "NewUsage",
    "NotFound",
    "Page",
    "Session",
    "SessionQuery",
    "SessionService",
    "SessionUsage",
    "Turn",
    "TurnReceipt",
    "Unauthorized",
    "Unavailable",
    "UpstreamFailed",
    "UsageTotals",
    "open",
]
