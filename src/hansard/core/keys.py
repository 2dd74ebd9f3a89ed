"""API keys: what one looks like, and how it is kept.

    hansard.<tenant>.<key id>.<secret>

The tenant is part of the key, so that it is looked up as every other row is: within its
tenant. The secret is 32 random bytes; only its HMAC is kept, under a pepper that lives
outside the database if the operator sets one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from hansard.core.errors import Unauthorized
from hansard.core.ids import EntropySource

PREFIX = "hansard"
SECRET_BYTES = 32
KEY_LENGTH_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret; times in microseconds, None for never."""

    tenant_id: str
    key_id: str
    owner: str
    scopes: tuple[str, ...]
    secret_hash: bytes
    created_at_us: int
    expires_at_us: int | None
    revoked_at_us: int | None

    def is_valid(self, now_us: int) -> bool:
        """Tell whether the key still opens anything."""
        unexpired = self.expires_at_us is None or now_us < self.expires_at_us
        return unexpired and self.revoked_at_us is None


def make_secret(entropy: EntropySource) -> str:
    """Make the secret part of a key: 43 characters."""
    return base64.urlsafe_b64encode(entropy(SECRET_BYTES)).decode().rstrip("=")


def write_key(tenant_id: str, key_id: str, secret: str) -> str:
    """Write a key as its holder sees it."""
    return f"{PREFIX}.{tenant_id}.{key_id}.{secret}"


def read_key(text: str) -> tuple[str, str, str]:
    """Split a key into tenant, key id and secret.

    Raises:
        Unauthorized: If it does not look like a key.
    """
    match text.rsplit(".", 2) if len(text) <= KEY_LENGTH_MAX else []:
        case [start, key_id, secret] if start.startswith(f"{PREFIX}."):
            return start.removeprefix(f"{PREFIX}."), key_id, secret
    raise Unauthorized("not a valid API key")


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)
