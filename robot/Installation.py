"""Keywords that see Hansard as its users do: an installed wheel, a command, a server.

The wheel is built from the checkout and installed alone into an environment of its own,
which borrows its dependencies from the one that runs the tests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from robot.api.deco import keyword, library

CHECKOUT = Path(__file__).parents[1]
ANSWER_MAX_S = 30


@library(scope="SUITE", auto_keywords=False)
class Installation:
    """One environment with the wheel in it, and the server that runs from it."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._url = ""

    @keyword
    def install_the_wheel(self) -> str:
        """Build the wheel, install it into a fresh environment, and return its version."""
        self._folder = Path(tempfile.mkdtemp(prefix="hansard-wheel-"))
        self._venv = self._folder / "venv"
        isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
        _run(sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", self._folder, ".")
        (wheel,) = self._folder.glob("*.whl")
        _run(sys.executable, "-m", "venv", "--without-pip", self._venv)
        pip = [sys.executable, "-m", "pip", "--python", self._bin("python")]
        _run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        own = Path(_run(self._bin("python"), "-c", code).strip())
        (own / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        origin = _run(self._bin("python"), "-c", "import hansard; print(hansard.__file__)")
        assert Path(origin.strip()).is_relative_to(own), origin
        return str(json.loads(self.hansard("version", "--json"))["version"])

    @keyword
    def remove_the_installation(self) -> None:
        """Stop the server and delete every trace."""
        if self._server:
            self.kill_the_server()
        shutil.rmtree(self._folder)

    @keyword
    def start_the_server(self, name: str) -> str:
        """Serve the SQLite database of that name; return the service's URL."""
        command = [self._bin("hansard"), "serve", "--port", "0", "--database", self.database(name)]
        self._server = subprocess.Popen(
            list(map(str, command)), env=_environment(), stderr=subprocess.PIPE, text=True
        )
        assert self._server.stderr
        for line in self._server.stderr:
            event = json.loads(line)
            if event["event"] == "server.listening":
                self._url = event["url"]
                return self._url
        raise AssertionError("the server ended before it listened")

    @keyword
    def kill_the_server(self) -> None:
        """End the server as a crash does, without warning."""
        assert self._server
        self._server.kill()
        self._server.communicate()
        self._server = None

    @keyword
    def database(self, name: str) -> str:
        """The URL of a SQLite database that vanishes with the installation."""
        return f"sqlite:///{self.file(name + '.db')}"

    @keyword
    def file(self, name: str) -> str:
        """The path of a file that vanishes with the installation."""
        return str(self._folder / name)

    @keyword
    def hansard(self, *arguments: str, code: int = 0) -> str:
        """Run the command, expect its exit code, and return what it printed."""
        done = subprocess.run(
            [self._bin("hansard"), *map(str, arguments)],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stderr}"
        return done.stdout

    @keyword
    def hansard_json(self, *arguments: str) -> Any:
        """Run the command with ``--json`` and return what it says."""
        return json.loads(self.hansard(*arguments, "--json"))

    @keyword
    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a request, expect its status, and return the body of the answer."""
        answer = httpx.request(method, self._url + path, json=body, timeout=ANSWER_MAX_S)
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    @keyword
    def many_writers_append(self, session_id: str, writers: int, each: int) -> None:
        """Let writers send messages one after another, all writers at the same time."""

        def write(writer: int) -> None:
            with httpx.Client(base_url=self._url, timeout=ANSWER_MAX_S) as client:
                for number in range(each):
                    message = {"role": "user", "content": f"{writer} {number}"}
                    path = f"/v1/sessions/{session_id}/messages"
                    client.post(path, json={"messages": [message]}).raise_for_status()

        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, range(writers)))

    @keyword
    def order_should_be_kept(self, messages: list[dict[str, Any]], writers: int, each: int) -> None:
        """Every message has its own number, and each writer's stand in its order."""
        assert [row["seq"] for row in messages] == list(range(writers * each))
        for writer in range(writers):
            said = [row["message"]["content"].split() for row in messages]
            assert [int(n) for who, n in said if who == str(writer)] == list(range(each))

    @keyword
    def damage(self, source: str, target: str, old: str, new: str) -> None:
        """Copy a document with one word changed."""
        text = Path(source).read_text(encoding="utf-8")
        assert text.count(old) == 1
        Path(target).write_text(text.replace(old, new), encoding="utf-8")

    def _bin(self, name: str) -> Path:
        return self._venv / "bin" / name


def _run(*command: Any) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=CHECKOUT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment() -> Mapping[str, str]:
    """Ours, without what would let a program find the checkout or other settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HANSARD_", "PYTHON"))
    }
