"""The relay: announcements from process to process, by LISTEN and NOTIFY of PostgreSQL.

Two threads, each with a connection of its own: one hears, one speaks. What is lost here (a
connection, a restart of the server) is found by whoever looks, see ``bulletin``.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from hansard.store.bulletin import CHANNEL, Bulletin

AGAIN_S = 0.5  # how long a thread that lost its connection waits for another
GATHER_S = 0.01  # how long announcements are gathered before they are published

Connect = Callable[[], psycopg.Connection[Any]]


def relay(connect: Connect, bulletin: Bulletin) -> Callable[[float], None]:
    """Pass announcements on in both directions; return how to stop until a deadline."""
    bulletin.has_peers = True
    started = [_start(target, connect, bulletin) for target in (_listen, _publish)]

    def stop(deadline: float) -> None:
        for ours, _ in started:
            ours.close()  # which makes the other end readable
        bulletin.close()
        for _, thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))

    return stop


def _start(
    target: Callable[[Connect, Bulletin, socket.socket], None], connect: Connect, bulletin: Bulletin
) -> tuple[socket.socket, threading.Thread]:
    ours, theirs = socket.socketpair()

    def run() -> None:
        with theirs:
            target(connect, bulletin, theirs)

    thread = threading.Thread(target=run, name="hansard-relay", daemon=True)
    thread.start()
    return ours, thread


def _listen(connect: Connect, bulletin: Bulletin, stopped: socket.socket) -> None:
    pause_s = 0.0
    while not _readable(stopped, timeout_s=pause_s):
        try:
            with connect() as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                while not _readable(stopped, [connection]):
                    for notice in connection.notifies(timeout=0):
                        bulletin.receive(notice.payload)
                return
        except psycopg.Error:
            pause_s = AGAIN_S


def _readable(
    stopped: socket.socket,
    others: Sequence[psycopg.Connection[Any]] = (),
    timeout_s: float | None = None,
) -> bool:
    """Wait until one of them has something to say, and tell whether it is ``stopped``."""
    with selectors.DefaultSelector() as waiting:  # select() knows no file beyond the 1,024th
        waiting.register(stopped, selectors.EVENT_READ)
        for other in others:
            waiting.register(other, selectors.EVENT_READ)
        return any(key.fileobj is stopped for key, _ in waiting.select(timeout_s))


def _publish(connect: Connect, bulletin: Bulletin, stopped: socket.socket) -> None:
    payload = bulletin.take_payload()
    while payload:
        try:
            with connect() as connection:
                while payload:
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
                    _readable(stopped, timeout_s=GATHER_S)
                    payload = bulletin.take_payload()
        except psycopg.Error:
            if _readable(stopped, timeout_s=AGAIN_S):
                return
            payload = bulletin.take_payload()
