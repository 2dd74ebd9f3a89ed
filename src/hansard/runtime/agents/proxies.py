"""The proxy on the way to an upstream, as ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` say.

Looked up once: aiohttp's own way reads a file and the environment, in threads, for each request.
"""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass


class Proxy(NamedTuple):
    """Where it is, without the credentials that its URL may hold, and the headers for it."""

    url: str | None = None
    headers: dict[str, str] | None = None


def find_proxy(url: str) -> Proxy:
    """Return the proxy for ``url``; an empty one if there is none."""
    target = urlsplit(url)
    named = getproxies().get(target.scheme)
    if not named or proxy_bypass(target.netloc):
        return Proxy()
    parts = urlsplit(named if "://" in named else f"http://{named}")
    credentials, at, place = parts.netloc.rpartition("@")
    bare = parts._replace(netloc=place).geturl()
    if not at:
        return Proxy(bare)
    token = b64encode(unquote(credentials).encode()).decode()
    return Proxy(bare, {"proxy-authorization": f"Basic {token}"})
