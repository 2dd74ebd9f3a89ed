"""Who calls: an ``Authorization`` header in, an actor out.

    none  everybody is the actor ``default``, who sees all
    key   ``Bearer`` and an API key of ours
    oidc  ``Bearer`` and a token of the issuer, or an API key; see ``hansard.server.oidc``

Which credentials are wrong, and why, is told only as far as it does not help to guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from hansard.core.actors import Actor
from hansard.core.errors import Unauthorized, Unavailable
from hansard.service.keys import KeyService, actor_of

TOKEN_BYTES_MAX = 8_192
_SCHEME = b"bearer "


class Authenticator(Protocol):
    """Tells who calls."""

    async def actor(self, authorization: bytes | None) -> Actor:
        """Return the caller, by the value of the ``Authorization`` header.

        Raises:
            Unauthorized: If it is missing or not good enough.
        """
        ...


class Nobody:
    """Lets nobody in: the server has not started yet."""

    async def actor(self, authorization: bytes | None) -> Actor:
        raise Unavailable("the server has not started yet", code="starting")


def check_single(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse credentials that are given twice: a proxy may have looked at the other ones.

    Raises:
        Unauthorized: If they are.
    """
    if sum(name == b"authorization" for name, _ in headers) > 1:
        raise Unauthorized("credentials are given twice")


_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def check_local(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what a web page of elsewhere makes a browser on this machine send.

    Without credentials the machine is the boundary. A page can point its own name at it (the
    Host is then foreign) or send plain forms to it (the Origin is then foreign).

    Raises:
        Unauthorized: ``forbidden``.
    """
    for name, prefix in ((b"host", "//"), (b"origin", "")):
        given = headers.get(name)
        if given is not None and _host_of(prefix + given.decode("latin-1")) not in _LOCAL:
            raise Unauthorized(
                f"without credentials, {name.decode()} must be this machine", code="forbidden"
            )


@lru_cache(maxsize=64)  # the same few in every request
def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class Everybody:
    """Lets everybody in, as one actor."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    async def actor(self, authorization: bytes | None) -> Actor:
        return self._actor


class KeyHolders:
    """Lets the holders of API keys in."""

    def __init__(self, keys: KeyService) -> None:
        self._keys = keys

    async def actor(self, authorization: bytes | None) -> Actor:
        return await self.holder(read_bearer(authorization))

    async def holder(self, token: str) -> Actor:
        """Return the actor that a key stands for."""
        return actor_of(await self._keys.authenticate(token))


def read_bearer(authorization: bytes | None) -> str:
    """Take the token out of an ``Authorization`` header (RFC 6750).

    Raises:
        Unauthorized: If there is none, or it is too long.
    """
    if authorization is None:
        raise Unauthorized("credentials are needed")
    if len(authorization) > TOKEN_BYTES_MAX:
        raise Unauthorized(f"the token is longer than {TOKEN_BYTES_MAX} bytes")
    if not authorization[: len(_SCHEME)].lower() == _SCHEME or not authorization.isascii():
        raise Unauthorized("credentials must be a bearer token")
    return authorization[len(_SCHEME) :].decode().strip()
