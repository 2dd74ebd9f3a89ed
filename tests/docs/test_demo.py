"""The demonstration runs, on a few conversations, and everything in it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from examples.demo import invented
from tests.docs.pages import ROOT


def test_demonstration_holds(tmp_path: Path) -> None:
    data = tmp_path / "few.jsonl"
    histories = invented.histories()[:8]
    data.write_text("".join(json.dumps({"messages": each}) + "\n" for each in histories))
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=tmp_path,
        env={**os.environ, "HANSARD_DEMO_DATA": str(data), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 conversations" in done.stdout
