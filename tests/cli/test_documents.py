"""``hansard export`` and ``import``: files appear whole or not at all, and count once."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hansard.cli.documents import DATABASES
from hansard.store.foreign import SOURCES
from tests.cli.conftest import Shell
from tests.foreign import ForeignDatabase
from tests.places import Place
from tests.samples import user


def test_export_writes_the_document_alone(shell: Shell) -> None:
    document = json.loads(shell("export", "second").stdout)
    assert document["session"]["session_id"] == "second"
    assert len(document["messages"]) == 2


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("native", "a.json"),
        ("native", "a.json.gz"),
        ("native-stream", "a.jsonl"),
        ("native-stream", "a.jsonl.gz"),
        ("cleveragents-1.0", "a.json"),
        ("openai-chat", "a.jsonl"),
    ],
)
def test_export_comes_back_into_a_fresh_session(
    shell: Shell, tmp_path: Path, format: str, name: str
) -> None:
    path = tmp_path / name
    assert shell("export", "second", "-o", str(path), "--format", format).stdout == ""
    report = shell("import", str(path), "--json").json()
    (made,) = report["sessions"]
    assert (report["format"], made["created"], made["messages"]) == (format, True, 2)
    shown = shell("show", made["session_id"], "--json").json()
    assert [row["message"]["content"] for row in shown["messages"]] == ["hi", "ho\nhum"]


def test_same_file_counts_once(shell: Shell, tmp_path: Path) -> None:
    shell("export", "second", "-o", "a.json")
    made = shell("import", "a.json", "--json").json()["sessions"][0]
    again = shell("import", "a.json", "--json").json()["sessions"][0]
    assert (again["session_id"], again["created"]) == (made["session_id"], False)
    assert len(shell("list", "--json").lines()) == 3


def test_dry_run_keeps_nothing(shell: Shell, place: Place) -> None:
    shell("export", "second", "-o", "a.json")
    before = place.dump()
    report = shell("import", "a.json", "--dry-run", "--json").json()
    assert report["dry_run"]
    assert place.dump() == before
    assert "would be made" in shell("import", "a.json", "--dry-run").stdout


def test_report_is_readable(local: Shell) -> None:
    local("export", "first", "-o", "a.json")
    head, line = local("import", "a.json").stdout.splitlines()
    assert head.split() == ["from", "session", "state", "messages", "turns", "usage", "entries"]
    assert line.split()[0] == "first"
    assert line.split()[2:] == ["made", "1", "0", "0"]
    assert "was there" in local("import", "a.json").stdout


def test_what_could_not_be_kept_is_told(local: Shell, tmp_path: Path) -> None:
    local("export", local("fork", "first").stdout.strip(), "-o", "child.json")
    fresh = Shell(f"sqlite:///{tmp_path / 'fresh.db'}")
    told = fresh("import", "child.json").stderr
    assert told.startswith("child.json: not kept: parent first of ")


def test_several_files_give_a_report_each(local: Shell) -> None:
    local("export", "first", "-o", "a.json")
    local("export", "second", "-o", "b.json")
    reports = local("import", "a.json", "b.json", "--json").lines()
    assert [report["source"] for report in reports] == ["a.json", "b.json"]


def test_standard_input_is_read(local: Shell) -> None:
    document = local("export", "first").stdout
    report = local("import", "-", "--json", given=document).json()
    assert (report["source"], report["format"]) == ("-", "native")


def test_import_makes_the_record(local: Shell, tmp_path: Path) -> None:
    local("export", "first", "-o", "a.json")
    fresh = Shell(f"sqlite:///{tmp_path / 'fresh.db'}")
    assert fresh("import", "a.json", "--json").json()["sessions"][0]["created"]


def test_damaged_document_is_an_integrity_error(shell: Shell, place: Place) -> None:
    path = Path("a.json")
    path.write_bytes(shell("export", "second").stdout.replace("hum", "ham").encode())
    before = place.dump()
    outcome = shell("import", "a.json", "--json", code=6)
    assert json.loads(outcome.stderr)["error"]["code"] == "checksum_mismatch"
    assert outcome.stdout == ""
    assert place.dump() == before


def test_truncated_archive_is_an_integrity_error(local: Shell) -> None:
    local("export", "second", "-o", "a.json.gz")
    path = Path("a.json.gz")
    path.write_bytes(path.read_bytes()[:-9])
    local("import", "a.json.gz", code=6)


def test_unknown_shape_has_to_be_named(local: Shell) -> None:
    Path("a.txt").write_text("hello")
    assert "say which with --from" in local("import", "a.txt", code=2).stderr


def test_missing_file_is_named(local: Shell) -> None:
    assert "no file absent.json" in local("import", "absent.json", code=2).stderr


def test_database_through_a_server_is_refused(place: Place, shell: Shell) -> None:
    if place.kind == "http":
        url = "sqlite:///old.db"
        assert "invalid_source" in shell("import", "--from", "cleveragents-db", url, code=2).stderr


@pytest.mark.parametrize(
    ("engine", "as_url"), [("sqlite", False), ("sqlite", True), ("postgres", True)]
)
def test_database_of_another_system_is_brought_in_with_its_ids(
    engine: str, as_url: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(request.getfixturevalue(f"{engine}_url"))
    other = ForeignDatabase(url)
    other.run(
        "CREATE TABLE sessions (session_id TEXT PRIMARY KEY, messages TEXT NOT NULL,"
        " created_at TEXT NOT NULL, updated_at TEXT NOT NULL, cost_data TEXT)"
    )
    other.insert(
        "sessions",
        session_id="old-1",
        messages=[user("hi")],
        created_at="2026-04-01T12:00:00+00:00",
        updated_at="2026-04-01T13:00:00+00:00",
        cost_data={"input_tokens": 5},
    )
    shell = Shell(f"sqlite:///{tmp_path / 'new.db'}")
    source = url if as_url else url.removeprefix("sqlite:///")
    report = shell("import", "--from", "fipsagents-db", source, "--json").json()
    assert report["id_map"] == {"old-1": "old-1"}
    shown = shell("show", "old-1", "--json").json()
    assert shown["created_at"] == "2026-04-01T12:00:00.000000Z"
    assert shown["cost_data"] == {"input_tokens": 5}


def test_databases_are_those_that_can_be_read() -> None:
    assert set(DATABASES) == set(SOURCES)


def test_file_is_private(local: Shell) -> None:
    local("export", "first", "-o", "a.json")
    assert Path("a.json").stat().st_mode & 0o777 == 0o600


def test_compressed_export_is_the_same_each_time(local: Shell) -> None:
    for name in ("a.gz", "b.gz"):
        local("export", "first", "-o", name, "--format", "openai-chat")
    assert b"earlier" in gzip.decompress(Path("a.gz").read_bytes())
    assert Path("a.gz").read_bytes() == Path("b.gz").read_bytes()


def test_existing_file_is_replaced_only_if_told(local: Shell) -> None:
    path = Path("a.json")
    path.write_text("precious")
    assert "give --force" in local("export", "first", "-o", "a.json", code=2).stderr
    assert path.read_text() == "precious"
    local("export", "first", "-o", "a.json", "--force")
    assert json.loads(path.read_text())["session"]["session_id"] == "first"


def test_failed_export_leaves_everything_as_it_was(local: Shell, tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.json"
    path.parent.mkdir()
    path.write_text("precious")
    local("export", "none", "-o", str(path), "--force", code=3)
    assert path.read_text() == "precious"
    assert list(path.parent.iterdir()) == [path]


def test_device_is_never_replaced(local: Shell) -> None:
    assert "is not a file" in local("export", "first", "-o", "/dev/null", "--force", code=2).stderr


def test_full_disk_is_an_error_and_no_traceback(local: Shell) -> None:
    command = f"{sys.executable} -m hansard.cli export first --database {local.url} > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: [Errno 28]")
    assert "Traceback" not in done.stderr


def test_file_that_cannot_be_read_is_an_error(local: Shell) -> None:
    outcome = local("import", "/proc/self/mem", "--json", code=1)
    assert json.loads(outcome.stderr)["error"]["code"] == "system_error"


def test_folder_that_is_not_there_is_named(local: Shell) -> None:
    assert (
        "absent cannot be written to" in local("export", "first", "-o", "absent/a", code=2).stderr
    )
