"""LiteLLM's proxy in front of an upstream, as its documentation says, without a database.

It fixes the versions of two dozen packages, so it has an environment of its own:
``python -m venv DIR && DIR/bin/pip install "litellm[proxy]"``; BENCH_LITELLM names
``DIR/bin/litellm`` if that is not on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import Server, free_port, running
from benchmarks.turns import MODEL

VARIABLE = "BENCH_LITELLM"
KEY = "sk-benchmark-of-nothing-secret"


def find() -> str | None:
    """The program; None where it is not installed."""
    return shutil.which(os.environ.get(VARIABLE, "litellm"))


def version(program: str) -> str:
    """Which one it is."""
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return told.stdout.rpartition("=")[2].strip()


@contextmanager
def serve(program: str, upstream: Server, folder: Path) -> Iterator[Server]:
    """Run the proxy with one worker."""
    model = {"model": f"openai/{MODEL}", "api_base": f"{upstream.url}/v1", "api_key": "none"}
    config = folder / "config.yaml"  # of which JSON is a part
    config.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": MODEL, "litellm_params": model}],
                "general_settings": {"master_key": KEY},
            }
        ),
        encoding="utf-8",
    )
    port = free_port()
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with running(
        [*command, "--telemetry", "False"], port, path="/health/liveliness", environment=environment
    ) as server:
        yield server
