"""The table of ``docs/benchmarks.md``: every bar, measured side by side in one run.

python -m benchmarks.table                 measures everything, writes the page
python -m benchmarks.table --only append-sqlite     prints some rows
python -m benchmarks.table --quick         prints all rows, in seconds, for no other use
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks import (
    appends,
    budgets,
    chat,
    documents,
    history,
    http_cost,
    listing,
    pricing,
    reports,
    rivals,
    threads,
)
from benchmarks.bench import QUICK, Amounts, Bench, Measure, Row
from benchmarks.machine import describe

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin table -->", "<!-- end table -->"

GROUPS: Mapping[str, Measure] = {
    "append-sqlite": appends.on_sqlite,
    "append-postgres": appends.on_postgres,
    "history": history.rows,
    "http": http_cost.rows,
    "list": listing.rows,
    "chat": chat.rows,
    "threads": threads.rows,
    "budgets": budgets.rows,
    "pricing": pricing.rows,
    "reports": reports.rows,
    "documents": documents.rows,
    "rivals": rivals.rows,
}


def main() -> None:
    """Measure what was asked for, print it, and write the page if it was everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="NAME", default=[])
    parser.add_argument("--quick", action="store_true", help="a smoke test, not a measurement")
    given = parser.parse_args()
    rows: list[Row] = []
    with Bench(QUICK if given.quick else Amounts()) as bench:
        for name in given.only or GROUPS:
            for row in GROUPS[name](bench):
                print(_line(row), flush=True)
                rows.append(row)
        about = describe(bench)
    if not (given.only or given.quick):
        PAGE.write_text(_put_in(PAGE.read_text(encoding="utf-8"), about, rows), encoding="utf-8")


def _put_in(page: str, about: str, rows: list[Row]) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = ["| what | measured | must reach | met | made from |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *map(_line, rows)])
    return f"{before}{BEGIN}\n{about}\n\n{table}\n{END}{after}"


def _line(row: Row) -> str:
    met = {True: "yes", False: "**no**", None: ""}[row.met]
    return f"| {row.what} | {row.figure} | {row.bar} | {met} | {row.detail} |"


if __name__ == "__main__":
    main()
