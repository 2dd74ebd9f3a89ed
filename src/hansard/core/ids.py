"""Identifiers: what callers may choose, and the time-sortable ones made here.

Ids made here are a prefix and a ULID (https://github.com/ulid/spec): 48 bits of
milliseconds, 80 random bits, in 26 characters of Crockford's base 32.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from hansard.core.errors import InvalidInput
from hansard.core.strict_json import exact

ID_MAX = 128

Clock = Callable[[], int]
"""Gives the present time in microseconds since 1970, UTC."""

EntropySource = Callable[[int], bytes]
"""Gives that many random bytes."""

RESERVED: Final = frozenset({"summary"})
"""Ids under which no session could be read over HTTP."""

_ID = re.compile(r"[A-Za-z0-9_\-:.]{1,128}")
_BURIED = re.compile(_ID.pattern + "~[0-9A-Z]{26}")
_STRICT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_OF_BYTE = (_CROCKFORD * 8).encode()  # the character of a byte's last five bits
_RANDOM_CHARACTERS = 16
_RANDOM = random.Random()  # noqa: S311 - ours alone: programs seed and rely on the common one
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RANDOM.seed)

NOISE: EntropySource = _RANDOM.randbytes
"""Random bytes for names, which are no secrets; it keeps the interpreter's lock."""


def check_id(value: object, noun: str) -> str:
    """Return ``value`` if it can name a ``noun``.

    Raises:
        InvalidInput: Unless it is 1-128 characters of ``A-Z a-z 0-9 _ - : .``.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidInput(
            f"{noun} must be 1 to {ID_MAX} characters of A-Z a-z 0-9 _ - : .",
            code="invalid_id",
            field=noun,
        )
    return exact(value)


def check_new_id(value: object) -> str:
    """Return ``value`` if a new session may have it: a route may have taken its name.

    Raises:
        InvalidInput: As ``check_id``, or if it is one of ``RESERVED``.
    """
    session_id = check_id(value, "session_id")
    if session_id in RESERVED:
        raise InvalidInput(
            f"no session may be called {session_id}", code="invalid_id", field="session_id"
        )
    return session_id


def check_ledger_name(value: object) -> str:
    """Return the session under which entries stand, by its id or as it is called since its end.

    ``~`` are the calls of no session, which the record keeps under the empty name.

    Raises:
        InvalidInput: As ``check_id``.
    """
    if value == "~":
        return ""
    if isinstance(value, str) and _BURIED.fullmatch(value):
        return exact(value)
    return check_id(value, "session_id")


def bury(session_id: str, now_us: int) -> str:
    """Make a name under which entries of a session stand that is not there."""
    return f"{session_id}~{make_ulid(now_us)}"


def is_session_id(name: str) -> bool:
    """Tell whether such a name is that of a session that may be there."""
    return bool(name) and "~" not in name


def check_strict_id(value: object, noun: str) -> str:
    """Return ``value`` if ``POST /v1/sessions`` accepts it: ``[A-Za-z0-9_-]{1,128}``."""
    if not isinstance(value, str) or not _STRICT_ID.fullmatch(value):
        raise InvalidInput(
            f"{noun} must be 1 to {ID_MAX} characters of A-Z a-z 0-9 _ -",
            code="invalid_id",
            field=noun,
        )
    return exact(value)


def make_ulid(now_us: int, entropy: EntropySource = os.urandom) -> str:
    """Make a ULID: 26 characters that sort by time.

    >>> make_ulid(1_700_000_000_000_000, bytes)
    '01HF7YAT000000000000000000'
    """
    return make_ulids(now_us, 1, entropy)[0]


def make_ulids(now_us: int, count: int, entropy: EntropySource = NOISE) -> list[str]:
    """Make several ULIDs of one moment: distinct, but by default no secrets."""
    time, step = _write_time(now_us // 1000), _RANDOM_CHARACTERS
    noise = entropy(step * count).translate(_OF_BYTE).decode()
    return [time + noise[start : start + step] for start in range(0, step * count, step)]


@lru_cache(maxsize=1)
def _write_time(milliseconds: int) -> str:
    return "".join([_CROCKFORD[(milliseconds >> shift) & 31] for shift in range(45, -1, -5)])
