"""The digest chain that makes a session's history tamper-evident.

    digest[-1] = 32 zero bytes
    digest[n]  = SHA-256(digest[n - 1] || canonical form of message n)

So the digest of message n names the whole history up to n: two sessions share a prefix
exactly if they share its last digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

GENESIS = bytes(32)


def advance(previous: bytes, canonical: bytes) -> bytes:
    """Return the digest of a history that ``previous`` names, and one more message."""
    return hashlib.sha256(previous + canonical).digest()


def chain(previous: bytes, canonicals: Iterable[bytes]) -> list[bytes]:
    """Return the digest after each of the messages."""
    digests = []
    for canonical in canonicals:
        previous = hashlib.sha256(previous + canonical).digest()
        digests.append(previous)
    return digests
