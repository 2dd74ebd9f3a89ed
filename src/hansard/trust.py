"""Trust: the certificates that connections to others go by."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """Give the context of every client; reading the certificates takes longer than a call."""
    return httpx.create_ssl_context()
