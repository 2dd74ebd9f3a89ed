r"""The bulletin: which sessions changed, for those who wait. Only a hint.

    commit --announce--> subscribers of this process
                    \--> unpublished --take_payload--> NOTIFY --receive--> other processes

Truth is in the events table; whoever waits here also looks there from time to time, so an
announcement that is lost (a crash after a commit, a database that cannot notify) delays a
reader and never misleads one. Announcements travel apart from the commits they tell of:
PostgreSQL takes one lock for all transactions that notify, until they are on disk.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

CHANNEL = "hansard_sessions"
_PAYLOAD_NAMES_MAX = 200  # 17 characters each; PostgreSQL takes 8,000 bytes

Key = tuple[str, str]


class Bulletin:
    """Passes announcements of this process on to its subscribers and to other processes."""

    def __init__(self) -> None:
        self.has_peers = False
        self._lock = threading.Lock()
        self._subscribers: dict[str, set[Callable[[], None]]] = {}
        self._unpublished: set[str] = set()
        self._news = threading.Event()

    def subscribe(self, key: Key, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` whenever the session changes; return how to stop."""
        name = _name(key)
        with self._lock:
            self._subscribers.setdefault(name, set()).add(wake)

        def cancel() -> None:
            with self._lock:
                remaining = self._subscribers.get(name, set())
                remaining.discard(wake)
                if not remaining:
                    self._subscribers.pop(name, None)

        return cancel

    def announce(self, key: Key) -> None:
        """Tell everybody that a session changed."""
        if not (self.has_peers or self._subscribers):
            return
        name = _name(key)
        self._wake([name])
        if self.has_peers:
            with self._lock:
                self._unpublished.add(name)
            self._news.set()

    def close(self) -> None:
        """Wake whoever waits for announcements, for the last time."""
        self.has_peers = False
        self._news.set()

    def take_payload(self) -> str:
        """Wait for announcements and return them as one text; empty when closed."""
        self._news.wait()
        with self._lock:
            names = [
                self._unpublished.pop()
                for _ in range(min(len(self._unpublished), _PAYLOAD_NAMES_MAX))
            ]
            if self.has_peers and not self._unpublished:
                self._news.clear()
        return ",".join(names)

    def receive(self, payload: str) -> None:
        """Handle what a process published."""
        self._wake(payload.split(","))

    def _wake(self, names: list[str]) -> None:
        with self._lock:
            waiting = [wake for name in names for wake in self._subscribers.get(name, ())]
        for wake in waiting:
            wake()


def _name(key: Key) -> str:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=8).hexdigest()
