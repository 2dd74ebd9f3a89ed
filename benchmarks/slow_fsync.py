"""Build the shim that makes a flush to disk cost one millisecond; see ``slow_fsync.c``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def build(folder: Path) -> Path | None:
    """Compile the shim into ``folder``; None where there is no C compiler.

    The folder must be readable for the account that a PostgreSQL server runs as.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "slow_fsync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
    library.chmod(0o755)
    return library
