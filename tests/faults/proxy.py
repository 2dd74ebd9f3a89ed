"""A wire that can be cut: passes bytes between PostgreSQL's socket and one of its own.

It knows nothing of the protocol; a test tells it what to cut by looking at the bytes.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from psycopg.conninfo import conninfo_to_dict

SOCKET = ".s.PGSQL.5432"
CHUNK = 65_536

Judge = Callable[[bytes], bool]


def passes(_data: bytes) -> bool:
    """Cut nothing."""
    return False


class Proxy:
    """Stands between a database and those who are given ``url``.

    Attributes:
        cuts_request: Judges what clients say; what it condemns is not passed on, and both ends
            are cut off.
        cuts_answer: Judges what the server says, in the same way.
        abandons_server: Judges what clients say; what it condemns is not passed on, its client
            is cut off, and the server is left waiting as if that machine had lost its power.
        silent: Nothing is passed on any more, and nobody is cut off.
        refusing: Who connects is cut off.
        cuts: How many connections were cut.
    """

    def __init__(self, url: str) -> None:
        server = Path(str(conninfo_to_dict(url)["host"]))
        self._upstream = str(server / SOCKET)
        self._folder = Path(tempfile.mkdtemp(prefix="wire-", dir="/tmp"))
        self.url = url.replace(str(server), str(self._folder))
        self.cuts_request: Judge = passes
        self.cuts_answer: Judge = passes
        self.abandons_server: Judge = passes
        self.silent = False
        self.refusing = False
        self.cuts = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener.bind(str(self._folder / SOCKET))
        self._listener.listen(64)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self.hang_up()
        for thread in self._threads:
            thread.join()
        for end in [self._listener, *self._open]:
            end.close()
        shutil.rmtree(self._folder)

    def hang_up(self) -> None:
        """End all connections."""
        for end in list(self._open):
            _end(end)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was ended
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._open |= {client, server}
                try:
                    assert not self.refusing
                    server.connect(self._upstream)
                except (AssertionError, OSError):
                    _end(client)
                    continue
                self._start(self._pass_requests, client, server)
                self._start(self._pass_answers, server, client)

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := _receive(client):
            abandoned = self.abandons_server(data)
            if abandoned or self.cuts_request(data):
                self.cuts += 1
                _end(client)
                if abandoned:
                    return
                break
            self._send(server, data)
        _end(server)

    def _pass_answers(self, server: socket.socket, client: socket.socket) -> None:
        while data := _receive(server):
            if self.cuts_answer(data):
                self.cuts += 1
                break
            self._send(client, data)
        _end(server)
        _end(client)

    def _send(self, end: socket.socket, data: bytes) -> None:
        if not self.silent:
            with suppress(OSError):
                end.sendall(data)


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(CHUNK)
    except OSError:
        return b""


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
