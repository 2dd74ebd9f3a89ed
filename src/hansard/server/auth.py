"""Who calls: an ``Authorization`` header in, an actor out.

    none  everybody is the actor ``default``, who sees all
    key   ``Bearer`` and an API key of ours
    oidc  ``Bearer`` and a token of the issuer, or an API key; see ``hansard.server.oidc``

Which credentials are wrong, and why, is told only as far as it does not help to guess.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import urlsplit

from hansard.core.actors import Actor
from hansard.core.errors import Unauthorized, Unavailable
from hansard.core.ids import Clock
from hansard.core.keys import ApiKey
from hansard.core.latest import Latest
from hansard.runtime.patience import Patience
from hansard.service.keys import KeyService, actor_of

TOKEN_BYTES_MAX = 8_192
SEEN_KEYS_MAX: Final = 10_000
SEEN_KEYS_US: Final = 15 * 60 * 1_000_000  # that a key counts while the database is away
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


class SeenKeys:
    """Keys that were good a short while ago, the latest of them; by digests of their texts.

    Args:
        clock: The present time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: Latest[bytes, tuple[ApiKey, int]] = Latest(SEEN_KEYS_MAX)

    def note(self, text: str, key: ApiKey) -> None:
        """Remember a key that is good now."""
        self._seen.put(_digest(text), (key, self._clock()))

    def find(self, text: str) -> ApiKey | None:
        """Return a key that was good within ``SEEN_KEYS_US``, and has not expired since."""
        key, seen_at_us = self._seen.get(_digest(text), (None, 0))
        now_us = self._clock()
        is_good = key is not None and key.is_valid(now_us) and now_us - seen_at_us < SEEN_KEYS_US
        return key if is_good else None

    def forget(self, text: str) -> None:
        """Forget a key, if it was seen."""
        self._seen.pop(_digest(text), None)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class KeyHolders:
    """Lets the holders of API keys in.

    The database is asked each time. While it does not answer, a key counts that was good a
    short while ago: what is asked for may be had without it.

    Args:
        keys: The keys of the database.
        patience: How long to wait for it.
        clock: The present time.
    """

    def __init__(self, keys: KeyService, patience: Patience, clock: Clock) -> None:
        self._keys = keys
        self._patience = patience
        self._seen = SeenKeys(clock)

    async def actor(self, authorization: bytes | None) -> Actor:
        return await self.holder(read_bearer(authorization))

    async def holder(self, token: str) -> Actor:
        """Return the actor that a key stands for.

        Raises:
            Unauthorized: If it is no good key.
            Unavailable: If nobody can say.
        """
        try:
            key = await self._patience.look(lambda: self._keys.authenticate(token))
        except Unauthorized:
            self._seen.forget(token)
            raise
        except Unavailable:
            seen = self._seen.find(token)
            if seen is None:
                raise
            return actor_of(seen)
        self._seen.note(token, key)
        return actor_of(key)


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
