"""The rows of a turn by ``pgbench -M prepared``: one statement, one commit each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from benchmarks.children import Sample
from benchmarks.turns import COST_NANOUSD, DIGEST, MESSAGES, PRICE_VERSION, RECEIPT
from hansard.core import strict_json

THREADS = 2


class Pgbench:
    """So many clients of a record's database, on so many sessions; writes into ``folder``."""

    def __init__(
        self, program: Path, url: str, *, clients: int, sessions: int, folder: Path
    ) -> None:
        template = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
        user, assistant = (_quote(strict_json.dumps(message)) for message in MESSAGES)
        script = folder / f"{sessions}-sessions.sql"
        script.write_text(
            template.format(
                sessions=sessions,
                digest=f"'\\x{DIGEST.hex()}'::bytea",
                user=user,
                assistant=assistant,
                receipt=_quote(RECEIPT),
                cost=COST_NANOUSD,
                price_version=_quote(PRICE_VERSION),
            ),
            encoding="utf-8",
        )
        how = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(THREADS)]
        self._command = [str(program), *how, "-f", str(script), "-d", url]

    def measure(self, amount: float) -> Sample:
        """Append for so many (whole) seconds."""
        time_limit = ["-T", str(max(1, round(amount)))]
        told = subprocess.run(
            [*self._command, *time_limit], check=True, capture_output=True, text=True
        ).stdout
        rate = re.search(r"tps = ([\d.]+)", told)
        count = re.search(r"actually processed: (\d+)", told)
        assert rate, told
        assert count, told
        return Sample(int(count[1]), int(count[1]) / float(rate[1]))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
